/** The models that this home knows: manifests by name and digest, their tokenizers, and what of them is in the store. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  createCatalogue,
  besideBlocks,
  importAnyInChild,
  isModelName,
  loadManifest,
  loadManifests,
  manifestFileName,
  removeManifest,
  removeUnused,
  removeStageFiles,
  saveManifest,
  tokenizerOf,
} from '../models/index.ts'
import type { Catalogue, ChildImportNeeds, ChildLimits, ChildNeeds, AnyManifest, Tokenizer } from '../models/index.ts'
import type { FetchProgress } from '../mesh/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { checkCalibrationText, createWeightChooser } from '../compress/index.ts'
import type { FormatSpeed } from '../pipeline/index.ts'
import { ModelUnknownError, StoppingError } from './errors.ts'
import { fitsHalf, RANGE_TEXT } from './range-check.ts'
import type { HomePaths } from './home.ts'
import { requestOf } from './import-request.ts'
import { loadTokenizer } from './load-tokenizer.ts'
import { ImportedLevels } from './measured-levels.ts'
import type { RowLevels } from './row-levels.ts'
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
  /** The model that a name with an adapter's behind it means. */
  baseOf?(name: string): Promise<string | undefined>
  /** From the mesh, when the home does not have it. */
  fetchManifest(modelOrDigest: string, signal?: AbortSignal): Promise<AnyManifest | null>
  fetchBlobs(
    manifest: AnyManifest,
    blobs: readonly { address: string; bytes: number }[],
    signal?: AbortSignal,
    onProgress?: FetchProgress,
  ): Promise<void>
  /** Before so many bytes come in. @throws DiskQuotaError */
  makeRoom?(bytes: number, keep: ReadonlySet<string>): Promise<void>
  /** Keeps what an import measures of a model's rows. @default they are not measured */
  readonly levels?: Pick<RowLevels, 'keep' | 'own'>
  /** A manifest of the mesh is kept here now: others may get it, and what is fetched of it, from this peer. */
  adopted(manifest: AnyManifest): void
  /** A model has come or gone. */
  changed(): void
}

export class Library {
  readonly catalogue: Catalogue
  readonly #needs: LibraryNeeds
  /** By name. */
  readonly #models = new Map<string, AnyManifest>()
  readonly #tokenizers = new Map<string, Promise<Tokenizer>>()
  readonly #ending = new AbortController()
  /** No manifest of the home was refused. */
  #hasAll = true
  readonly #imports = new Set<Promise<AnyManifest>>()
  /** Of the formats that were measured at an import, by model. */
  readonly #speeds = new Map<string, readonly FormatSpeed[]>()
  readonly #levels: ImportedLevels

  private constructor(needs: LibraryNeeds) {
    this.#needs = needs
    this.#levels = new ImportedLevels(needs)
    this.catalogue = createCatalogue({ directories: needs.catalogues })
  }

  static async open(needs: LibraryNeeds): Promise<Library> {
    const library = new Library(needs)
    const { manifests, refused } = await loadManifests(needs.paths.partitions)
    for (const manifest of manifests) library.#models.set(manifest.model, manifest)
    library.#hasAll = refused.length === 0
    for (const { file, why } of refused) needs.log(`the manifest ${file} is not used: ${why}`)
    return library
  }

