/** Files of a model hub that speaks the Hugging Face Hub's API: `hf:owner/name[:file]`. */
import { FetchError } from '../errors.ts'

export interface HubNeeds {
  readonly fetch?: typeof fetch
  /** HF_ENDPOINT names a mirror, HF_TOKEN is sent to it. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

export interface HubFile {
  readonly url: URL
  readonly file: string
  readonly headers: Readonly<Record<string, string>>
  /** SHA-256 (hex) that the hub keeps for large files. */
  readonly sha256: string | undefined
}

const DEFAULT_ENDPOINT = 'https://huggingface.co'
/** Lists of files have some hundred entries of a hundred bytes. */
const MAX_LIST_BYTES = 1 << 22

/** @throws FetchError */
export async function locateHubFile(
  needs: HubNeeds,
  repository: string,
  file: string | null,
  signal: AbortSignal,
): Promise<HubFile> {
  const endpoint = (needs.environment['HF_ENDPOINT'] ?? DEFAULT_ENDPOINT).replace(/\/+$/, '')
  const token = needs.environment['HF_TOKEN']
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const fetcher = needs.fetch ?? fetch
  const source = `hf:${repository}`
  const chosen = file ?? (await onlyGguf(fetcher, `${endpoint}/api/models/${repository}`, source, headers, signal))
  const path = chosen.split('/').map(encodeURIComponent).join('/')
  const url = new URL(`${endpoint}/${repository}/resolve/main/${path}`)
  return { url, file: chosen, headers, sha256: await announcedHash(fetcher, url, headers, signal) }
}

async function onlyGguf(
  fetcher: typeof fetch,
  url: string,
  source: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string> {
  const response = await fetcher(url, { headers, signal }).catch((cause: unknown) => {
    throw new FetchError(source, 'the hub cannot be reached', { cause })
  })
  if (!response.ok) throw new FetchError(source, `the hub answered ${response.status}`)
  const text = await response.text()
  if (text.length > MAX_LIST_BYTES) throw new FetchError(source, 'its list of files is too long')
  const files = fileNames(text).filter((name) => name.toLowerCase().endsWith('.gguf'))
  if (files.length === 1) return files[0]!
  if (files.length === 0) throw new FetchError(source, 'the repository has no GGUF file')
  throw new FetchError(source, `the repository has ${files.length} GGUF files: ${files.slice(0, 20).join(', ')}`, {
    hint: `Name one: ${source}:${files[0]}`,
  })
}

function fileNames(text: string): string[] {
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch {
    return []
  }
  if (typeof data !== 'object' || data === null || !('siblings' in data) || !Array.isArray(data.siblings)) return []
  return data.siblings.flatMap((entry: unknown) =>
    typeof entry === 'object' && entry !== null && 'rfilename' in entry && typeof entry.rfilename === 'string'
      ? [entry.rfilename]
      : [],
  )
}

/** Large files lie elsewhere; the redirect to them names their SHA-256 in `x-linked-etag`. */
async function announcedHash(
  fetcher: typeof fetch,
  url: URL,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const response = await fetcher(url, { method: 'HEAD', redirect: 'manual', headers, signal })
    const tag = response.headers.get('x-linked-etag')?.replaceAll('"', '')
    return tag !== undefined && /^[0-9a-f]{64}$/.test(tag) ? tag : undefined
  } catch {
    signal.throwIfAborted()
    return undefined
  }
}
