/** Sizes of elements and tensors. */
import { TensorSizeError } from './errors.ts'
import { DATA_TYPES } from './types.ts'
import type { DataType, TensorValue } from './types.ts'

/** Bits of an element; strings have none of their own. */
export const ELEMENT_BITS: Readonly<Record<DataType, number>> = {
  float32: 32,
  uint8: 8,
  int8: 8,
  uint16: 16,
  int16: 16,
  int32: 32,
  int64: 64,
  string: 0,
  bool: 8,
  float16: 16,
  float64: 64,
  uint32: 32,
  uint64: 64,
  complex64: 64,
  complex128: 128,
  bfloat16: 16,
  float8e4m3fn: 8,
  float8e4m3fnuz: 8,
  float8e5m2: 8,
  float8e5m2fnuz: 8,
  uint4: 4,
  int4: 4,
  float4e2m1: 4,
  float8e8m0: 8,
  uint2: 2,
  int2: 2,
}

const BY_NUMBER: ReadonlyMap<number, DataType> = new Map(
  Object.entries(DATA_TYPES).map(([type, number]) => [number, type as DataType]),
)

/** By the number of TensorProto.DataType. */
export function dataTypeOf(number: number): DataType | undefined {
  return BY_NUMBER.get(number)
}

/** Elements of a shape; 1 for a scalar. @throws TensorSizeError for a negative dimension, or 2^53 elements and more */
export function elementCount(name: string, dims: readonly number[]): number {
  const bad = dims.find((size) => !Number.isSafeInteger(size) || size < 0)
  if (bad !== undefined) throw new TensorSizeError(name, `it has the dimension ${bad}`, { dims: dims.slice(0, 16) })
  // With a dimension of 0 there are no elements, whatever the others would multiply to.
  if (dims.includes(0)) return 0
  const count = dims.reduce((product, size) => product * size, 1)
  if (!Number.isSafeInteger(count)) {
    throw new TensorSizeError(name, 'its dimensions multiply to more than 2^53', { dims: dims.slice(0, 16) })
  }
  return count
}

/** Bytes of a tensor that is not of strings, the last one filled up with zero bits. @throws TensorSizeError */
export function tensorBytes(name: string, type: DataType, dims: readonly number[]): number {
  const count = elementCount(name, dims)
  const bits = ELEMENT_BITS[type]
  const bytes = bits < 8 ? Math.ceil(count / (8 / bits)) : count * (bits / 8)
  if (!Number.isSafeInteger(bytes)) throw new TensorSizeError(name, 'it has more than 2^53 bytes')
  return bytes
}

/** Bytes of the data of a tensor, and that they are those of its type and shape; 0 for strings. @throws TensorSizeError */
export function dataBytes({ name, type, dims, data }: TensorValue): number {
  if ((type === 'string') !== (data.kind === 'strings')) {
    throw new TensorSizeError(name, `it is of ${type} and has ${data.kind === 'strings' ? 'strings' : 'bytes'}`)
  }
  const isText = data.kind === 'strings'
  const expected = isText ? elementCount(name, dims) : tensorBytes(name, type, dims)
  const found = isText ? data.values.length : data.kind === 'bytes' ? data.bytes.length : data.length
  if (found !== expected) {
    const unit = isText ? 'strings' : 'bytes'
    throw new TensorSizeError(name, `it has ${found} ${unit}, and its shape wants ${expected}`, { expected, found })
  }
  return isText ? 0 : found
}