  list(): readonly AnyManifest[] {
    return [...this.#models.values()]
  }

  named(model: string): AnyManifest | undefined {
    return this.#models.get(model)
  }

  path(manifest: AnyManifest): string {
    return join(this.#needs.paths.partitions, manifestFileName(manifest.model))
  }

  byDigest(digest: string): AnyManifest | undefined {
    return this.list().find((manifest) => manifest.digest === digest)
  }

  /** By name, from here or from the mesh. @throws ModelUnknownError */
  async resolve(model: string, signal?: AbortSignal): Promise<AnyManifest> {
    const known = this.named(model) ?? this.byDigest(model) ?? (await this.#merged(model))
    if (known !== undefined) return known
    const base = await this.#needs.baseOf?.(model)
    if (base !== undefined) return this.resolve(base, signal)
    const adopted = await this.#adopt(model, signal)
    if (adopted !== undefined) return adopted
    throw new ModelUnknownError(model, (await this.catalogue.find(model).catch(() => null)) !== null)
  }

  /** One that another process of this home has made since: a model with an adapter in its weights. */
  async #merged(model: string): Promise<AnyManifest | undefined> {
    const { partitions } = this.#needs.paths
    const manifest = isModelName(model) ? await loadManifest(partitions, model).catch(() => null) : null
    if (manifest === null) return undefined
    this.#models.set(manifest.model, manifest)
    this.#needs.changed()
    return manifest
  }

  /** What a name of the catalogue stands for, where the entry says so: whoever in the mesh gives it to another model is not believed. */
  async listedDigest(model: string): Promise<string | undefined> {
    return (await this.catalogue.find(model).catch(() => null))?.digest
  }

  async #adopt(model: string, signal?: AbortSignal): Promise<AnyManifest | undefined> {
    const manifest = await this.#needs.fetchManifest((await this.listedDigest(model)) ?? model, signal)
    if (manifest === null) return undefined
    await saveManifest(this.#needs.paths.partitions, manifest)
    this.#models.set(manifest.model, manifest)
    this.#needs.adopted(manifest)
    this.#needs.changed()
    return manifest
  }

  /** Has the tensors of blocks [from, to) in the store. */
  async fetch(
    manifest: AnyManifest,
    from: number,
    to: number,
    signal?: AbortSignal,
    onProgress?: FetchProgress,
  ): Promise<void> {
    const missing = new Map<string, { address: string; bytes: number }>()
    const wanted = new Set<string>()
    for (const block of manifest.blocks.slice(from, to)) {
      for (const { address, bytes } of block.tensors) {
        wanted.add(address)
        if (!(await this.#needs.store.has(address))) missing.set(address, { address, bytes })
      }
    }
    await this.#needs.store.touch(wanted)
    if (missing.size === 0) return
    const bytes = [...missing.values()].reduce((sum, blob) => sum + blob.bytes, 0)
    await this.#needs.makeRoom?.(bytes, wanted)
    await this.#needs.fetchBlobs(manifest, [...missing.values()], signal, onProgress)
    this.#needs.changed()
  }

  /** Has these blobs of a model in the store. */
  async fetchSome(
    manifest: AnyManifest,
    blobs: readonly { readonly address: string; readonly bytes: number }[],
    signal?: AbortSignal,
  ): Promise<void> {
    const missing = new Map<string, { address: string; bytes: number }>()
    for (const blob of blobs) if (!(await this.#needs.store.has(blob.address))) missing.set(blob.address, blob)
    const wanted = new Set(blobs.map(({ address }) => address))
    await this.#needs.store.touch(wanted)
    if (missing.size === 0) return
    const bytes = [...missing.values()].reduce((sum, blob) => sum + blob.bytes, 0)
    await this.#needs.makeRoom?.(bytes, wanted)
    await this.#needs.fetchBlobs(manifest, [...missing.values()], signal)
    this.#needs.changed()
  }

  /** A blob of this store has gone bad: its sound chunks are kept, the others fetched again. */
  async mend(address: string, signal?: AbortSignal): Promise<void> {
    for (const manifest of this.list()) {
      const refs = [...besideBlocks(manifest), ...manifest.blocks.flatMap(({ tensors }) => tensors)]
      const ref = refs.find((one) => one.address === address)
      if (ref === undefined) continue
      this.#needs.changed()
      await this.#needs.fetchBlobs(manifest, [{ address, bytes: ref.bytes }], signal)
      this.#needs.changed()
      return
    }
  }

  /** Removes blobs that no model here has: a killed import left them. Returns the bytes that it freed. */
  async collect(): Promise<number> {
    const { store } = this.#needs
    // Of a manifest that cannot be read nobody knows what it needs, and an import writes its manifest last.
    if (!this.#hasAll || (await store.held())) return 0
    let removed = 0
    const counted: BlobStore = { ...store, remove: (address) => store.remove(address).then(() => void (removed += 1)) }
    const freed = await removeUnused(counted, this.list())
    if (removed > 0) this.#needs.count('blobs_collected', removed)
    return freed
  }

  async hasBlocks(manifest: AnyManifest, from: number, to: number): Promise<boolean> {
    for (const block of manifest.blocks.slice(from, to)) {
      for (const { address } of block.tensors) if (!(await this.#needs.store.has(address))) return false
    }
    return true
  }

  tokenizer(manifest: AnyManifest, signal?: AbortSignal): Promise<Tokenizer> {
    const { address } = tokenizerOf(manifest)
    const known = this.#tokenizers.get(address)
    if (known !== undefined) return known
    const loading = loadTokenizer(this.#needs, manifest, signal)
    this.#tokenizers.set(address, loading)
    loading.catch(() => this.#tokenizers.delete(address))
    return loading
  }

  /**
   * Imports a model; its file is opened in a child process.
   * @throws what `importAnyInChild` does
   */
  async import(request: ImportRequest, progress: ProgressSink, signal?: AbortSignal): Promise<AnyManifest> {
    if (request.calibration !== undefined) checkCalibrationText(request.calibration)
    const ended = this.#ending.signal
    const either = signal === undefined ? ended : AbortSignal.any([signal, ended])
    const importing = this.#importHeld(request, progress, either)
    this.#imports.add(importing)
    const manifest = await importing.finally(() => this.#imports.delete(importing))
    this.#models.set(manifest.model, manifest)
    this.#needs.count('models_imported')
    this.#needs.changed()
    return manifest
  }

  async #importHeld(request: ImportRequest, progress: ProgressSink, signal: AbortSignal): Promise<AnyManifest> {
    const listed = await this.catalogue.find(request.source).catch(() => null)
    const bytes = listed?.sources[0]?.bytes ?? (await stat(request.source).catch(() => null))?.size ?? 0
    await this.#needs.makeRoom?.(bytes, new Set())
    const release = await this.#needs.store.hold()
    try {
      const needs = this.#importNeeds()
      const manifest = await importAnyInChild(needs, requestOf(request), progress, signal)
      await this.#levels.keep(needs, manifest, progress, signal)
      return manifest
    } finally {
      await release()
    }
  }

  /** How fast this machine was in each format that the import of a model has measured. */
  speedsOf({ model }: AnyManifest): readonly FormatSpeed[] {
    return this.#speeds.get(model) ?? []
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
      onReused: (blobs) => count('blobs_reused', blobs),
      fitsHalf: (manifest, progress, signal) =>
        this.#levels.fitsHalf(child, manifest, progress as ProgressSink, signal),
      weights: createWeightChooser({
        child,
        range: RANGE_TEXT,
        fitsHalf,
        onSpeeds: (model, speeds) => {
          count('models_measured')
          this.#speeds.set(model, speeds)
        },
        onUnmeasured: (why) => log(`the weight formats could not be measured: ${why}`),
      }),
    }
  }

  /** Removes the manifest, and the tensors that no other model here uses. */
  async remove(manifest: AnyManifest): Promise<void> {
    await removeManifest(this.#needs.paths.partitions, manifest.model)
    await removeStageFiles(this.#needs.paths.cache, manifest.digest)
    this.#models.delete(manifest.model)
    const used = new Set(this.list().flatMap(addresses))
    for (const address of addresses(manifest)) if (!used.has(address)) await this.#needs.store.remove(address)
    this.#needs.changed()
  }
}

export function addresses(manifest: AnyManifest): string[] {
  return [...besideBlocks(manifest), ...manifest.blocks.flatMap(({ tensors }) => tensors)].map(({ address }) => address)
}
