/** The elements of small constants as numbers. */
import type { TensorValue } from '../ir/index.ts'
import type { KnownTensor, ReadConstant } from './types.ts'

/** More elements than this are data and no shape. */
export const MAX_KNOWN = 1024

type Read = (view: DataView, at: number) => number

/** Integers beyond 2^53 lose their last digits, which tells "to the end" as well as before. */
const READERS: ReadonlyMap<string, readonly [bytes: number, read: Read]> = new Map([
  ['int64', [8, (view, at) => Number(view.getBigInt64(at, true))]],
  ['int32', [4, (view, at) => view.getInt32(at, true)]],
  ['int16', [2, (view, at) => view.getInt16(at, true)]],
  ['int8', [1, (view, at) => view.getInt8(at)]],
  ['uint64', [8, (view, at) => Number(view.getBigUint64(at, true))]],
  ['uint32', [4, (view, at) => view.getUint32(at, true)]],
  ['uint16', [2, (view, at) => view.getUint16(at, true)]],
  ['uint8', [1, (view, at) => view.getUint8(at)]],
  ['bool', [1, (view, at) => (view.getUint8(at) === 0 ? 0 : 1)]],
  ['float32', [4, (view, at) => view.getFloat32(at, true)]],
  ['float64', [8, (view, at) => view.getFloat64(at, true)]],
] as const)

/** Undefined for a tensor that is large, of another type, or whose bytes are not there. */
export function knownConstant(tensor: TensorValue, read: ReadConstant | undefined): KnownTensor | undefined {
  const reader = READERS.get(tensor.type)
  const count = smallCount(tensor.dims)
  if (reader === undefined || count === undefined) return undefined
  const bytes = tensor.data.kind === 'bytes' ? tensor.data.bytes : read?.(tensor)
  const [width, element] = reader
  if (bytes === undefined || bytes.byteLength < count * width) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return { dims: tensor.dims, elements: Array.from({ length: count }, (_, at) => element(view, at * width)) }
}

/** Elements of a shape where they are few. */
export function smallCount(dims: readonly number[]): number | undefined {
  if (dims.length > 8) return undefined
  let count = 1
  for (const size of dims) {
    if (!Number.isSafeInteger(size) || size < 0) return undefined
    count *= size
  }
  return count <= MAX_KNOWN ? count : undefined
}
