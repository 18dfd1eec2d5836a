/** The models that this home knows: manifests by name and digest, their tokenizers, and what of them is in the store. */
import { join } from 'node:path'
import {
  createCatalogue,
  createTokenizer,
  damagedBlobs,
  importInChild,
  loadManifests,
  manifestFileName,
  removeManifest,
  removeStageFiles,
  saveManifest,
} from '../models/index.ts'
import type {
  Catalogue,
  ChildImportNeeds,
  ChildLimits,
  ChildNeeds,
  ModelImportRequest,
  ModelManifest,
  Tokenizer,
  TokenizerDefinition,
} from '../models/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { ModelUnknownError, StoppingError } from './errors.ts'
import { checkRange } from './range-check.ts'
import type { HomePaths } from './home.ts'
import type { ImportRequest, ProgressSink } from './types.ts'

export interface LibraryNeeds {
  readonly clock: Clock
  readonly store: BlobStore
  readonly paths: HomePaths
  /** Folders of catalogue entries: the package's own, and the home's. */
  readonly catalogues: readonly string[]
  readonly log: (line: string) => void
  readonly count: Telemetry['count']
  /** Of the children that open model files. @default those of models/ */
  readonly importLimits?: ChildLimits
  /** From the mesh, when the home does not have it. */
  fetchManifest(modelOrDigest: string, signal?: AbortSignal): Promise<ModelManifest | null>
  fetchBlobs(
    manifest: ModelManifest,
    blobs: readonly { address: string; bytes: number }[],
    signal?: AbortSignal,
  ): Promise<void>
  /** A manifest of the mesh is kept here now: others may get it, and what is fetched of it, from this peer. */
  adopted(manifest: ModelManifest): void
  /** A model has come or gone. */
  changed(): void
}

export class Library {
  readonly catalogue: Catalogue
  readonly #needs: LibraryNeeds
  /** By name. */
  readonly #models = new Map<string, ModelManifest>()
  readonly #tokenizers = new Map<string, Promise<Tokenizer>>()
  readonly #ending = new AbortController()
  readonly #imports = new Set<Promise<ModelManifest>>()

  private constructor(needs: LibraryNeeds) {
    this.#needs = needs
    this.catalogue = createCatalogue({ directories: needs.catalogues })
  }

  static async open(needs: LibraryNeeds): Promise<Library> {
    const library = new Library(needs)
    const { manifests, refused } = await loadManifests(needs.paths.partitions)
    for (const manifest of manifests) library.#models.set(manifest.model, manifest)
    for (const { file, why } of refused) needs.log(`the manifest ${file} is not used: ${why}`)
    return library
  }

