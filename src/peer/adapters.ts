/**
 * The adapters of a home: folders in PEFT's layout under `adapters/MODEL/NAME`. Requests name one as `MODEL:NAME`. They are read
 * when they are asked for, so what is added or removed holds from the next request on, whether a peer runs or not.
 */
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  ADAPTER_FILES,
  adapterGguf,
  AdapterFileError,
  languageModel,
  loadManifests,
  manifestFileName,
  mergeAdapter,
  readAdapter,
  readAdapterGguf,
  saveManifest,
  sealAdapter,
  writeAdapter,
} from '../models/index.ts'
import type { Adapter, ModelManifest } from '../models/index.ts'
import type { SessionAdapter } from '../pipeline/index.ts'
import { createBlobStore, writeFileAtomic, needFolders } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import { AdapterUnknownError, ModelUnknownError } from './errors.ts'
import { homePaths } from './home.ts'
import { NO_ALIASES } from './rollouts/picked.ts'
import type { Aliases } from './rollouts/picked.ts'

export interface AdapterInfo {
  readonly model: string
  readonly name: string
  readonly kind: Adapter['kind']
  /** Of low-rank ones. */
  readonly rank: number | null
  /** Of soft prompts. */
  readonly tokens: number | null
  readonly parts: readonly string[]
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/

function folderOf(root: string, model: string, name: string): string {
  return join(root, 'adapters', manifestFileName(model).replace(/\.json$/, ''), name)
}

/**
 * Copies it into the home, over one of that name.
 * @param source a folder in PEFT's layout, or a GGUF file
 * @throws ModelUnknownError, AdapterFileError
 */
export async function addAdapter(home: string, model: string, source: string, name: string): Promise<AdapterInfo> {
  if (!NAME.test(name)) throw new AdapterFileError(name, 'a name has lower-case letters, digits, dots and dashes')
  const manifest = await manifestIn(home, model)
  const isFile = (await stat(source).catch(() => undefined))?.isFile() === true
  const { shape } = manifest
  const adapter = await (isFile ? readAdapterGguf(source, model, shape) : readAdapter(source, shape))
  const target = folderOf(home, model, name)
  // Read before anything goes: the source may be the target.
  const names = isFile ? [] : Object.values(ADAPTER_FILES)
  const files = await Promise.all(names.map(async (file) => [file, await readFile(join(source, file))] as const))
  await rm(target, { recursive: true, force: true })
  await needFolders(target, 0o700)
  if (isFile) await writeAdapter(target, shape, model, adapter)
  for (const [file, bytes] of files) await writeFileAtomic(join(target, file), bytes)
  return infoOf(model, name, adapter)
}

export async function listAdapters(home: string): Promise<readonly AdapterInfo[]> {
  const infos: AdapterInfo[] = []
  const { manifests } = await loadManifests(homePaths(home, process.env).partitions)
  for (const { model } of manifests) {
    for (const name of await readdir(folderOf(home, model, '')).catch(() => [])) {
      const manifest = await manifestIn(home, model).catch(() => undefined)
      const adapter =
        manifest && (await readAdapter(folderOf(home, model, name), manifest.shape).catch(() => undefined))
      if (adapter !== undefined) infos.push(infoOf(model, name, adapter))
    }
  }
  return infos
}

/** @throws AdapterUnknownError */
export async function removeAdapter(home: string, model: string, name: string): Promise<void> {
  const folder = await knownFolder(home, model, name)
  await rm(folder, { recursive: true })
}

/**
 * In the form of llama.cpp's adapters. @returns its bytes
 * @throws ModelUnknownError, AdapterUnknownError, AdapterFileError, and the errors of the disk
 */
export async function exportAdapter(home: string, model: string, adapter: string, file: string): Promise<number> {
  const { shape } = await manifestIn(home, model)
  const folder = (await isFolder(adapter)) ? adapter : await knownFolder(home, model, adapter)
  const read = await readAdapter(folder, shape)
  if (read.kind !== 'lora') throw new AdapterFileError(folder, 'GGUF has no place for a soft prompt')
  const bytes = adapterGguf(model, shape, read)
  await writeFileAtomic(file, bytes)
  return bytes.length
}

/** A model of the home of its own, with the adapter in its weights. @throws ModelUnknownError, AdapterUnknownError, AdapterFileError */
export async function mergeInto(home: string, model: string, adapter: string, into: string): Promise<ModelManifest> {
  const manifest = await manifestIn(home, model)
  const folder = (await isFolder(adapter)) ? adapter : await knownFolder(home, model, adapter)
  const read = await readAdapter(folder, manifest.shape)
  if (read.kind !== 'lora') throw new AdapterFileError(folder, 'a soft prompt has no place in the weights')
  const { partitions, store: directory } = homePaths(home, process.env)
  const { manifests } = await loadManifests(partitions)
  if (manifests.some((known) => known.model === into)) {
    throw new AdapterFileError(folder, `there is a model ${into} already`)
  }
  const store = await createBlobStore({ directory })
  const release = await store.hold()
  try {
    const merged = await mergeAdapter(store, manifest, read, into)
    await saveManifest(partitions, merged)
    return merged
  } finally {
    await release()
  }
}

async function manifestIn(home: string, model: string): Promise<ModelManifest> {
  const { manifests } = await loadManifests(homePaths(home, process.env).partitions)
  const found = manifests.find((known) => known.model === model)
  if (found === undefined) throw new ModelUnknownError(model, false)
  return languageModel(found)
}

async function knownFolder(home: string, model: string, name: string): Promise<string> {
  const folder = folderOf(home, model, name)
  if (NAME.test(name) && (await isFolder(folder))) return folder
  throw new AdapterUnknownError(model, name)
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true
}

function infoOf(model: string, name: string, adapter: Adapter): AdapterInfo {
  const { kind } = adapter
  if (kind === 'prompt') return { model, name, kind, rank: null, tokens: adapter.tokens, parts: [] }
  return { model, name, kind, rank: adapter.rank, tokens: null, parts: adapter.parts }
}

export interface Taken {
  /** In the store; undefined: the model as it is. */
  readonly adapter: SessionAdapter | undefined
  /** Told once when the request has ended: whether it failed by no fault of who asked. */
  ended(isFailed: boolean): void
}

/** What requests ask of the adapters of a running peer. */
export class Adapters {
  readonly #home: string
  readonly #store: BlobStore
  readonly #aliases: Aliases
  readonly #sealed = new Map<string, { readonly at: number; readonly blob: SessionAdapter }>()
  /** Models by the address of what was sealed for them: an older one may still be in a session. */
  readonly #models = new Map<string, Set<string>>()

