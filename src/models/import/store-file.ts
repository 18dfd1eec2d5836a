/** A model file, read, held against itself and turned into blobs: the part of an import that depends on what it says. */
import type { BlobAddress, BlobStore } from '../../store/index.ts'
import { makeBlock, planBlocks } from '../blocks.ts'
import type { BoundaryType, ModelManifest, TensorRef, WeightFormat } from '../manifest.ts'
import type { FileTensor } from '../readers/gguf-tensors.ts'
import { openModel } from '../readers/open-model.ts'
import type { OpenModel } from '../readers/open-model.ts'
import type { RandomAccess } from '../readers/random-access.ts'
import { createTokenizer } from '../tokenizer/tokenizer.ts'

/** JSON-safe: it crosses to a child. */
export interface StoreFileJob {
  readonly path: string
  /** File of the tokenizer, for llama2.c models whose tokenizer is not beside them. */
  readonly tokenizer?: string
  readonly weights: WeightFormat
  readonly boundary: BoundaryType
}

/** JSON-safe. */
export interface StoredFile {
  readonly license: string
  readonly content: Pick<ModelManifest, 'shape' | 'boundary' | 'tokenizer' | 'blocks'>
}

export interface StoreFileEvents {
  /** Bytes of tensors read so far, of all. */
  progress(done: number, total: number): void
  /** A blob is about to appear that was not in the store before. */
  added(address: BlobAddress): void
}

/** Read at once from a model file: one chunk of the store. */
const READ_BYTES = 1 << 20
/** Tensors at once: while one is synced to the disk, another is read and hashed. */
const LANES = 3
/** What every tokenizer must be able to take: letters, digits, signs, another script. */
const TRIAL_TEXT = 'One, 2 \u2014 \u4f60\u597d.\n'

/**
 * Memory is bounded by the file's header and a few chunks, whatever its size. What it has added when it fails, the caller
 * takes back.
 * @throws SourceFileError, ModelFileError, UnsupportedModelError, TokenizerDataError, TokenizerDefinitionError,
 * UnknownPreTokenizerError, DiskFullError, StoreUnwritableError
 */
export async function storeModelFile(
  store: BlobStore,
  job: StoreFileJob,
  events: StoreFileEvents,
  signal?: AbortSignal,
): Promise<StoredFile> {
  const opened = await openModel(job.path, job.tokenizer)
  try {
    // A definition may keep all laws and still be none that text can be cut with.
    createTokenizer(opened.model.tokenizer).encode(TRIAL_TEXT)
    const content = await storeModel(store, opened, job, events, signal)
    await opened.access.unchanged()
    return { license: opened.model.license, content }
  } finally {
    await opened.access.close()
  }
}

/** The tensors and the tokenizer of a model that is open. @throws DiskFullError, StoreUnwritableError */
export async function storeModel(
  store: BlobStore,
  { model, access }: OpenModel,
  job: StoreFileJob,
  events: StoreFileEvents,
  signal?: AbortSignal,
): Promise<StoredFile['content']> {
  const added = (address: BlobAddress): void => events.added(address)
  const moved = progressOf(model.tensors.values(), events)
  const refs = new Map<string, TensorRef>()
  await inLanes(model.tensors, LANES, async ([name, tensor]) => {
    const { address } = await store.put(tensorBytes(access, tensor, moved, signal), added)
    refs.set(name, { name, type: tensor.type, shape: tensor.shape, bytes: tensor.bytes, address })
  })
  const tied = !refs.has('output.weight')
  const blocks = planBlocks(model.shape, tied).map(({ kind, tensors }) => {
    const own = tensors.map(({ name }) => refs.get(name)!)
    return makeBlock(kind, own, job.weights, model.shape)
  })
  const tokenizer = await store.put(Buffer.from(JSON.stringify(model.tokenizer)), added)
  return { shape: model.shape, boundary: job.boundary, tokenizer, blocks }
}

function progressOf(tensors: Iterable<FileTensor>, events: StoreFileEvents): (bytes: number) => void {
  let total = 0
  for (const { bytes } of tensors) total += bytes
  let done = 0
  return (bytes) => events.progress((done += bytes), total)
}

/**
 * Works on so many items at once. When one fails no other is begun, and those that were have ended.
 * @throws what the first has thrown
 */
async function inLanes<Item>(items: Iterable<Item>, lanes: number, work: (item: Item) => Promise<void>): Promise<void> {
  const waiting = [...items]
  const failures: unknown[] = []
  const lane = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined && failures.length === 0; item = waiting.shift()) {
      await work(item).catch((error: unknown) => failures.push(error))
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  if (failures.length > 0) throw failures[0]
}

/** Each piece holds until the next is asked for, which is read meanwhile. */
async function* tensorBytes(
  access: RandomAccess,
  tensor: FileTensor,
  moved: (bytes: number) => void,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  let [current, spare] = [1, 2].map(() => new Uint8Array(Math.min(READ_BYTES, tensor.bytes))) as [
    Uint8Array,
    Uint8Array,
  ]
  const read = async (into: Uint8Array, at: number): Promise<Uint8Array> => {
    const bytes = into.subarray(0, Math.min(READ_BYTES, tensor.bytes - at))
    if (bytes.length > 0) await access.fill(bytes, tensor.offset + at)
    return bytes
  }
  let reading = read(current, 0)
  for (let at = 0; at < tensor.bytes; at += READ_BYTES) {
    signal?.throwIfAborted()
    const bytes = await reading
    ;[current, spare] = [spare, current]
    reading = read(current, Math.min(at + READ_BYTES, tensor.bytes))
    // Whoever stops here never hears how it ended.
    reading.catch(() => undefined)
    yield bytes
    moved(bytes.length)
  }
}
