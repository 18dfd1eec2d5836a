/**
 * Whether a model's residual stays within float16: the beginnings of some texts go through it layer by layer, in float32,
 * each layer loaded alone, and the next one prepared meanwhile. The result is the largest magnitude, and the levels of the
 * rows at each boundary. A program of its own, since it computes and loads what may be hostile.
 */
import { rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { createTokenizer, openEmbedding } from '../../models/index.ts'
import type { ModelManifest, TokenizerDefinition } from '../../models/index.ts'
import { createBlobStore } from '../../store/index.ts'
import type { BlobStore } from '../../store/index.ts'
import { runGuardedProgram } from '../../util/index.ts'
import type { GuardedTask } from '../../util/index.ts'
import { layersHere, layersInThreads } from './range/layer-threads.ts'
import type { RangeEvent, RangeResult, RangeTask } from './range/protocol.ts'
import { levelsOf, outerTokens } from './range/text-levels.ts'
import type { OuterTokens } from './range/text-levels.ts'

/**
 * Of each text. The largest elements belong to the first token, whichever it is: of SmolLM2-135M 21,989 to 27,347 by eleven
 * first tokens, and the same to five digits with 8 rows and with 87.
 */
const ROWS = 16
/** Of tokens, beside those that are given: two of each of the two that are furthest out. */
const OUTER_TEXTS = 4
/** One prepares while the other computes. */
const MOST_THREADS = 2
/** Weights of a layer, as kernels hold them, up to which two are in memory at once. */
const MOST_BYTES = 1 << 28
/** Of all layers: with less to pack, threads take longer to start than they save. */
const LEAST_BYTES = 1 << 25

async function measure({ input, emit, signal }: GuardedTask): Promise<RangeResult> {
  const { manifest, storeDirectory, workDirectory, texts } = input as RangeTask
  const store = await createBlobStore({ directory: storeDirectory, readOnly: true })
  const blocks = [...manifest.blocks.keys()].slice(1, -1)
  const count = threadsFor(manifest)
  const rows = Math.min(ROWS, manifest.shape.context)
  const init = {
    manifest,
    storeDirectory,
    workDirectory,
    texts: { count: texts.length + OUTER_TEXTS, positions: rows },
    threads: Math.max(1, Math.floor(availableParallelism() / count)),
  }
  const layers = count === 1 ? await layersHere(init) : layersInThreads(init, blocks, count)
  signal.addEventListener('abort', () => layers.fail(signal.reason as Error))
  try {
    const { width } = manifest.shape
    const start = await embedded(store, manifest, texts, rows)
    // The texts that are made of tokens decide nothing about the boundary's type: nobody writes them.
    const plain = texts.length * rows * width
    let { residual } = start
    let largest = magnitude(residual.subarray(0, plain))
    const levels: (readonly [number, number])[] = [[start.outer.low, start.outer.high]]
    for (const block of blocks) {
      signal.throwIfAborted()
      residual = await layers.through(block, residual)
      largest = Math.max(largest, magnitude(residual.subarray(0, plain)))
      levels.push(levelsOf(residual, width))
      emit({ done: block } satisfies RangeEvent)
    }
    const finite = Number.isFinite(largest) ? largest : Number.MAX_VALUE
    const isMeasured = levels.every((both) => both.every(Number.isFinite))
    return { largest: finite, rows, threads: count, levels: isMeasured ? levels : null }
  } finally {
    // Threads that still write find no folder any more.
    if (signal.aborted) await rm(workDirectory, { recursive: true, force: true, maxRetries: 3 })
    await layers.end()
  }
}

function threadsFor({ blocks }: ModelManifest): number {
  const sizes = blocks.slice(1, -1).map(({ memory }) => memory)
  const all = sizes.reduce((sum, size) => sum + size, 0)
  if (all < LEAST_BYTES || Math.max(...sizes) > MOST_BYTES) return 1
  return Math.min(MOST_THREADS, sizes.length, availableParallelism())
}

/**
 * The first rows of all texts, one text behind the other; a text that is shorter begins again. Behind them the first text with
 * the token whose row is the smallest in front of it, with that of the largest, and each of the two alone, again and again.
 */
async function embedded(
  store: BlobStore,
  { blocks, shape, tokenizer }: ModelManifest,
  texts: readonly string[],
  rows: number,
): Promise<{ readonly residual: Float32Array; readonly outer: OuterTokens }> {
  const definition = Buffer.from(await store.readAll(tokenizer.address)).toString('utf8')
  const encoder = createTokenizer(JSON.parse(definition) as TokenizerDefinition)
  const filled = (own: readonly number[]): number[] =>
    Array.from({ length: rows }, (_, row) => own[row % own.length] ?? 0)
  const written = texts.map((text) => encoder.encode(text, { addEos: false }).filter((id) => id < shape.vocabulary))
  const ref = blocks[0]!.tensors[0]!
  const embedding = openEmbedding(store.path(ref.address), shape, ref, 'f32')
  try {
    const outer = outerTokens(embedding, shape.vocabulary, shape.width)
    const made = outer.ids.flatMap((id) => [[id, ...(written[0] ?? [])], [id]])
    const ids = Int32Array.from([...written, ...made].flatMap(filled))
    return { residual: new Float32Array(embedding.rows(ids).buffer), outer }
  } finally {
    embedding.close()
  }
}

function magnitude(rows: Float32Array): number {
  let largest = 0
  for (const value of rows) {
    const size = Math.abs(value)
    if (!(size <= largest)) largest = size
  }
  return largest
}

await runGuardedProgram(measure)
