/** Writes GGUF files, sound ones and such as lie: every field can be given by hand. */
import { SOURCE_TYPES, sourceBytes } from '../../../src/models/index.ts'
import type { SourceType } from '../../../src/models/index.ts'
import { randomBlocks } from './random-bytes.ts'

const VALUE_IDS = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const
export type ValueType = Exclude<keyof typeof VALUE_IDS, 'array'>
type Scalar = number | bigint | string | boolean | Uint8Array

export interface KeySpec {
  readonly key: string
  /** `raw`: the value is all bytes after the key; `whole`: all bytes, the key's too. */
  readonly type: ValueType | 'raw' | 'whole'
  readonly value: Scalar | readonly Scalar[]
}

export interface TensorSpec {
  readonly name: string
  /** Row-major, outermost first. */
  readonly shape: readonly (number | bigint)[]
  readonly type: SourceType | number
  readonly offset?: bigint
  readonly dimensions?: number
  readonly data?: Uint8Array
}

export interface GgufSpec {
  readonly magic?: number
  readonly version?: number
  readonly tensorCount?: bigint
  readonly keyCount?: bigint
  readonly keys: readonly KeySpec[]
  readonly tensors: readonly TensorSpec[]
  readonly alignment?: number
}

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value >>> 0, true)
  return bytes
}

export function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true)
  return bytes
}

export function text(value: string): Uint8Array {
  const bytes = Buffer.from(value)
  return Buffer.concat([u64(BigInt(bytes.length)), bytes])
}

function scalar(type: ValueType, value: Scalar): Uint8Array {
  if (value instanceof Uint8Array) return value
  if (typeof value === 'string') return text(value)
  if (typeof value === 'boolean') return Uint8Array.of(value ? 1 : 0)
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  switch (type) {
    case 'f32':
      view.setFloat32(0, Number(value), true)
      return bytes.subarray(0, 4)
    case 'f64':
      view.setFloat64(0, Number(value), true)
      return bytes
    case 'u64':
    case 'i64':
      return u64(BigInt(value))
    case 'u32':
    case 'i32':
      return u32(Number(value))
    case 'u16':
    case 'i16':
      return u32(Number(value)).subarray(0, 2)
    default:
      return u32(Number(value)).subarray(0, 1)
  }
}

function keyBytes({ key, type, value }: KeySpec): Uint8Array {
  if (type === 'whole') return value as Uint8Array
  if (type === 'raw') return Buffer.concat([text(key), value as Uint8Array])
  if (!Array.isArray(value)) return Buffer.concat([text(key), u32(VALUE_IDS[type]), scalar(type, value as Scalar)])
  const head = [text(key), u32(VALUE_IDS.array), u32(VALUE_IDS[type]), u64(BigInt(value.length))]
  return Buffer.concat([...head, ...value.map((item) => scalar(type, item as Scalar))])
}

/** What a tensor holds that is not given: other numbers for each place in its file. */
export function dataOf(tensor: TensorSpec, index: number): Uint8Array {
  if (tensor.data !== undefined) return tensor.data
  if (typeof tensor.type === 'number') return new Uint8Array(0)
  const elements = tensor.shape.reduce<number>((product, size) => product * Number(size), 1)
  if (!(elements >= 0 && elements < 1e7)) return new Uint8Array(0)
  const { block, bytes } = SOURCE_TYPES[tensor.type]
  if (block === 1) {
    const values = new Uint8Array(sourceBytes(tensor.type, elements))
    for (let at = 0; at < values.length; at += bytes) values[at] = (index * 7 + at) & 63
    return values
  }
  return randomBlocks(tensor.type, 1 + index, Math.floor(elements / block))
}

export function writeGguf(spec: GgufSpec): Uint8Array {
  const alignment = spec.alignment ?? 32
  const padded = (length: number): number => Math.ceil(length / alignment) * alignment
  const head = [
    u32(spec.magic ?? 0x46554747),
    u32(spec.version ?? 3),
    u64(spec.tensorCount ?? BigInt(spec.tensors.length)),
    u64(spec.keyCount ?? BigInt(spec.keys.length)),
    ...spec.keys.map(keyBytes),
  ]
  const data: Uint8Array[] = []
  let offset = 0
  for (const [index, tensor] of spec.tensors.entries()) {
    const bytes = dataOf(tensor, index)
    const type = typeof tensor.type === 'number' ? tensor.type : SOURCE_TYPES[tensor.type].ggmlId
    head.push(text(tensor.name), u32(tensor.dimensions ?? tensor.shape.length))
    for (const size of tensor.shape.toReversed()) head.push(u64(BigInt(size)))
    head.push(u32(type), u64(tensor.offset ?? BigInt(offset)))
    data.push(bytes, new Uint8Array(padded(bytes.length) - bytes.length))
    offset += padded(bytes.length)
  }
  const header = Buffer.concat(head)
  return Buffer.concat([header, new Uint8Array(padded(header.length) - header.length), ...data])
}
