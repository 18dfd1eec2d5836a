/** The examples of a run, whatever file they come from. */
import type { ColumnStatistics, Fingerprint, PartName, RowField, Rows } from '../../data/index.ts'
import type { FittedFeature } from './preprocess.ts'

export interface Part {
  readonly rows: Rows
  /** Places in `rows`. */
  readonly index: Uint32Array
}

export interface Examples {
  readonly parts: Readonly<Record<PartName, Part>>
  /** What goes into the model: one field of the rows. */
  readonly input: RowField
  /** Of a table: what becomes of its columns, in order. */
  readonly features?: readonly FittedFeature[]
  /** Of a table: of each of its columns, over the rows for training. */
  readonly moments?: readonly ColumnStatistics[]
  /** Numbers that the model gives for an example. */
  readonly outputs: number
  /** Of the longest sequence; 1 where there are none. */
  readonly length: number
  readonly files: readonly Fingerprint[]
  /** Bytes that were unpacked into a file before they could be read as rows. */
  readonly unpacked?: number
  close(): Promise<void>
}

/** Fields of rows, and inputs of graphs, by these names. */
export const FIELD = { input: 'x', target: 'target', time: 'time', other: 'other' } as const

export interface LoadNeeds {
  /** From which relative paths count. */
  readonly folder: string
  /** For rows that do not fit in memory. */
  readonly scratch: string
  /** Bytes of rows in memory. */
  readonly memory: number
  readonly seed: number
  /** Of the plan, for messages. */
  readonly planPath: string
}
