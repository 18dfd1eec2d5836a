/** A model over a part of the examples: what it says, and how good that is. */
import type { Tensor } from '../../onnx/index.ts'
import { FIELD } from '../data/index.ts'
import type { Part } from '../data/index.ts'
import { OUTPUT } from '../graph/names.ts'
import { Gauge } from '../metrics/index.ts'
import type { Metrics } from '../metrics/index.ts'
import type { MetricName, TrainPlan } from '../plan/schema.ts'
import { feedsFor } from './batches.ts'
import type { Others } from './batches.ts'
import type { Session } from './sessions.ts'
import type { Tensors } from './stepper.ts'

/** Rows that are evaluated at once; of texts, whose scores are many a row, fewer. */
const BATCH = 512
const TEXTS = 16

export interface EvaluateRequest {
  readonly session: Session
  readonly plan: TrainPlan
  readonly part: Part
  readonly parameters: Tensors
  readonly metrics: readonly MetricName[]
  /** Of a ranking. */
  readonly others: Others | undefined
}

export interface Evaluated {
  /** The mean. */
  readonly loss: number
  readonly metrics: Metrics
}

/**
 * The loss is the mean over the rows; Cox's over all of them at once, since each row is at risk with the others. Scores are
 * kept for no longer than a batch, but where all of them have to be put in order (areas under curves, concordance).
 */
export async function evaluate(request: EvaluateRequest, signal?: AbortSignal): Promise<Evaluated> {
  const { plan, part, metrics } = request
  const { index } = part
  const size = Math.max(1, Math.min(index.length, sizeFor(plan, index.length)))
  const sums: Sums = { gauge: new Gauge(metrics), loss: 0 }
  for (let from = 0; from < index.length; from += size) {
    signal?.throwIfAborted()
    const rows = index.subarray(from, from + size)
    await (plan.task === 'ranking' ? addPairs(sums, request, rows, signal) : addRows(sums, request, rows, signal))
  }
  const loss = sums.loss / index.length
  return { loss, metrics: sums.gauge.metrics(loss) }
}

function sizeFor({ task }: TrainPlan, count: number): number {
  if (task === 'survival') return count
  return task === 'language' ? TEXTS : BATCH
}

async function addRows(sums: Sums, request: EvaluateRequest, rows: Uint32Array, signal?: AbortSignal): Promise<void> {
  const { session, plan, part, parameters } = request
  const feeds = await feedsFor(plan, part, rows, undefined, signal)
  const results = await session.run({ ...parameters, ...feeds })
  sums.loss += Number(results[OUTPUT.loss]!.data[0]) * rows.length
  if (!sums.gauge.needsScores) return
  const scores = results[OUTPUT.scores]!.data as Float32Array
  const targets = numbersOf(feeds[FIELD.target])
  const times = plan.task === 'survival' ? await timesOf(part, rows) : undefined
  sums.gauge.add({ width: scores.length / targets.length, scores, targets, ...(times && { times }) })
}

/** Each pair that was chosen, and one that was not: a target of 1 and one of 0. */
async function addPairs(sums: Sums, request: EvaluateRequest, rows: Uint32Array, signal?: AbortSignal): Promise<void> {
  const { session, plan, part, parameters, others } = request
  const { [FIELD.other]: other, ...feeds } = await feedsFor(plan, part, rows, others, signal)
  const chosen = feeds[FIELD.input]!
  const changed = Float32Array.from(chosen.data as Float32Array)
  for (const [row, item] of numbersOf(other).entries()) changed[2 * row + 1] = item
  const [wanted, unwanted] = [
    await session.run({ ...parameters, ...feeds }),
    await session.run({ ...parameters, [FIELD.input]: { ...chosen, data: changed } }),
  ].map((results) => results[OUTPUT.scores]!.data as Float32Array) as [Float32Array, Float32Array]
  for (const [row, score] of wanted.entries()) sums.loss += softplus(unwanted[row]! - score)
  for (const [scores, target] of [
    [wanted, 1],
    [unwanted, 0],
  ] as const) {
    sums.gauge.add({ width: 1, scores, targets: new Uint8Array(scores.length).fill(target) })
  }
}

function softplus(value: number): number {
  return Math.max(value, 0) + Math.log1p(Math.exp(-Math.abs(value)))
}

interface Sums {
  readonly gauge: Gauge
  /** Of all rows so far. */
  loss: number
}

/** By falling time, as the rows of the feeds are. */
async function timesOf(part: Part, rows: Uint32Array): Promise<number[]> {
  const { [FIELD.time]: times } = await part.rows.take(rows)
  return numbersOf(times).sort((a, b) => b - a)
}

function numbersOf(tensor: Tensor | undefined): number[] {
  return tensor === undefined ? [] : Array.from(tensor.data as ArrayLike<number | bigint>, Number)
}
