/** The words of cutting: where a graph can be cut, what crosses, and which nodes each part holds. */
import type { DataType, ValueType } from '../ir/index.ts'

/** What cutting needs to know of values and nodes; from inference, or from whatever knows. */
export interface CutFacts {
  readonly types: ReadonlyMap<string, ValueType>
  /** Of a value as it is sent, with nominal sizes for free dimensions. */
  readonly bytes: (name: string) => number
  /** The same with 1 for each free dimension: it is never less. */
  readonly leastBytes: (name: string) => number
  /** Seconds that a node takes on a nominal device. */
  readonly seconds: (node: number) => number
}

export type BoundaryType = Extract<
  DataType,
  | 'float32'
  | 'uint8'
  | 'int8'
  | 'uint16'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'string'
  | 'bool'
  | 'float16'
  | 'float64'
  | 'uint32'
  | 'uint64'
>

/** All tensors that pass the engine's binding (onnxruntime-node 1.30): not bfloat16, 4-bit, 8-bit floats, complex. */
export const BOUNDARY_TYPES: ReadonlySet<DataType> = new Set<BoundaryType>([
  'float32',
  'uint8',
  'int8',
  'uint16',
  'int16',
  'int32',
  'int64',
  'string',
  'bool',
  'float16',
  'float64',
  'uint32',
  'uint64',
])

/** Why a value cannot go from one part to another; null where it can. */
export type Unsendable = 'type' | 'kind' | 'rank' | 'unknown' | 'name'

export function unsendable(name: string, type: ValueType | undefined): Unsendable | null {
  if (type === undefined) return 'unknown'
  if (type.kind !== 'tensor') return 'kind'
  if (!BOUNDARY_TYPES.has(type.type)) return 'type'
  if (type.shape === null) return 'rank'
  // The binding keeps values as properties of an object, where this is none.
  return name === '__proto__' ? 'name' : null
}
