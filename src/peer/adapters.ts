/**
 * The adapters of a home: folders in PEFT's layout under `adapters/MODEL/NAME`. Requests name one as `MODEL:NAME`. They are read
 * when they are asked for, so what is added or removed holds from the next request on, whether a peer runs or not.
 */
import { readdir, rm, stat } from 'node:fs/promises'
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
  saveManifest,
  sealAdapter,
  stageAdapterInChild,
  summaryOf,
} from '../models/index.ts'
import type { AdapterSummary, ChildLimits, ModelManifest, WeightFormat } from '../models/index.ts'
import type { SessionAdapter } from '../pipeline/index.ts'
import { createBlobStore, writeFileAtomic } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import { systemClock } from '../util/index.ts'
import { replaceFolder } from './adapter-folder.ts'
import { AdapterUnknownError, ModelUnknownError } from './errors.ts'
import { homePaths } from './home.ts'
import { NO_ALIASES } from './rollouts/picked.ts'
import type { Aliases } from './rollouts/picked.ts'

export interface AdapterInfo extends AdapterSummary {
  readonly model: string
  readonly name: string
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/

function folderOf(root: string, model: string, name: string): string {
  return join(root, 'adapters', manifestFileName(model).replace(/\.json$/, ''), name)
}

/**
 * Brings it into the home, in place of one of that name: whole or not at all. Its file may be anybody's, so a child process reads it
 * under limits, and writes what the model takes of it (DESIGN decision 5).
 * @param source a folder in PEFT's layout, or a GGUF file
 * @throws ModelUnknownError, AdapterFileError, ModelFileError, ImportMemoryError, ImportSilentError, DiskFullError
 */
export async function addAdapter(
  home: string,
  model: string,
  source: string,
  name: string,
  limits: ChildLimits = {},
): Promise<AdapterInfo> {
  if (!NAME.test(name)) throw new AdapterFileError(name, 'a name has lower-case letters, digits, dots and dashes')
  const { shape } = await manifestIn(home, model)
  const isFile = (await stat(source).catch(() => undefined))?.isFile() === true
  const needs = { clock: systemClock(), codeCache: join(homePaths(home, process.env).cache, 'code'), limits }
  const bytes = await bytesOf(isFile ? source : join(source, ADAPTER_FILES.weights))
  const summary = await replaceFolder(folderOf(home, model, name), (into) =>
    stageAdapterInChild(needs, { adapter: source, isFile, base: model, shape, into }, bytes),
  )
  return { model, name, ...summary }
}

/** 0 where there is no such file: the child says what is wrong. */
async function bytesOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0
}

export async function listAdapters(home: string): Promise<readonly AdapterInfo[]> {
  const infos: AdapterInfo[] = []
  const { manifests } = await loadManifests(homePaths(home, process.env).partitions)
  for (const { model } of manifests) {
    for (const name of await readdir(folderOf(home, model, '')).catch(() => [])) {
      if (!NAME.test(name)) continue
      const manifest = await manifestIn(home, model).catch(() => undefined)
      const adapter =
        manifest && (await readAdapter(folderOf(home, model, name), manifest.shape).catch(() => undefined))
      if (adapter !== undefined) infos.push({ model, name, ...summaryOf(adapter) })
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

/**
 * A model of the home of its own, with the adapter in its weights.
 * @param weights how layers with an adapter are held. @default as those of the base, in half precision
 * @throws ModelUnknownError, AdapterUnknownError, AdapterFileError
 */
export async function mergeInto(
  home: string,
  model: string,
  adapter: string,
  into: string,
  weights?: WeightFormat,
): Promise<ModelManifest> {
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
    const merged = await mergeAdapter(store, manifest, read, into, weights)
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
