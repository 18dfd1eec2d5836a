/** What was made of a file, as data. */
import type { Optimization } from '../engine.ts'
import type { Dimension } from '../ir/index.ts'
import type { CheckResult } from './check-task.ts'
import type { ChosenPartitions } from './choose.ts'

export interface PlannedValue {
  readonly name: string
  /** Element type, or `unknown` for what is no tensor. */
  readonly type: string
  /** A name is a free dimension. Empty for a scalar, null where the file does not say. */
  readonly shape: readonly Dimension[] | null
}

export interface PlannedInput extends PlannedValue {
  /** A partition by its index, or an input of the whole model. */
  readonly from: 'graph' | number
}

export interface PlannedOutput extends PlannedValue {
  /** With 1 for each free dimension. */
  readonly bytes: number
  /** Partitions that read it; none for an output of the whole model that stays one. */
  readonly to: readonly number[]
  readonly ofGraph: boolean
}

export interface PlannedPartition {
  readonly file: string
  /** Of its weights, where they are not in `file`. */
  readonly data?: string
  /** [from, to) */
  readonly blocks: readonly [from: number, to: number]
  readonly nodes: number
  /** Nodes that other partitions have too: constants and arithmetic on shapes. */
  readonly repeated: number
  readonly inputs: readonly PlannedInput[]
  readonly outputs: readonly PlannedOutput[]
}

export interface SplitPlan {
  readonly partitions: readonly PlannedPartition[]
  /** All files in the folder, partitions and their data. */
  readonly files: readonly string[]
  /** Of the whole model. */
  readonly blocks: number
  /** The level at which the partitions were proven; they are to run at it. */
  readonly optimization: Optimization
  /** Values of float16 are sent as float32. */
  readonly halfAsFloat: boolean
  readonly balance: ChosenPartitions
  /** Null: not asked for. */
  readonly check: CheckResult | null
  readonly verdict?: 'fewer-parts' | 'do-not-split'
  readonly why?: string
  readonly best?: ChosenPartitions
}
