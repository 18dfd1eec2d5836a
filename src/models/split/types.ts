/** `manifest.json` beside the partitions of a model (interface.md, section 2). */
import type { BoundaryType } from '../manifest.ts'

export const SPLIT_SCHEMA = 'weft.split/1'

export interface SplitValue {
  readonly name: string
  readonly type: 'float16' | 'float32' | 'int64'
  /** A name is a free dimension: `rows` of a run, `past` rows before it (0 in a first run), `total` of both. */
  readonly shape: readonly (number | string)[]
}

export interface SplitOutput extends SplitValue {
  /** With 1 for each free dimension: bytes a row, or a position. */
  readonly bytes: number
}

export interface SplitPartition {
  readonly file: string
  /** [from, to) */
  readonly blocks: readonly [from: number, to: number]
  readonly sha256: string
  readonly bytes: number
  /** Weights that lie outside the graph's own file. */
  readonly data?: { readonly file: string; readonly sha256: string; readonly bytes: number }
  readonly inputs: readonly SplitValue[]
  readonly outputs: readonly SplitOutput[]
}

export interface SplitCheck {
  readonly equal: true
  /** Rows of each run, in order. */
  readonly runs: readonly number[]
  /** Numbers that were compared, bit for bit. */
  readonly compared: number
  /** What computed them; another engine or processor may round differently, whole and split alike. */
  readonly kernel: string
}

/** A partition's cost is its share of all bytes and its share of all work, added: 2 is the whole. */
export interface SplitBalance {
  /** Of the costliest partition. */
  readonly largest: number
  /** No choice of so many partitions has a lesser one. */
  readonly bound: number
  /** The bound is met by a choice: all were weighed. */
  readonly exact: boolean
  /** By how much the largest is above the bound, as a share of that. */
  readonly above: number
  /** Bytes of each partition's weights. */
  readonly memory: readonly number[]
}

export interface SplitManifest {
  readonly schema: typeof SPLIT_SCHEMA
  readonly model: string
  /** Of the model's manifest. */
  readonly digest: string
  readonly license: string
  readonly source: string
  readonly boundary: BoundaryType
  /** Positions that a session can reach. */
  readonly context: number
  readonly partitions: readonly SplitPartition[]
  /** Absent: it is one partition. */
  readonly balance?: SplitBalance
  /** There are fewer partitions than were asked for; `why` says it in words. */
  readonly verdict?: 'fewer-parts'
  readonly why?: string
  readonly check?: SplitCheck
}