  /** @param aliases what is rolled out under a name with an `@` */
  constructor(home: string, store: BlobStore, aliases: Aliases = NO_ALIASES) {
    this.#home = home
    this.#store = store
    this.#aliases = aliases
  }

  /**
   * What a request for `MODEL:NAME` runs with; undefined: it is no adapter's name. A round that is tried and cannot be used has failed, and
   * the request gets what serves. @throws AdapterFileError
   */
  async take(manifest: ModelManifest, asked: string, request: string): Promise<Taken | undefined> {
    const cut = asked.lastIndexOf(':')
    const [model, name] = [asked.slice(0, cut), asked.slice(cut + 1)]
    const picked = this.#aliases.pick(model, name, request)
    if (picked === undefined) {
      const found = await this.find(asked)
      return found && { adapter: await this.sealed(manifest, found.adapter), ended: () => undefined }
    }
    try {
      const adapter = picked.name === null ? undefined : await this.sealed(manifest, picked.name)
      return { adapter, ended: (isFailed) => picked.ended(isFailed) }
    } catch (error) {
      picked.ended(true)
      if (picked.arm === 'live') throw error
      const adapter = picked.live === null ? undefined : await this.sealed(manifest, picked.live)
      return { adapter, ended: () => undefined }
    }
  }

  /** The model and the adapter that `MODEL:NAME` stands for; undefined: it is no adapter's name. */
  async find(name: string): Promise<{ readonly model: string; readonly adapter: string } | undefined> {
    const cut = name.lastIndexOf(':')
    const [model, adapter] = [name.slice(0, cut), name.slice(cut + 1)]
    if (cut > 0 && this.#aliases.has(model, adapter)) return { model, adapter }
    if (cut <= 0 || !NAME.test(adapter)) return undefined
    const folder = await Promise.resolve()
      .then(() => folderOf(this.#home, model, adapter))
      .catch(() => undefined)
    return folder !== undefined && (await isFolder(folder)) ? { model, adapter } : undefined
  }

  /** In the store, as stages take it. @throws AdapterFileError */
  async sealed(manifest: ModelManifest, name: string): Promise<SessionAdapter> {
    const folder = folderOf(this.#home, manifest.model, name)
    const { mtimeMs: at } = await stat(join(folder, ADAPTER_FILES.weights))
    const known = this.#sealed.get(folder)
    if (known?.at === at && (await this.#store.has(known.blob.address))) return known.blob
    const adapter = await readAdapter(folder, manifest.shape)
    const stored = await this.#store.put(sealAdapter(manifest.shape, adapter))
    const blob = adapter.kind === 'prompt' ? { ...stored, tokens: adapter.tokens } : stored
    this.#sealed.set(folder, { at, blob })
    this.#models.set(blob.address, (this.#models.get(blob.address) ?? new Set()).add(manifest.model))
    return blob
  }

  /** Models of this home that a sealed adapter is for. */
  modelsOf(address: string): readonly string[] {
    return [...(this.#models.get(address) ?? [])]
  }
}
