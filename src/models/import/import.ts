/** From a source that a person names to blobs in the store and a manifest in the mesh home. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlobStore } from '../../store/index.ts'
import { BundleChoiceError } from '../bundle/errors.ts'
import { isBundle } from '../bundle/read-bundle.ts'
import { storeBundle } from '../bundle/store-bundle.ts'
import { checkAnyManifest, checkGraphManifest, graphDigest } from '../graph/check.ts'
import type { AnyManifest } from '../graph/manifest.ts'
import { languageModel, ModelKindError } from '../graph/errors.ts'
import { isOnnxFile } from '../graph/onnx-file.ts'
import { onnxOfFolder, tokenizerFolder } from '../readers/onnx-folder.ts'
import { storeGraph } from '../graph/store-graph.ts'
import type { StoredGraph, StoreGraphJob } from '../graph/store-graph.ts'
import type { StoreBundleJob, StoredBundle } from '../bundle/store-bundle.ts'
import { checkManifest, manifestDigest } from '../manifest-check.ts'
import { saveManifest } from '../manifest-files.ts'
import type { BoundaryType, ModelManifest, WeightFormat } from '../manifest.ts'
import { checkModelName, modelNameOf } from '../model-name.ts'
import { fetchSource } from '../sources/fetch-source.ts'
import type { FetchedFile, SourceNeeds } from '../sources/fetch-source.ts'
import type { ProgressListener } from '../sources/progress.ts'
import { storeBundleInChild, storeGraphInChild, storeInChild } from './child.ts'
import type { ChildNeeds } from './child.ts'
import { settled } from './settle.ts'
import type { SettleNeeds } from './settle.ts'
import { storeModelFile } from './store-file.ts'
import type { StoredFile, StoreFileEvents, StoreFileJob } from './store-file.ts'

export interface ImportNeeds extends SourceNeeds, SettleNeeds {
  readonly store: BlobStore
  /** Told how many blobs of a bundle were in the store already, sound, and so not read from it. */
  readonly onReused?: (blobs: number, bytes: number) => void
}

export interface ChildImportNeeds extends ImportNeeds, ChildNeeds {}

export interface ModelImportRequest {
  /** A model file, a bundle, a URL, `hf:`, `npm:`, `pypi:`, `ollama:`, or a model of the catalogue. */
  readonly source: string
  /** @default the catalogue's name, or one made of the file's */
  readonly name?: string
  /** @default 'auto': of what the source has in more precision than kernels hold, each layer the format that is chosen */
  readonly weights?: WeightFormat
  /** Whether the formats are measured. @default 'auto': where there is something to choose, or a format to be judged */
  readonly measure?: 'auto' | 'always' | 'never'
  /** Text to measure on, in place of weft's own page. */
  readonly calibration?: string
  /** @default 'f16', or 'f32' where `fitsHalf` says so */
  readonly boundary?: BoundaryType
  /** File of the tokenizer, for llama2.c models whose tokenizer is not beside them. */
  readonly tokenizer?: string
  /** Replaces another model of the same name. */
  readonly force?: boolean
}

/** Imports into one store run one after the other, so that what a failed one takes back is its own. */
const running = new WeakMap<BlobStore, Promise<unknown>>()

/** How files are read: here, or in a child. */
interface Storing {
  file(job: StoreFileJob, events: StoreFileEvents, signal?: AbortSignal): Promise<StoredFile>
  bundle(job: StoreBundleJob, events: StoreFileEvents, signal?: AbortSignal): Promise<StoredBundle>
  graph(job: StoreGraphJob, events: StoreFileEvents, signal?: AbortSignal): Promise<StoredGraph>
}

/**
 * Imports a language model, reading its file in this process: for files that are known, as in tests. Memory is bounded by a few
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
  const storing: Storing = {
    file: (job, events, end) => storeModelFile(needs.store, job, events, end),
    bundle: (job, events, end) => storeBundle(needs.store, job, events, end),
    graph: (job, events, end) => storeGraph(needs.store, job, events, end),
  }
  return importWith(storing, needs, request, onProgress, signal).then(languageModel)
}

/**
 * Imports a model whose file nobody vouches for: it is opened in a child process, with a limit on memory and a deadline
 * (DESIGN decision 5).
 * @throws what `importModel` does, ImportMemoryError, ImportSilentError, ImportProcessError
 */
export function importAnyInChild(
  needs: ChildImportNeeds,
  request: ModelImportRequest,
  onProgress: ProgressListener = () => {},
  signal?: AbortSignal,
): Promise<AnyManifest> {
  const storing: Storing = {
    file: (job, events, end) => storeInChild(needs, job, events, end),
    bundle: (job, events, end) => storeBundleInChild(needs, job, events, end),
    graph: (job, events, end) => storeGraphInChild(needs, { ...job, codeCache: needs.codeCache }, events, end),
  }
  return importWith(storing, needs, request, onProgress, signal)
}

