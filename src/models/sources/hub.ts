/** Files of a model hub that speaks the Hugging Face Hub's API: `hf:owner/name[:file]`. */
import type { Clock } from '../../util/index.ts'
import { FetchError } from '../errors.ts'
import { startWait } from './deadline.ts'
import { ggufModels, ggufPartNames } from './gguf-parts.ts'
import { folderFiles, MAX_LIST_BYTES, onnxFiles, parseListing } from './hub-listing.ts'
import type { HubEntry, HubListing } from './hub-listing.ts'
import { followRedirects } from './redirects.ts'
import { bodyChunks } from './transfer.ts'

export interface HubNeeds {
  readonly clock: Clock
  readonly fetch?: typeof fetch
  /** HF_ENDPOINT names a mirror, HF_TOKEN is sent to it. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

export interface HubFile {
  readonly kind: 'file'
  readonly url: URL
  readonly file: string
  readonly headers: Readonly<Record<string, string>>
  /** SHA-256 (hex) that the hub keeps for large files. */
  readonly sha256: string | undefined
}

/** A model in safetensors or in several GGUF files, or an ONNX file with its tokenizer: all files that its folder has to have. */
export interface HubFolder {
  readonly kind: 'folder'
  readonly files: readonly (HubEntry & { readonly url: URL })[]
  readonly headers: Readonly<Record<string, string>>
  readonly license: string | undefined
  /** The one that was named, where it is not the folder's own choice. */
  readonly model?: string
}

const DEFAULT_ENDPOINT = 'https://huggingface.co'
const DEFAULT_REVISION = 'main'
/** A hub that says nothing about a repository for so long is taken for dead. */
const ANSWER_MS = 30_000

interface Hub {
  readonly needs: HubNeeds
  readonly endpoint: string
  readonly headers: Readonly<Record<string, string>>
  readonly repository: string
  readonly source: string
}

/**
 * Where the file lies; without one, the repository's only GGUF file, or else its safetensors, or its ONNX file.
 * @param beside an ONNX file comes with its tokenizer, where it has one
 * @throws FetchError
 */
export async function locateHub(
  needs: HubNeeds,
  repository: string,
  file: string | null,
  signal: AbortSignal,
  beside = true,
): Promise<HubFile | HubFolder> {
  const hub: Hub = { needs, repository, source: `hf:${repository}`, ...endpointOf(needs, `hf:${repository}`) }
  const wait = startWait(needs.clock, hub.source, { total: ANSWER_MS }, signal)
  try {
    if (file !== null) {
      const parts = beside ? ggufPartNames(file) : null
      if (parts !== null) return await ggufFolder(hub, parts, await maybeListing(hub, wait.signal), wait.signal)
      const folder = beside ? await withTokenizer(hub, file, wait.signal) : null
      return folder ?? (await hubFile(hub, file, undefined, wait.signal))
    }
    const listing = await readListing(hub, wait.signal)
    const ggufs = listing.files.filter((entry) => entry.file.toLowerCase().endsWith('.gguf'))
    const models = ggufModels(ggufs.map((entry) => entry.file))
    const parts = models.length === 1 ? ggufPartNames(models[0]!) : null
    if (parts !== null) return await ggufFolder(hub, parts, listing, wait.signal)
    if (models.length === 1) return await hubFile(hub, ggufs[0]!.file, ggufs[0]!.sha256, wait.signal)
    if (models.length > 1) throw severalFiles(hub.source, models)
    const chosen = folderFiles(listing.files)
    if (chosen.length === 0) {
      throw new FetchError(
        hub.source,
        'the repository has no GGUF file, no config.json with safetensors, and no ONNX file',
        {
          final: true,
        },
      )
    }
    return folderOf(hub, listing, chosen)
  } finally {
    wait.end()
  }
}

function folderOf(hub: Hub, { license, revision }: HubListing, chosen: readonly HubEntry[]): HubFolder {
  const files = chosen.map((entry) => ({ ...entry, url: fileUrl(hub, entry.file, revision) }))
  return { kind: 'folder', files, headers: hub.headers, license }
}

/**
 * A model in several GGUF files. A hub that lists its files says whether all are there, of which commit, and their hashes;
 * one that lists none is asked for each.
 */
async function ggufFolder(
  hub: Hub,
  parts: readonly string[],
  listing: HubListing | null,
  signal: AbortSignal,
): Promise<HubFolder> {
  const model = parts[0]!
  if (listing === null) {
    const found = []
    for (const file of parts) found.push({ bytes: undefined, ...(await hubFile(hub, file, undefined, signal)) })
    return { kind: 'folder', files: found, headers: hub.headers, license: undefined, model }
  }
  const known = new Map(listing.files.map((entry) => [entry.file, entry]))
  const lacking = parts.find((file) => !known.has(file))
  if (lacking !== undefined) {
    const why = `the model is split into ${parts.length} files, and the repository has no ${lacking}`
    throw new FetchError(hub.source, why, { final: true })
  }
  const chosen = parts.map((file) => known.get(file)!)
  return { ...folderOf(hub, listing, chosen), model }
}

