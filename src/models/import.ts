/** From a source that a person names to blobs in the store and a manifest in the mesh home. */
import type { BlobStore } from '../store/index.ts'
import { makeBlock, planBlocks } from './blocks.ts'
import { manifestDigest } from './manifest-check.ts'
import { saveManifest } from './manifest-files.ts'
import type { Block, BoundaryType, ModelManifest, TensorRef, WeightFormat } from './manifest.ts'
import { checkModelName, modelNameOf } from './model-name.ts'
import type { FileTensor } from './readers/gguf-tensors.ts'
import { openModel } from './readers/open-model.ts'
import type { OpenModel } from './readers/open-model.ts'
import type { RandomAccess } from './readers/random-access.ts'
import { fetchSource } from './sources/fetch-source.ts'
import type { FetchedFile, SourceNeeds } from './sources/fetch-source.ts'
import type { ImportProgress, ProgressListener } from './sources/progress.ts'

export interface ImportNeeds extends SourceNeeds {
  readonly store: BlobStore
  /** Partitions folder of the mesh home: where the manifest goes. */
  readonly directory: string
}

export interface ModelImportRequest {
  /** A file, a URL, `hf:`, `npm:`, `pypi:`, or a model of the catalogue. */
  readonly source: string
  /** @default the catalogue's name, or one made of the file's */
  readonly name?: string
  /** @default 'auto' */
  readonly weights?: WeightFormat
  /** @default 'f16' */
  readonly boundary?: BoundaryType
  /** File of the tokenizer, for llama2.c models whose tokenizer is not beside them. */
  readonly tokenizer?: string
  /** Replaces another model of the same name. */
  readonly force?: boolean
}

/** Read at once from a model file: one chunk of the store. */
const READ_BYTES = 1 << 20
/** Imports into one store run one after the other, so that what a failed one takes back is its own. */
const running = new WeakMap<BlobStore, Promise<unknown>>()

/**
 * Imports a model. Memory is bounded by a few chunks, whatever its size; nothing is left when it fails.
 * @throws SourceSyntaxError, SourceFileError, UnknownModelError, FetchError, ChecksumError, ModelFileError,
 * UnsupportedModelError, TokenizerDataError, ModelNameError, ModelExistsError, DiskFullError
 */
export async function importModel(
  needs: ImportNeeds,
  request: ModelImportRequest,
  onProgress: ProgressListener = () => {},
  signal?: AbortSignal,
): Promise<ModelManifest> {
  if (request.name !== undefined) checkModelName(request.name)
  return inTurn(needs.store, async () => {
    signal?.throwIfAborted()
    const fetched = await fetchSource(needs, request.source, onProgress, signal)
    try {
      return await importFile(needs, request, fetched, onProgress, signal)
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
  needs: ImportNeeds,
  request: ModelImportRequest,
  fetched: FetchedFile,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<ModelManifest> {
  const opened = await openModel(fetched.path, request.tokenizer)
  const model = request.name ?? fetched.name ?? modelNameOf(fetched.path)
  checkModelName(model)
  const before = new Set<string>()
  for await (const { address } of needs.store.list()) before.add(address)
  const added: string[] = []
  try {
    const content = await storeModel(needs.store, opened, request, progressOf(opened, model, onProgress), added, signal)
    await opened.access.unchanged()
    const manifest: ModelManifest = {
      schema: 'weft.manifest/1',
      model,
      digest: manifestDigest(content),
      license: fetched.license ?? opened.model.license,
      source: fetched.source,
      ...content,
    }
    signal?.throwIfAborted()
    await saveManifest(needs.directory, manifest, { force: request.force === true })
    return manifest
  } catch (error) {
    for (const address of added) if (!before.has(address)) await needs.store.remove(address).catch(() => {})
    throw error
  } finally {
    await opened.access.close()
  }
}

function progressOf(opened: OpenModel, model: string, onProgress: ProgressListener): (bytes: number) => void {
  const total = [...opened.model.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  const base = {
    type: 'progress',
    task: `importing ${model}`,
    total,
    unit: 'bytes',
  } as const satisfies Partial<ImportProgress>
  let done = 0
  return (bytes) => onProgress({ ...base, done: (done += bytes) })
}

async function storeModel(
  store: BlobStore,
  { model, access }: OpenModel,
  request: ModelImportRequest,
  moved: (bytes: number) => void,
  added: string[],
  signal: AbortSignal | undefined,
): Promise<Pick<ModelManifest, 'shape' | 'boundary' | 'tokenizer' | 'blocks'>> {
  const weights = request.weights ?? 'auto'
  const refs = new Map<string, TensorRef>()
  for (const [name, tensor] of model.tensors) {
    const { address } = await store.put(tensorBytes(access, tensor, moved, signal))
    added.push(address)
    refs.set(name, { name, type: tensor.type, shape: tensor.shape, bytes: tensor.bytes, address })
  }
  const tied = !refs.has('output.weight')
  const blocks: Block[] = planBlocks(model.shape, tied).map(({ kind, tensors }) => {
    const own = tensors.map(({ name }) => refs.get(name)!)
    return makeBlock(kind, own, weights, model.shape)
  })
  const tokenizer = await store.put(Buffer.from(JSON.stringify(model.tokenizer)))
  added.push(tokenizer.address)
  return { shape: model.shape, boundary: request.boundary ?? 'f16', tokenizer, blocks }
}

async function* tensorBytes(
  access: RandomAccess,
  tensor: FileTensor,
  moved: (bytes: number) => void,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  for (let at = 0; at < tensor.bytes; at += READ_BYTES) {
    signal?.throwIfAborted()
    const length = Math.min(READ_BYTES, tensor.bytes - at)
    yield await access.read(tensor.offset + at, length)
    moved(length)
  }
}
