/** The models that this home knows: manifests by name and digest, their tokenizers, and what of them is in the store. */
import { join } from 'node:path'
import {
  createCatalogue,
  createTokenizer,
  importModel,
  manifestDigest,
  ModelExistsError,
  loadManifests,
  manifestFileName,
  removeManifest,
  removeStageFiles,
  saveManifest,
} from '../models/index.ts'
import type { Catalogue, ImportNeeds, ModelManifest, Tokenizer, TokenizerDefinition } from '../models/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { Clock } from '../util/index.ts'
import { ModelUnknownError } from './errors.ts'
import { checkRange, RANGE_TEXT } from './range-check.ts'
import type { HomePaths } from './home.ts'
import type { ImportRequest, ProgressSink } from './types.ts'

export interface LibraryNeeds {
  readonly clock: Clock
  readonly store: BlobStore
  readonly paths: HomePaths
  /** Folders of catalogue entries: the package's own, and the home's. */
  readonly catalogues: readonly string[]
  readonly log: (line: string) => void
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
    if (!(await store.has(address))) await this.#needs.fetchBlobs(manifest, [manifest.tokenizer], signal)
    const text = Buffer.from(await store.readAll(address)).toString('utf8')
    return createTokenizer(JSON.parse(text) as TokenizerDefinition)
  }

  async import(request: ImportRequest, progress: ProgressSink, signal?: AbortSignal): Promise<ModelManifest> {
    const { clock, store, paths, log } = this.#needs
    const needs: ImportNeeds = {
      clock,
      store,
      directory: paths.partitions,
      downloads: paths.downloads,
      catalogue: this.catalogue,
      log,
    }
    const options = {
      source: request.source,
      ...(request.name === undefined ? {} : { name: request.name }),
      ...(request.weights === undefined ? {} : { weights: request.weights }),
      // The reference format keeps float32 at the boundaries as well (docs/decisions.md).
      ...(request.weights === 'f32' ? { boundary: 'f32' as const } : {}),
    }
    const imported = await importModel(needs, options, progress, signal).catch((error: unknown) => {
      // The one that is here may be the same model, whose boundaries were widened when it was imported first.
      if (!(error instanceof ModelExistsError) || 'boundary' in options) throw error
      return importModel(needs, { ...options, boundary: 'f32' }, progress, signal)
    })
    const manifest = await this.#withBoundary(imported, progress, signal)
    this.#models.set(manifest.model, manifest)
    this.#needs.changed()
    return manifest
  }

  /** The manifest with float32 boundaries, where float16 would not hold its residual. */
  async #withBoundary(manifest: ModelManifest, progress: ProgressSink, signal?: AbortSignal): Promise<ModelManifest> {
    if (manifest.boundary === 'f32') return manifest
    progress({
      type: 'progress',
      task: `checking the range of ${manifest.model}`,
      done: 0,
      total: null,
      unit: 'blocks',
    })
    const tokenizer = await this.tokenizer(manifest, signal)
    const files = { manifest: this.path(manifest), store: this.#needs.paths.store }
    const range = await checkRange(files, tokenizer.encode(RANGE_TEXT), signal)
    if (range === null) this.#needs.log(`the range of ${manifest.model} could not be measured`)
    if (range === null || range.fits) return manifest
    this.#needs.log(`${manifest.model} reaches ${range.largest}: its boundaries are float32`)
    const wide = { ...manifest, boundary: 'f32' as const }
    const changed = { ...wide, digest: manifestDigest(wide) }
    await saveManifest(this.#needs.paths.partitions, changed, { force: true })
    return changed
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

export function addresses(manifest: ModelManifest): string[] {
  return [manifest.tokenizer.address, ...manifest.blocks.flatMap((block) => block.tensors.map((ref) => ref.address))]
}
