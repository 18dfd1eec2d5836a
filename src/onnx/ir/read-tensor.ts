/** The elements of a tensor as JavaScript has them. */
import { dataBytes, ELEMENT_BITS, elementCount } from './elements.ts'
import { TensorReadError } from './errors.ts'
import { RangeSource } from './range-source.ts'
import { shown } from './shown.ts'
import type { DataType, TensorValue } from './types.ts'

/**
 * `bool` and all that has 8 bits without a type of its own as Uint8Array; float16 and bfloat16 as their bits in a
 * Uint16Array; 4-bit and 2-bit elements one to a place, signed ones extended; complex numbers as pairs.
 */
export type Elements =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | readonly Uint8Array[]

export interface ReadTensorOptions {
  /** Larger tensors are refused; 1 MiB. */
  readonly maxBytes?: number
}

const MAX_BYTES = 2 ** 20

/** The elements, copied. @throws TensorReadError, TensorSizeError */
export async function readTensor(tensor: TensorValue, options: ReadTensorOptions = {}): Promise<Elements> {
  if (tensor.data.kind !== 'range') return heldElements(tensor)!
  const limit = options.maxBytes ?? MAX_BYTES
  const { length } = tensor.data
  if (length > limit)
    throw new TensorReadError(shown(tensor.name), `it has ${length} bytes, and ${limit} are the most here`)
  dataBytes(tensor)
  const bytes = new Uint8Array(length)
  const source = new RangeSource()
  try {
    await source.read(tensor.data, 0, bytes)
  } finally {
    await source.close()
  }
  return elements(tensor, bytes)
}

/** The elements of a tensor whose bytes are in memory, copied; `undefined` for one in a file. @throws TensorSizeError */
export function heldElements(tensor: TensorValue): Elements | undefined {
  if (tensor.data.kind === 'range') return undefined
  dataBytes(tensor)
  return tensor.data.kind === 'strings' ? tensor.data.values : elements(tensor, tensor.data.bytes.slice())
}

type View = new (buffer: ArrayBuffer, offset: number, length: number) => Exclude<Elements, readonly Uint8Array[]>

/** Only those that are not bytes. Little-endian, as all machines are on which the engine runs. */
const VIEWS: Partial<Record<DataType, View>> = {
  float32: Float32Array,
  complex64: Float32Array,
  float64: Float64Array,
  complex128: Float64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint16: Uint16Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
}

const BYTES_OF_COMPONENT: Partial<Record<DataType, number>> = { complex64: 4, complex128: 8 }

/** `bytes` must begin where its buffer does. */
function elements({ name, type, dims }: TensorValue, bytes: Uint8Array<ArrayBuffer>): Elements {
  const bits = ELEMENT_BITS[type]
  if (bits < 8) return unpacked(type, bytes, elementCount(name, dims))
  const view = VIEWS[type]
  if (view === undefined) return bytes
  return new view(bytes.buffer, 0, bytes.length / (BYTES_OF_COMPONENT[type] ?? bits / 8))
}

function unpacked(type: DataType, bytes: Uint8Array, count: number): Int8Array | Uint8Array {
  const bits = ELEMENT_BITS[type]
  const perByte = 8 / bits
  const values = Uint8Array.from({ length: count }, (_, index) => {
    return (bytes[Math.floor(index / perByte)]! >>> (bits * (index % perByte))) & (2 ** bits - 1)
  })
  if (type !== 'int4' && type !== 'int2') return values
  // The highest bit is the sign.
  return Int8Array.from(values, (value) => (value << (32 - bits)) >> (32 - bits))
}