/** Null where the hub lists nothing. @throws the signal's reason */
async function maybeListing(hub: Hub, signal: AbortSignal): Promise<HubListing | null> {
  const listing = await readListing(hub, signal).catch(() => null)
  signal.throwIfAborted()
  return listing
}

/** An ONNX file that has a tokenizer, as a folder; null for any other, and where the hub lists nothing. */
async function withTokenizer(hub: Hub, file: string, signal: AbortSignal): Promise<HubFolder | null> {
  if (!file.toLowerCase().endsWith('.onnx')) return null
  const listing = await maybeListing(hub, signal)
  const chosen = listing === null ? [] : onnxFiles(listing.files, file)
  if (listing === null || chosen.length < 2) return null
  return { ...folderOf(hub, listing, chosen), model: file }
}

function endpointOf({ environment }: HubNeeds, source: string): Pick<Hub, 'endpoint' | 'headers'> {
  const endpoint = (environment['HF_ENDPOINT'] || DEFAULT_ENDPOINT).replace(/\/+$/, '')
  const isWeb = URL.canParse(endpoint) && /^https?:$/.test(new URL(endpoint).protocol)
  if (!isWeb) throw new FetchError(source, 'HF_ENDPOINT is not the URL of a hub', { final: true })
  const token = environment['HF_TOKEN']?.trim() ?? ''
  // A header that cannot be sent is quoted in the refusal of it, and this one is a secret.
  if (!/^[\x21-\x7E]*$/.test(token)) throw new FetchError(source, 'HF_TOKEN is no token', { final: true })
  return { endpoint, headers: token === '' ? {} : { authorization: `Bearer ${token}` } }
}

function severalFiles(source: string, models: readonly string[]): FetchError {
  const names = models.slice(0, 20)
  return new FetchError(source, `the repository has ${models.length} GGUF files: ${names.join(', ')}`, {
    hint: `Name one: ${source}:${names[0]}`,
    final: true,
  })
}

function fileUrl({ endpoint, repository }: Hub, file: string, revision: string | null): URL {
  const path = file.split('/').map(encodeURIComponent).join('/')
  return new URL(`${endpoint}/${repository}/resolve/${revision ?? DEFAULT_REVISION}/${path}`)
}

async function hubFile(hub: Hub, file: string, sha256: string | undefined, signal: AbortSignal): Promise<HubFile> {
  const url = fileUrl(hub, file, null)
  return {
    kind: 'file',
    url,
    file,
    headers: hub.headers,
    sha256: sha256 ?? (await announcedHash(hub, url, signal)),
  }
}

async function readListing(hub: Hub, signal: AbortSignal): Promise<HubListing> {
  const { endpoint, headers, needs, repository, source } = hub
  const url = new URL(`${endpoint}/api/models/${repository}?blobs=true`)
  try {
    const response = await followRedirects(needs.fetch ?? fetch, { url, source, headers }, signal)
    if (!response.ok) {
      await response.body?.cancel()
      const hint = response.status === 401 ? { hint: 'Check the name; a private repository wants HF_TOKEN.' } : {}
      throw new FetchError(source, `the hub answered ${response.status}`, hint)
    }
    return parseListing(await boundedText(response, source), source)
  } catch (cause) {
    signal.throwIfAborted()
    if (cause instanceof FetchError) throw cause
    throw new FetchError(source, 'the hub cannot be reached', { cause })
  }
}

async function boundedText(response: Response, source: string): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of bodyChunks(response)) {
    bytes += piece.length
    if (bytes > MAX_LIST_BYTES) throw new FetchError(source, 'its list of files is too long', { final: true })
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}

/** Large files lie elsewhere; the redirect to them names their SHA-256 in `x-linked-etag`. */
async function announcedHash(
  { headers, needs, source }: Hub,
  url: URL,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const until = (response: Response, next: URL): boolean =>
      response.headers.has('x-linked-etag') || next.origin !== url.origin
    const request = { url, source, method: 'HEAD', headers, until } as const
    const response = await followRedirects(needs.fetch ?? fetch, request, signal)
    const tag = response.headers.get('x-linked-etag')?.replaceAll('"', '')
    return tag !== undefined && /^[0-9a-f]{64}$/.test(tag) ? tag : undefined
  } catch {
    signal.throwIfAborted()
    return undefined
  }
}
