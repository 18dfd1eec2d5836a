/**
 * Measures weight formats on text: a block at a time goes through its candidates beside float32 (quality/layers.ts and
 * head.ts), and whole models are made of them on the way. A program of its own, since it computes and loads what may be
 * hostile; the choice is made by whoever asked.
 */
import { rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { createTokenizer, openEmbedding } from '../../models/index.ts'
import type { BlockErrors, ModelManifest, Tokenizer, TokenizerDefinition } from '../../models/index.ts'
import { createOrtEngine } from '../../onnx/index.ts'
import { createBlobStore } from '../../store/index.ts'
import type { BlobStore } from '../../store/index.ts'
import { runGuardedProgram } from '../../util/index.ts'
import type { GuardedTask } from '../../util/index.ts'
import { cheapest } from './quality/cheapest.ts'
import { distances, headErrors } from './quality/head.ts'
import { throughLayer } from './quality/layers.ts'
import type { ReferenceRows, Whole } from './quality/layers.ts'
import type { MeasuredText, QualityEvent, QualityResult, QualityTask } from './quality/protocol.ts'
import { TrialRunner } from './quality/runner.ts'
import { measureSpeeds } from './quality/speed.ts'

/** More threads than that wait for each other on the few rows of a trial. */
const MOST_THREADS = 8

/**
 * What an error of the head weighs beside one of a layer, which the others dilute: of SmolLM2-135M a squared error of the
 * head diverges by 1.7 times itself, of a layer by 0.36.
 */
const HEAD_WEIGHT = 4

async function measure({ input, emit, signal }: GuardedTask): Promise<QualityResult> {
  const task = input as QualityTask
  const store = await createBlobStore({ directory: task.storeDirectory, readOnly: true })
  try {
    return await measured(task, store, (done) => {
      signal.throwIfAborted()
      emit({ done } satisfies QualityEvent)
    })
  } catch (error) {
    if (signal.aborted) await rm(task.workDirectory, { recursive: true, force: true })
    throw error
  }
}

async function measured(task: QualityTask, store: BlobStore, tell: (done: number) => void): Promise<QualityResult> {
  const { manifest, candidates, workDirectory } = task
  const { shape, blocks } = manifest
  const engine = createOrtEngine()
  const runner = new TrialRunner(engine, { threads: Math.min(MOST_THREADS, availableParallelism()) }, workDirectory)
  const texts = await textsOf(store, manifest, task)
  let rows = embedded(store, manifest, texts)
  let largest = Math.max(...Object.values(rows).map(magnitude))
  let wholes = task.prices.map((price): Whole => ({
    price,
    weights: [blocks[0]!.weights],
    rows: rows.heldOut,
    damage: 0,
  }))
  const errors: BlockErrors[] = [{}]
  const positions = Math.max(...Object.values(texts).map((ids) => ids.length))
  const needs = { store, shape, runner, positions }
  for (let index = 1; index < blocks.length - 1; index++) {
    const layer = { block: blocks[index]!, layer: index - 1, candidates: candidates[index]! }
    const passed = await throughLayer(needs, layer, rows, wholes)
    rows = passed.after
    wholes = hopeful(wholes, task.hopeless)
    errors.push(passed.errors)
    largest = Math.max(largest, ...Object.values(rows).map(magnitude))
    tell(index)
  }
  const head = blocks.length - 1
  const formats = candidates[head]!.map(({ weights }) => weights)
  const ofHead = await headErrors(needs, blocks[head]!, formats, rows.calibration)
  errors.push(ofHead)
  tell(head)
  for (const whole of wholes) {
    const weights = cheapest(candidates[head]!, ofHead, whole.price * HEAD_WEIGHT)
    whole.weights.push(weights)
    whole.damage += HEAD_WEIGHT * ofHead[weights]! ** 2
  }
  wholes = hopeful(wholes, task.hopeless)
  const { exact, of } = await distances(needs, blocks[head]!, rows.heldOut, wholes, followers(texts.heldOut))
  tell(head + 1)
  return {
    calibration_tokens: texts.calibration.length,
    held_out_tokens: texts.heldOut.length,
    largest: Number.isFinite(largest) ? largest : Number.MAX_VALUE,
    errors,
    perplexity: exact,
    wholes: wholes.map((whole) => ({ price: whole.price, weights: whole.weights, ...of.get(whole)! })),
    speeds: task.timed === null ? [] : await measureSpeeds(task, store, engine, task.timed),
  }
}

/** The dearest stays, whatever its damage. */
function hopeful(wholes: readonly Whole[], most: number): Whole[] {
  return wholes.filter(({ damage }, index) => damage <= most || index === wholes.length - 1)
}

type Ids = Readonly<Record<keyof ReferenceRows, Int32Array>>

async function textsOf(store: BlobStore, manifest: ModelManifest, task: QualityTask): Promise<Ids> {
  const definition = Buffer.from(await store.readAll(manifest.tokenizer.address)).toString('utf8')
  const tokenizer = createTokenizer(JSON.parse(definition) as TokenizerDefinition)
  const { vocabulary, context } = manifest.shape
  const clipped = (text: MeasuredText): Int32Array => idsOf(tokenizer, text, vocabulary).slice(0, context)
  return {
    calibration: clipped(task.calibration),
    heldOut: clipped(task.heldOut),
    range: clipped({ paragraphs: [task.range], tokens: context }),
  }
}

/** The beginnings of all paragraphs, so that little text has of each kind as well. */
function idsOf(tokenizer: Tokenizer, { paragraphs, tokens }: MeasuredText, vocabulary: number): Int32Array {
  const share = Math.ceil(tokens / paragraphs.length)
  const ids = paragraphs.flatMap((paragraph, index) => {
    // What begins a text begins it once.
    const options = index === 0 ? { addEos: false } : { addBos: false, addEos: false }
    return tokenizer.encode(paragraph, options).slice(0, share)
  })
  return Int32Array.from(ids.filter((id) => id < vocabulary)).slice(0, tokens)
}

function embedded(store: BlobStore, { blocks, shape }: ModelManifest, texts: Ids): ReferenceRows {
  const ref = blocks[0]!.tensors[0]!
  const embedding = openEmbedding(store.path(ref.address), shape, ref, 'f32')
  try {
    const rows = (ids: Int32Array): Float32Array => new Float32Array(embedding.rows(ids).buffer)
    return { calibration: rows(texts.calibration), heldOut: rows(texts.heldOut), range: rows(texts.range) }
  } finally {
    embedding.close()
  }
}

function followers(ids: Int32Array): Int32Array {
  return Int32Array.from(ids, (_, row) => ids[row + 1] ?? -1)
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
