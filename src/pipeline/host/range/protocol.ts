/** What passes between the program that measures a range (../range.ts), its threads, and whoever started it. */
import type { ModelManifest, TextRows } from '../../../models/index.ts'

/** JSON-safe. */
export interface RangeTask {
  readonly manifest: ModelManifest
  readonly storeDirectory: string
  /** Folder for the files of the layers that are being measured; the parent removes it. */
  readonly workDirectory: string
  /** The beginning of each is measured: what it begins with decides. */
  readonly texts: readonly string[]
}

/** Layers measured so far. */
export interface RangeEvent {
  readonly done: number
}

/** Of each boundary. */
export type MeasuredLevels = readonly (readonly [low: number, high: number])[]

export interface RangeResult {
  /** Magnitude of the residual, at most. */
  readonly largest: number
  /** Of each text. */
  readonly rows: number
  /** Least and greatest level (row-level.ts) of the rows that go into block 1, 2, ... and the head; null: not all are numbers. */
  readonly levels: MeasuredLevels | null
  /** Threads that prepared layers while others were measured. */
  readonly threads: number
}

export interface LayerInit {
  readonly manifest: ModelManifest
  readonly storeDirectory: string
  readonly workDirectory: string
  readonly texts: TextRows
  /** That compute at once. */
  readonly threads: number
}

export interface LayerThreadInit extends LayerInit {
  /** The thread's own, in order. */
  readonly blocks: readonly number[]
}
