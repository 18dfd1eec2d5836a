/** A model file that is ready to be run, as data: made once and kept in a folder of its own. */
import type { Balance, Dimension, MemoryLimit, Optimization, PlannedValue, Wire } from '../../../onnx/index.ts'

export const PREPARED_SCHEMA = 'weft.graph/2'

/** The axis that carries the batch in each input and output that has one. */
export interface BatchAxes {
  readonly dimension: string
  readonly inputs: Readonly<Record<string, number>>
  readonly outputs: Readonly<Record<string, number>>
}

export interface PreparedPart {
  /** Absolute, or in the folder of the preparation. */
  readonly file: string
  readonly blocks: readonly [from: number, to: number]
  readonly inputs: readonly { readonly name: string; readonly from: 'graph' | number }[]
  readonly outputs: readonly { readonly name: string; readonly to: readonly number[]; readonly ofGraph: boolean }[]
}

export interface PreparedGraph {
  readonly schema: typeof PREPARED_SCHEMA
  readonly parts: readonly PreparedPart[]
  readonly blocks: number
  /** Null: whichever the engine takes (nothing was cut, so nothing was proven). */
  readonly optimization: Optimization | null
  readonly inputs: readonly PlannedValue[]
  readonly outputs: readonly PlannedValue[]
  /** A sentence says why there is no axis to cut along. */
  readonly batch: BatchAxes | string
  /** Other files that the model's weights lie in. */
  readonly external: readonly { readonly path: string; readonly size: number; readonly mtimeMs: number }[]
  /** As what float32 crosses. @default 'f32' */
  readonly wire?: Wire
  readonly checked: 'equal' | 'unchecked' | null
  /** Processor time of each part in the check, in milliseconds; where the cuts followed it. */
  readonly measured?: readonly number[]
  /** Absent: nothing was cut. */
  readonly balance?: Balance
  readonly verdict?: string
  readonly why?: string
  /** Of a graph that is not split though it could be: the best that can be had. */
  readonly best?: Balance
}

export interface PrepareTask {
  readonly path: string
  /** Folder for the parts; it is there and empty. */
  readonly out: string
  readonly parts: number
  readonly cuts?: readonly number[] | undefined
  readonly memory?: MemoryLimit | undefined
  readonly paces?: readonly number[] | undefined
  readonly wire?: Wire | undefined
  readonly optimization: Optimization | null
  readonly measured?: boolean | undefined
  readonly codeCache: string
}

export type Shape = readonly Dimension[] | null