  list(): readonly ModelManifest[] {
    return [...this.#models.values()]
  }

  named(model: string): ModelManifest | undefined {
    return this.#models.get(model)
  }

  path(manifest: ModelManifest): string {
    return join(this.#needs.paths.partitions, manifestFileName(manifest.model))
  }

  byDigest(digest: string): ModelManifest | undefined {
    return this.list().find((manifest) => manifest.digest === digest)
  }

  /** By name, from here or from the mesh. @throws ModelUnknownError */
  async resolve(model: string, signal?: AbortSignal): Promise<ModelManifest> {
    const known = this.named(model) ?? this.byDigest(model) ?? (await this.#adopt(model, signal))
    if (known !== undefined) return known
    throw new ModelUnknownError(model, (await this.catalogue.find(model).catch(() => null)) !== null)
  }

  async #adopt(model: string, signal?: AbortSignal): Promise<ModelManifest | undefined> {
    const manifest = await this.#needs.fetchManifest(model, signal)
    if (manifest === null) return undefined
    await saveManifest(this.#needs.paths.partitions, manifest)
    this.#models.set(manifest.model, manifest)
    this.#needs.adopted(manifest)
    this.#needs.changed()
    return manifest
  }

  /** Has the tensors of blocks [from, to) in the store. */
  async fetch(manifest: ModelManifest, from: number, to: number, signal?: AbortSignal): Promise<void> {
    const missing = new Map<string, { address: string; bytes: number }>()
    for (const block of manifest.blocks.slice(from, to)) {
      for (const { address, bytes } of block.tensors) {
        if (!(await this.#needs.store.has(address))) missing.set(address, { address, bytes })
      }
    }
    if (missing.size > 0) await this.#needs.fetchBlobs(manifest, [...missing.values()], signal)
  }

  async hasBlocks(manifest: ModelManifest, from: number, to: number): Promise<boolean> {
    for (const block of manifest.blocks.slice(from, to)) {
      for (const { address } of block.tensors) if (!(await this.#needs.store.has(address))) return false
    }
    return true
  }

  tokenizer(manifest: ModelManifest, signal?: AbortSignal): Promise<Tokenizer> {
    const { address } = manifest.tokenizer
    const known = this.#tokenizers.get(address)
    if (known !== undefined) return known
    const loading = this.#loadTokenizer(manifest, signal)
    this.#tokenizers.set(address, loading)
    loading.catch(() => this.#tokenizers.delete(address))
    return loading
  }

  async #loadTokenizer(manifest: ModelManifest, signal?: AbortSignal): Promise<Tokenizer> {
    const { store } = this.#needs
    const { address } = manifest.tokenizer
    for (const damaged of await damagedBlobs(store, [address], signal)) {
      this.#needs.count('blobs_damaged')
      await store.remove(damaged)
    }
    if (!(await store.has(address))) await this.#needs.fetchBlobs(manifest, [manifest.tokenizer], signal)
    const text = Buffer.from(await store.readAll(address)).toString('utf8')
    return createTokenizer(JSON.parse(text) as TokenizerDefinition)
  }

  /**
   * Imports a model; its file is opened in a child process.
   * @throws what `importInChild` does
   */
  async import(request: ImportRequest, progress: ProgressSink, signal?: AbortSignal): Promise<ModelManifest> {
    const ended = this.#ending.signal
    const either = signal === undefined ? ended : AbortSignal.any([signal, ended])
    const importing = importInChild(this.#importNeeds(), requestOf(request), progress, either)
    this.#imports.add(importing)
    const manifest = await importing.finally(() => this.#imports.delete(importing))
    this.#models.set(manifest.model, manifest)
    this.#needs.count('models_imported')
    this.#needs.changed()
    return manifest
  }

  /** Ends the imports that are under way; nothing of them is kept. */
  async stop(): Promise<void> {
    this.#ending.abort(new StoppingError())
    await Promise.allSettled(this.#imports)
  }

  #importNeeds(): ChildImportNeeds {
    const { clock, store, paths, log, count, importLimits } = this.#needs
    const child: ChildNeeds = {
      clock,
      storeDirectory: paths.store,
      codeCache: join(paths.cache, 'code'),
      onChild: ({ type }) => {
        if (type === 'started') count('import_children')
        else count('import_children_ended', 1, { why: type })
      },
      ...(importLimits === undefined ? {} : { limits: importLimits }),
    }
    return {
      ...child,
      store,
      directory: paths.partitions,
      downloads: paths.downloads,
      catalogue: this.catalogue,
      log,
      fitsHalf: async (manifest, progress, signal) => {
        const range = await checkRange(child, manifest, progress as ProgressSink, signal)
        if (range === null) log(`the range of ${manifest.model} could not be measured`)
        else if (!range.fits) log(`${manifest.model} reaches ${range.largest}: its boundaries are float32`)
        return range?.fits ?? null
      },
    }
  }

  /** Removes the manifest, and the tensors that no other model here uses. */
  async remove(manifest: ModelManifest): Promise<void> {
    await removeManifest(this.#needs.paths.partitions, manifest.model)
    await removeStageFiles(this.#needs.paths.cache, manifest.digest)
    this.#models.delete(manifest.model)
    const used = new Set(this.list().flatMap(addresses))
    for (const address of addresses(manifest)) if (!used.has(address)) await this.#needs.store.remove(address)
    this.#needs.changed()
  }
}

function requestOf({ source, name, weights }: ImportRequest): ModelImportRequest {
  return {
    source,
    ...(name === undefined ? {} : { name }),
    ...(weights === undefined ? {} : { weights }),
    // The reference format keeps float32 at the boundaries as well (docs/decisions.md).
    ...(weights === 'f32' ? { boundary: 'f32' as const } : {}),
  }
}

export function addresses(manifest: ModelManifest): string[] {
  return [manifest.tokenizer.address, ...manifest.blocks.flatMap((block) => block.tensors.map((ref) => ref.address))]
}
