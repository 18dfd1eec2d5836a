/** From a source that a person names to blobs in the store and a manifest in the mesh home. */
import type { BlobStore } from '../../store/index.ts'
import { ModelExistsError } from '../errors.ts'
import { checkManifest, manifestDigest } from '../manifest-check.ts'
import { loadManifest, saveManifest } from '../manifest-files.ts'
import type { BoundaryType, ModelManifest, WeightFormat } from '../manifest.ts'
import { checkModelName, modelNameOf } from '../model-name.ts'
import { fetchSource } from '../sources/fetch-source.ts'
import type { FetchedFile, SourceNeeds } from '../sources/fetch-source.ts'
import type { ProgressListener } from '../sources/progress.ts'
import { storeInChild } from './child.ts'
import type { ChildNeeds } from './child.ts'
import { storeModelFile } from './store-file.ts'
import type { StoredFile, StoreFileEvents, StoreFileJob } from './store-file.ts'

export interface ImportNeeds extends SourceNeeds {
  readonly store: BlobStore
  /** Partitions folder of the mesh home: where the manifest goes. */
  readonly directory: string
  /**
   * Whether float16 boundaries hold the model, whose tensors are in the store; null where that cannot be said: then they
   * stay as they are. Not asked where the request names a boundary. @default nothing is measured
   */
  readonly fitsHalf?: (
    manifest: ModelManifest,
    onProgress: ProgressListener,
    signal?: AbortSignal,
  ) => Promise<boolean | null>
}

export interface ChildImportNeeds extends ImportNeeds, ChildNeeds {}

export interface ModelImportRequest {
  /** A file, a URL, `hf:`, `npm:`, `pypi:`, or a model of the catalogue. */
  readonly source: string
  /** @default the catalogue's name, or one made of the file's */
  readonly name?: string
  /** @default 'auto' */
  readonly weights?: WeightFormat
  /** @default 'f16', or 'f32' where `fitsHalf` says so */
  readonly boundary?: BoundaryType
  /** File of the tokenizer, for llama2.c models whose tokenizer is not beside them. */
  readonly tokenizer?: string
  /** Replaces another model of the same name. */
  readonly force?: boolean
}

/** Imports into one store run one after the other, so that what a failed one takes back is its own. */
const running = new WeakMap<BlobStore, Promise<unknown>>()

type StoreFile = (job: StoreFileJob, events: StoreFileEvents, signal?: AbortSignal) => Promise<StoredFile>

/**
 * Imports a model, reading its file in this process: for files that are known, as in tests. Memory is bounded by a few
 * chunks, whatever its size; nothing is left when it fails.
 * @throws SourceSyntaxError, SourceFileError, UnknownModelError, FetchError, ChecksumError, ModelFileError,
 * UnsupportedModelError, TokenizerDataError, ModelNameError, ModelExistsError, DiskFullError
 */
export function importModel(
  needs: ImportNeeds,
  request: ModelImportRequest,
  onProgress: ProgressListener = () => {},
  signal?: AbortSignal,
): Promise<ModelManifest> {
  const storeFile: StoreFile = (job, events, end) => storeModelFile(needs.store, job, events, end)
  return importWith(storeFile, needs, request, onProgress, signal)
}

/**
 * Imports a model whose file nobody vouches for: it is opened in a child process, with a limit on memory and a deadline
 * (DESIGN decision 5).
 * @throws what `importModel` does, ImportMemoryError, ImportSilentError, ImportProcessError
 */
export function importInChild(
  needs: ChildImportNeeds,
  request: ModelImportRequest,
  onProgress: ProgressListener = () => {},
  signal?: AbortSignal,
): Promise<ModelManifest> {
  const storeFile: StoreFile = (job, events, end) => storeInChild(needs, job, events, end)
  return importWith(storeFile, needs, request, onProgress, signal)
}

async function importWith(
  storeFile: StoreFile,
  needs: ImportNeeds,
  request: ModelImportRequest,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<ModelManifest> {
  if (request.name !== undefined) checkModelName(request.name)
  return inTurn(needs.store, async () => {
    signal?.throwIfAborted()
    const fetched = await fetchSource(needs, request.source, onProgress, signal)
    try {
      return await importFile(storeFile, needs, request, fetched, onProgress, signal)
    } finally {
      await fetched.dispose()
    }
  })
}

function inTurn<T>(store: BlobStore, action: () => Promise<T>): Promise<T> {
  const turn = (running.get(store) ?? Promise.resolve()).then(action)
  running.set(
    store,
    turn.catch(() => {}),
  )
  return turn
}

async function importFile(
  storeFile: StoreFile,
  needs: ImportNeeds,
  request: ModelImportRequest,
  fetched: FetchedFile,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<ModelManifest> {
  const model = request.name ?? fetched.name ?? modelNameOf(fetched.path)
  checkModelName(model)
  const added: string[] = []
  const events: StoreFileEvents = {
    progress: (done, total) => onProgress({ type: 'progress', task: `importing ${model}`, done, total, unit: 'bytes' }),
    added: (address) => added.push(address),
  }
  const job: StoreFileJob = {
    path: fetched.path,
    ...(request.tokenizer === undefined ? {} : { tokenizer: request.tokenizer }),
    weights: request.weights ?? 'auto',
    boundary: request.boundary ?? 'f16',
  }
  try {
    const { license, content } = await storeFile(job, events, signal)
    const read = checkManifest({
      schema: 'weft.manifest/1',
      model,
      digest: manifestDigest(content),
      license: fetched.license ?? license,
      source: fetched.source,
      ...content,
    })
    const manifest = await withBoundary(needs, request, read, onProgress, signal)
    signal?.throwIfAborted()
    await saveManifest(needs.directory, manifest, { force: request.force === true })
    return manifest
  } catch (error) {
    for (const address of added) await needs.store.remove(address).catch(() => {})
    throw error
  }
}

/** The manifest with float32 boundaries, where float16 would not hold its residual. */
async function withBoundary(
  needs: ImportNeeds,
  request: ModelImportRequest,
  manifest: ModelManifest,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<ModelManifest> {
  if (needs.fitsHalf === undefined || request.boundary !== undefined) return manifest
  const content = { ...manifest, boundary: 'f32' as const }
  const wide: ModelManifest = { ...content, digest: manifestDigest(content) }
  const there = await loadManifest(needs.directory, manifest.model).catch(() => null)
  // The same model was measured when it came.
  for (const same of [manifest, wide]) if (there?.digest === same.digest) return same
  if (there !== null && request.force !== true) {
    throw new ModelExistsError(manifest.model, there.digest, manifest.digest)
  }
  return (await needs.fitsHalf(manifest, onProgress, signal)) === false ? wide : manifest
}
