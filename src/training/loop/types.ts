/** What is asked of a run, and what comes of it. */
import type { Engine } from '../../onnx/index.ts'
import type { Clock } from '../../util/index.ts'
import type { Metrics } from '../metrics/index.ts'
import type { OpenGradients } from '../parallel/line.ts'
import type { CurvePoint } from './progress.ts'

export interface TrainNeeds {
  readonly clock: Clock
  readonly engine: Engine
  /** Who computes gradients of a plan that is no adapter. @default this process */
  readonly gradients?: OpenGradients | undefined
}

export interface TrainRequest {
  /** Path of the plan. */
  readonly plan: string
  /** Folder of the run. */
  readonly out: string
  readonly resume: boolean
  /** In place of the plan's. */
  readonly seed?: number | undefined
  readonly threads?: number | undefined
}

/** As the command line shows it. */
export interface TrainProgress {
  readonly type: 'progress'
  readonly task: string
  readonly done: number
  readonly total: number
  readonly unit: 'steps'
  readonly detail?: string
}

export type TrainProgressSink = (progress: TrainProgress) => void

/** `result.json` of a run. */
export interface TrainResult {
  readonly schema: 'weft.train-result/1'
  readonly name: string
  readonly task: string
  readonly seed: number
  readonly parameters: number
  readonly examples: { readonly train: number; readonly validation: number; readonly test: number }
  /** Bytes of examples, how many of them lay in a file because memory did not hold them, and what was unpacked to be read. */
  readonly rows: { readonly bytes: number; readonly spilled: number; readonly unpacked: number }
  readonly steps: number
  readonly epochs: number
  /** Whether early stopping ended it. */
  readonly stopped: boolean
  /** The epoch, from 1, whose parameters were kept; the last one where none was chosen. */
  readonly best_epoch: number
  readonly metrics: {
    readonly train: Metrics
    readonly validation?: Metrics
    readonly test?: Metrics
  }
  /** Files in the folder. */
  readonly files: readonly string[]
}

export interface TrainOutcome {
  readonly result: TrainResult
  readonly curve: readonly CurvePoint[]
  /** The step from which a resumed run went on. */
  readonly resumed: number | null
}
