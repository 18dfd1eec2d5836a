/** A model over a part of the examples: what it says, and how good that is. */
import type { Tensor } from '../../onnx/index.ts'
import { FIELD } from '../data/index.ts'
import type { Part } from '../data/index.ts'
import { OUTPUT } from '../graph/names.ts'
import type { Said } from '../metrics/index.ts'
import type { TrainPlan } from '../plan/schema.ts'
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
  /** Of a ranking. */
  readonly others: Others | undefined
}

/** The loss is the mean over the rows; Cox's over all of them at once, since each row is at risk with the others. */
export async function evaluate(request: EvaluateRequest, signal?: AbortSignal): Promise<Said> {
  const { plan, part } = request
  const { index } = part
  const size = Math.max(1, Math.min(index.length, sizeFor(plan, index.length)))
  const sums = new Sums()
  for (let from = 0; from < index.length; from += size) {
    signal?.throwIfAborted()
    const rows = index.subarray(from, from + size)
    await (plan.task === 'ranking' ? addPairs(sums, request, rows, signal) : addRows(sums, request, rows, signal))
  }
  return sums.said(index.length)
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
  if (plan.task === 'language') return
  sums.scores.push(results[OUTPUT.scores]!.data as Float32Array)
  for (const value of numbersOf(feeds[FIELD.target])) sums.targets.push(value)
  if (plan.task === 'survival') sums.times = await timesOf(part, rows)
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
  sums.scores.push(wanted, unwanted)
  for (const [row, score] of wanted.entries()) sums.loss += softplus(unwanted[row]! - score)
  for (const target of [1, 0]) for (let row = 0; row < rows.length; row++) sums.targets.push(target)
}

function softplus(value: number): number {
  return Math.max(value, 0) + Math.log1p(Math.exp(-Math.abs(value)))
}

class Sums {
  readonly scores: Float32Array[] = []
  readonly targets: number[] = []
  times: number[] | undefined
  loss = 0

  said(count: number): Said {
    const scores = joined(this.scores)
    const targets = Float64Array.from(this.targets)
    return {
      width: targets.length === 0 ? 1 : scores.length / targets.length,
      scores,
      targets,
      ...(this.times === undefined ? {} : { times: Float64Array.from(this.times) }),
      loss: this.loss / count,
    }
  }
}

/** By falling time, as the rows of the feeds are. */
async function timesOf(part: Part, rows: Uint32Array): Promise<number[]> {
  const { [FIELD.time]: times } = await part.rows.take(rows)
  return numbersOf(times).sort((a, b) => b - a)
}

function numbersOf(tensor: Tensor | undefined): number[] {
  return tensor === undefined ? [] : Array.from(tensor.data as ArrayLike<number | bigint>, Number)
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
