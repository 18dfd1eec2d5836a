/** What trains at a site, whatever the model: a table's network, or an adapter of a language model. */
import type { Engine } from '../../onnx/index.ts'
import type { BaseModel, Metrics, Stepper } from '../../training/index.ts'
import type { Clock } from '../../util/index.ts'
import type { FedBase } from '../plan/language.ts'
import type { Balanced } from './balance.ts'
import type { ParameterShape } from './parameters.ts'
import type { ColumnMoments, Pooled } from './statistics.ts'

export interface TrainerNeeds {
  readonly clock: Clock
  readonly engine: Engine
  /** Of this site alone: graphs and rows that do not fit memory go there. */
  readonly folder: string
  readonly threads: number
  /** The language model of this name as this site holds it, all of it. Without it, none is held. @throws when there is none */
  readonly base?: BaseProvider | undefined
}

export type BaseProvider = (wanted: FedBase, signal?: AbortSignal) => Promise<BaseModel>

export interface LocalJob {
  /** From 0: which order the rows of a batch have. */
  readonly round: number
  readonly start: Float32Array
  /** mu of a term mu (w - anchor) in the gradient. @default 0 */
  readonly proximal?: { readonly mu: number; readonly anchor: Float32Array }
  /** Added to each gradient (SCAFFOLD: c - c_k). */
  readonly correction?: Float64Array
  readonly steps?: number | undefined
}

export interface LocalResult {
  readonly weights: Float32Array
  /** Steps that were taken. */
  readonly steps: number
}

export interface LocalTrainer {
  readonly site: string
  /** Name of the language model beside which the parameters are an adapter; undefined: they are a model of their own. */
  readonly base?: string
  /** Rows, or windows of text, for training and for testing. */
  readonly records: number
  readonly testRecords: number
  /** Where the plan has classes count the same. */
  balanced?(): Promise<Balanced | undefined>
  /** What training begins with, the same at every site; of no length before `fit`. */
  readonly initial: Float32Array
  /** Of the columns whose mean and deviation all sites pool. */
  moments(): ColumnMoments[]
  fit(pooled: Pooled): Promise<void>
  /** Raw numbers of these columns, of each row for training; NaN where a cell is missing. */
  eachTrainingRow(columns: readonly string[], visit: (values: readonly number[]) => void): Promise<void>
  shapes(): readonly ParameterShape[]
  /** @throws TrainerError when a value is not finite */
  train(job: LocalJob, signal?: AbortSignal): Promise<LocalResult>
  /** Sum of the clipped gradients of these records (places among those for training). */
  clippedSum(weights: Float32Array, places: Uint32Array, clip: number): Promise<Float64Array>
  /** Mean loss over the records of a part; nothing where it has none. */
  loss(weights: Float32Array, which: 'train' | 'test', signal?: AbortSignal): Promise<number | undefined>
  metrics(weights: Float32Array, which: 'train' | 'test', signal?: AbortSignal): Promise<Metrics | undefined>
  /** The model as other verbs take it. @returns names of its files in the folder */
  write(weights: Float32Array, folder: string): Promise<readonly string[]>
  close(): Promise<void>
}

/** An optimizer begins each round anew: what it carried was of another start. */
export function zeroed(state: Stepper['state']): Stepper['state'] {
  return Object.fromEntries(
    Object.entries(state).map(([name, { dims, data }]) => [
      name,
      { type: 'float32' as const, dims, data: new Float32Array(data.length) },
    ]),
  )
}

/** A step of plain gradient descent, with the terms that its gradient should have had. */
export function corrected(
  after: Float32Array,
  before: Float32Array,
  rate: number,
  { proximal, correction }: LocalJob,
): Float32Array {
  return after.map((value, index) => {
    const pull = proximal === undefined ? 0 : proximal.mu * (before[index]! - proximal.anchor[index]!)
    return value - rate * (pull + (correction?.[index] ?? 0))
  })
}