async function importWith(
  storing: Storing,
  needs: ImportNeeds,
  request: ModelImportRequest,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<AnyManifest> {
  if (request.name !== undefined) checkModelName(request.name)
  return inTurn(needs.store, async () => {
    signal?.throwIfAborted()
    const fetched = await fetchSource(needs, request.source, onProgress, signal)
    try {
      return await importFile(storing, needs, request, fetched, onProgress, signal)
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
  storing: Storing,
  needs: ImportNeeds,
  request: ModelImportRequest,
  fetched: FetchedFile,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<AnyManifest> {
  const model = request.name ?? fetched.name ?? modelNameOf(fetched.path)
  checkModelName(model)
  const bundled = await isBundle(fetched.path)
  const onnx = bundled ? null : await onnxOf(fetched.path)
  if (bundled) refuseChoices(request)
  const added: string[] = []
  const events: StoreFileEvents = {
    progress: (done, total) => onProgress({ type: 'progress', task: `importing ${model}`, done, total, unit: 'bytes' }),
    added: (address) => added.push(address),
  }
  try {
    const manifest: AnyManifest = bundled
      ? await storeFromBundle(storing, needs, request, fetched, events, onProgress, signal)
      : onnx !== null
        ? await storeFromGraph(storing, needs, request, { ...fetched, path: onnx, name: model }, events, signal)
        : await storeFromFile(storing, needs, request, { ...fetched, name: model }, events, onProgress, signal)
    signal?.throwIfAborted()
    await saveManifest(needs.directory, manifest, { force: request.force === true })
    return manifest
  } catch (error) {
    for (const address of added) await needs.store.remove(address).catch(() => {})
    throw error
  }
}

async function onnxOf(path: string): Promise<string | null> {
  return (await onnxOfFolder(path)) ?? ((await isOnnxFile(path)) ? path : null)
}

async function storeFromGraph(
  storing: Storing,
  needs: ImportNeeds,
  { weights, boundary }: ModelImportRequest,
  fetched: FetchedFile & { readonly name: string },
  events: StoreFileEvents,
  signal: AbortSignal | undefined,
): Promise<AnyManifest> {
  if ((weights ?? 'auto') !== 'auto' || boundary !== undefined) {
    throw new ModelKindError(fetched.name, 'is an ONNX file, whose weights stay as they are: leave --weights out')
  }
  await mkdir(needs.downloads, { recursive: true })
  const text = await tokenizerFolder(fetched.path)
  const job: StoreGraphJob = {
    onnx: fetched.path,
    scratch: needs.downloads,
    codeCache: join(needs.downloads, 'code'),
    ...(text === null ? {} : { text }),
  }
  const { license, content } = await storing.graph(job, events, signal)
  return checkGraphManifest({
    schema: 'weft.manifest/1',
    kind: 'graph',
    model: fetched.name,
    digest: graphDigest(content),
    license: fetched.license ?? license,
    source: fetched.source,
    ...content,
  })
}

async function storeFromFile(
  storing: Storing,
  needs: ImportNeeds,
  request: ModelImportRequest,
  fetched: FetchedFile & { readonly name: string },
  events: StoreFileEvents,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<ModelManifest> {
  const job: StoreFileJob = {
    path: fetched.path,
    ...(request.tokenizer === undefined ? {} : { tokenizer: request.tokenizer }),
    weights: request.weights ?? 'auto',
    boundary: request.boundary ?? 'f16',
  }
  const { license, content } = await storing.file(job, events, signal)
  const read = checkManifest({
    schema: 'weft.manifest/1',
    model: fetched.name,
    digest: manifestDigest(content),
    license: fetched.license ?? license,
    source: fetched.source,
    ...content,
  })
  return settled(needs, request, read, onProgress, signal)
}

/** The manifest as it was exported, its range measured where it was imported first; only the name may be another. */
async function storeFromBundle(
  storing: Storing,
  needs: ImportNeeds,
  request: ModelImportRequest,
  fetched: FetchedFile,
  events: StoreFileEvents,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<AnyManifest> {
  await mkdir(needs.downloads, { recursive: true })
  const job = { bundle: fetched.path, scratch: needs.downloads }
  const { manifest, reused } = await storing.bundle(job, events, signal)
  if (reused.blobs > 0) {
    needs.onReused?.(reused.blobs, reused.bytes)
    const task = `keeping ${reused.blobs} blobs of ${manifest.model} that were here`
    onProgress({ type: 'progress', task, done: reused.bytes, total: reused.bytes, unit: 'bytes' })
  }
  const listed = fetched.catalogued === true ? fetched.name : undefined
  return checkAnyManifest({ ...manifest, model: request.name ?? listed ?? manifest.model })
}

/** @throws BundleChoiceError */
function refuseChoices({ weights, boundary, tokenizer }: ModelImportRequest): void {
  if (weights !== undefined) throw new BundleChoiceError(`--weights ${weights}`)
  if (boundary !== undefined) throw new BundleChoiceError(`the boundary ${boundary}`)
  if (tokenizer !== undefined) throw new BundleChoiceError('a tokenizer of its own')
}
