/**
 * An ONNX model as weft works with it: all that the format says (onnx.proto of ONNX 1.20), with the bytes of large
 * tensors left where they lie. Plain data, treated as immutable: an edit makes new arrays and maps and shares the rest.
 * Names are keys of maps and never of objects: `__proto__` and `1` are names like any other, compared by code unit.
 */

/** Element types by their names in the engine, with the numbers of TensorProto.DataType. */
export const DATA_TYPES = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  complex64: 14,
  complex128: 15,
  bfloat16: 16,
  float8e4m3fn: 17,
  float8e4m3fnuz: 18,
  float8e5m2: 19,
  float8e5m2fnuz: 20,
  uint4: 21,
  int4: 22,
  float4e2m1: 23,
  float8e8m0: 24,
  uint2: 25,
  int2: 26,
} as const
export type DataType = keyof typeof DATA_TYPES

/** A size that is known, a name for one that is free, or nothing that is known. */
export type Dimension = number | string | null

/** `null` for a shape: not even the rank is known. */
export type Shape = readonly Dimension[] | null

export type ValueType =
  | { readonly kind: 'tensor'; readonly type: DataType; readonly shape: Shape }
  | { readonly kind: 'sparse'; readonly type: DataType; readonly shape: Shape }
  | { readonly kind: 'sequence'; readonly element: ValueType | null }
  | { readonly kind: 'optional'; readonly element: ValueType | null }
  | { readonly kind: 'map'; readonly key: DataType; readonly value: ValueType | null }

/**
 * The bytes of a tensor, little-endian and row-major as in TensorProto.raw_data (4-bit types two to a byte, the first in
 * the low half). Typed fields of the format are brought into this form when a file is read.
 */
export type TensorBytes =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** In a file, by absolute path: the model's own or one of external data. */
  | { readonly kind: 'range'; readonly path: string; readonly offset: number; readonly length: number }
  /** Elements of a string tensor; any bytes, UTF-8 by convention. */
  | { readonly kind: 'strings'; readonly values: readonly Uint8Array[] }

export interface TensorValue {
  readonly name: string
  readonly type: DataType
  readonly dims: readonly number[]
  readonly data: TensorBytes
}

export interface SparseTensorValue {
  /** Name and type are those of its values. */
  readonly values: TensorValue
  /** int64 [count] (linear) or [count, rank]. */
  readonly indices: TensorValue
  readonly dims: readonly number[]
}

export type Attribute =
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'int'; readonly value: bigint }
  | { readonly kind: 'string'; readonly value: Uint8Array }
  | { readonly kind: 'tensor'; readonly value: TensorValue }
  | { readonly kind: 'sparse'; readonly value: SparseTensorValue }
  | { readonly kind: 'graph'; readonly value: Graph }
  | { readonly kind: 'type'; readonly value: ValueType | null }
  | { readonly kind: 'floats'; readonly values: readonly number[] }
  | { readonly kind: 'ints'; readonly values: readonly bigint[] }
  | { readonly kind: 'strings'; readonly values: readonly Uint8Array[] }
  | { readonly kind: 'tensors'; readonly values: readonly TensorValue[] }
  | { readonly kind: 'sparses'; readonly values: readonly SparseTensorValue[] }
  | { readonly kind: 'graphs'; readonly values: readonly Graph[] }
  | { readonly kind: 'types'; readonly values: readonly (ValueType | null)[] }
  /** In the body of a function only: the caller's attribute of this name, and what kind it must be. */
  | { readonly kind: 'reference'; readonly name: string; readonly type: number }

export interface Node {
  /** May be empty; need not be unique in a file. */
  readonly name: string
  readonly opType: string
  /** `''` for ONNX's own; `ai.onnx` in a file is read as `''`. */
  readonly domain: string
  /** Of a function with several bodies (IR 10). */
  readonly overload: string
  /** `''`: an optional input that is left out. */
  readonly inputs: readonly string[]
  /** `''`: an optional output that nobody wants. */
  readonly outputs: readonly string[]
  readonly attributes: ReadonlyMap<string, Attribute>
  readonly metadata: ReadonlyMap<string, string>
}

/** A graph input, a graph output, or what is declared of a value in between. */
export interface ValueInfo {
  readonly name: string
  readonly type: ValueType | null
}

export interface Graph {
  readonly name: string
  /** In the order of the file; need not be an order of dependence before `checkModel` has said so. */
  readonly nodes: readonly Node[]
  /** In order. In old files initializers stand here too: a default that the caller may override. */
  readonly inputs: readonly ValueInfo[]
  readonly outputs: readonly ValueInfo[]
  readonly initializers: ReadonlyMap<string, TensorValue>
  readonly sparseInitializers: ReadonlyMap<string, SparseTensorValue>
  /** Declared by the exporter; may be stale. */
  readonly values: ReadonlyMap<string, ValueInfo>
  /** Tensor name to (key to tensor name): quantization_annotation. */
  readonly quantization: ReadonlyMap<string, ReadonlyMap<string, string>>
  readonly metadata: ReadonlyMap<string, string>
}

/** A model-local function: an operator defined by nodes. */
export interface OnnxFunction {
  readonly name: string
  readonly domain: string
  readonly overload: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** Attributes without a default. */
  readonly attributes: readonly string[]
  /** Attributes with one. */
  readonly defaults: ReadonlyMap<string, Attribute>
  readonly nodes: readonly Node[]
  readonly opsets: ReadonlyMap<string, number>
  readonly values: ReadonlyMap<string, ValueInfo>
  readonly metadata: ReadonlyMap<string, string>
}

export interface Model {
  readonly irVersion: number
  /** Domain (`''` for ONNX's own) to version. */
  readonly opsets: ReadonlyMap<string, number>
  readonly producer: { readonly name: string; readonly version: string }
  readonly domain: string
  readonly modelVersion: bigint
  readonly graph: Graph
  readonly functions: readonly OnnxFunction[]
  readonly metadata: ReadonlyMap<string, string>
}

export const NO_ENTRIES: ReadonlyMap<string, never> = new Map<string, never>()
