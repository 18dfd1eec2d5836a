/**
 * Named tensors as bytes and a table of what they are. Each tensor begins at a multiple of 64 bytes; numbers are
 * little-endian, row-major; a tensor of texts is the length of each (u32) and then their UTF-8, one after the other.
 */
import { TENSOR_ARRAYS } from '../../onnx/index.ts'
import type { AnyTensor, Tensor } from '../../onnx/index.ts'
import { TensorTableError } from './errors.ts'

export type Tensors = ReadonlyMap<string, AnyTensor>

/** A row of the table: name, element type, shape, bytes. */
export type TensorRow = readonly [name: string, type: string, dims: readonly number[], bytes: number]

export interface PackedTensors {
  readonly table: readonly TensorRow[]
  /** All in order, with the gaps between them. */
  readonly parts: readonly Uint8Array[]
  readonly bytes: number
}

const ALIGNMENT = 64
const GAP = new Uint8Array(ALIGNMENT)
/** As many as an array of NumPy's may have. */
const MAX_RANK = 64

/** Numbers are not copied. */
export function packTensors(tensors: Tensors): PackedTensors {
  const table: TensorRow[] = []
  const parts: Uint8Array[] = []
  let at = 0
  for (const [name, tensor] of tensors) {
    const bytes = tensor.type === 'string' ? textBytes(tensor.data) : numberBytes(tensor)
    const gap = gapAfter(at)
    if (gap > 0 && bytes.length > 0) parts.push(GAP.subarray(0, gap))
    if (bytes.length > 0) {
      parts.push(bytes)
      at += gap + bytes.length
    }
    table.push([name, tensor.type, tensor.dims, bytes.length])
  }
  return { table, parts, bytes: at }
}

function gapAfter(at: number): number {
  return -at & (ALIGNMENT - 1)
}

function numberBytes({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

function textBytes(texts: readonly string[]): Uint8Array {
  const encoded = texts.map((text) => Buffer.from(text))
  const lengths = Uint32Array.from(encoded, ({ length }) => length)
  return Buffer.concat([new Uint8Array(lengths.buffer), ...encoded])
}

/** What a table says, held against itself. @throws TensorTableError */
export function checkTable(table: unknown): readonly TensorRow[] {
  if (!Array.isArray(table)) throw new TensorTableError('it has no table')
  const names = new Set<string>()
  return table.map((row: unknown) => {
    if (!Array.isArray(row) || row.length !== 4) throw new TensorTableError('a row has not four columns')
    const [name, type, dims, bytes] = row as unknown[]
    if (typeof name !== 'string' || names.has(name)) throw new TensorTableError('a name is none, or stands twice')
    names.add(name)
    if (typeof type !== 'string' || (type !== 'string' && !Object.hasOwn(TENSOR_ARRAYS, type))) {
      throw new TensorTableError('an element type is not known', { name })
    }
    if (!isShape(dims) || !isCount(bytes)) throw new TensorTableError('a shape or a size is none', { name })
    const count = dims.includes(0) ? 0 : dims.reduce((product, dim) => product * dim, 1)
    const right = type === 'string' ? bytes >= 4 * count : bytes === count * sizeOf(type as Tensor['type'])
    if (!right) throw new TensorTableError(`${bytes} bytes do not make the shape [${dims.join(', ')}]`, { name, type })
    return [name, type, dims, bytes] as const
  })
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isShape(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length <= MAX_RANK && value.every(isCount)
}

function sizeOf(type: Tensor['type']): number {
  return TENSOR_ARRAYS[type].BYTES_PER_ELEMENT
}

/** Bytes of all tensors of a table as they are packed. */
export function packedBytes(table: readonly TensorRow[]): number {
  return table.reduce((at, [, , , bytes]) => (bytes === 0 ? at : at + gapAfter(at) + bytes), 0)
}

/** Views of `bytes`, which must begin at a multiple of 64 in its buffer and be the caller's to give away. @throws TensorTableError */
export function unpackTensors(table: readonly TensorRow[], bytes: Uint8Array): Tensors {
  if (packedBytes(table) !== bytes.length) {
    throw new TensorTableError(`the table needs ${packedBytes(table)} bytes, and ${bytes.length} are there`)
  }
  const offsets = packedOffsets(table)
  return new Map(
    table.map((row, index) => [row[0], unpackTensor(row, bytes.subarray(offsets[index], offsets[index]! + row[3]))]),
  )
}

/** Where each tensor of a table begins. */
export function packedOffsets(table: readonly TensorRow[]): readonly number[] {
  let at = 0
  return table.map(([, , , bytes]) => {
    if (bytes > 0) at += gapAfter(at)
    at += bytes
    return at - bytes
  })
}

/** One tensor, whose bytes are all of `bytes`. @throws TensorTableError */
export function unpackTensor([name, type, dims]: TensorRow, bytes: Uint8Array): AnyTensor {
  // A view of nothing must be aligned as well.
  const own = bytes.length > 0 ? bytes : new Uint8Array(0)
  if (type === 'string') return { type, dims, data: textsOf(own, dims, name) }
  return numbersOf(type as Tensor['type'], dims, own)
}

function numbersOf(type: Tensor['type'], dims: readonly number[], bytes: Uint8Array): Tensor {
  const Numbers = TENSOR_ARRAYS[type]
  const data = new Numbers(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length / Numbers.BYTES_PER_ELEMENT)
  return { type, dims, data }
}

function textsOf(bytes: Uint8Array, dims: readonly number[], name: string): string[] {
  const count = dims.includes(0) ? 0 : dims.reduce((product, dim) => product * dim, 1)
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 4 * count
  const texts = Array.from({ length: count }, (_, index) => {
    const length = buffer.readUInt32LE(4 * index)
    if (at + length > buffer.length) throw new TensorTableError('a text goes beyond its bytes', { name })
    at += length
    return buffer.toString('utf8', at - length, at)
  })
  if (at !== buffer.length) throw new TensorTableError('bytes are left behind the last text', { name })
  return texts
}
