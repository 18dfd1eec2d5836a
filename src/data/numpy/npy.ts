/** One array as the bytes of a .npy file, both ways. Types and shapes are those of tensors; no pickle. */
import { TENSOR_ARRAYS } from '../../onnx/index.ts'
import type { AnyTensor, Tensor } from '../../onnx/index.ts'
import { ArrayFileError, ArrayUnwritableError } from '../errors.ts'
import { dtypeOf } from './dtype.ts'
import { readHeader, writeHeader } from './header.ts'
import type { ArrayHeader } from './header.ts'

const MOST_CODE_POINT = 0x10ffff

/**
 * Rows in C order whatever the file has; `<U` and `S` (UTF-8) become texts. The numbers may lie in `bytes`, which the
 * caller gives away.
 * @param where the array, as it may be printed
 * @throws ArrayFileError, ArrayTypeError, ArrayOfObjectsError, ArrayTooLargeError
 */
export function decodeNpy(bytes: Uint8Array, where: string): AnyTensor {
  const header = readHeader(bytes, where)
  const { element, dims, count, offset, fortran } = header
  const body = bytes.subarray(offset)
  if (element.kind !== 'number') {
    const texts = textsOf(body, header, where)
    return { type: 'string', dims, data: fortran ? inOrder(texts, Array.from(texts), dims) : texts }
  }
  const Numbers = TENSOR_ARRAYS[element.type]
  const aligned = body.byteOffset % element.size === 0 ? body : body.slice()
  if (element.swapped) swap(aligned, element.size)
  const data = new Numbers(aligned.buffer as ArrayBuffer, aligned.byteOffset, count)
  if (element.type === 'bool') for (let at = 0; at < count; at++) data[at] = data[at] === 0 ? 0 : 1
  return { type: element.type, dims, data: fortran ? inOrder(data, new Numbers(count), dims) : data }
}

function swap(bytes: Uint8Array, size: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (size === 2) buffer.swap16()
  else if (size === 4) buffer.swap32()
  else buffer.swap64()
}

/** Texts one behind the other. @throws ArrayFileError */
export function textsOf(
  body: Uint8Array,
  { element, count }: Pick<ArrayHeader, 'element' | 'count'>,
  where: string,
): string[] {
  const { kind, size, swapped } = element
  const buffer = Buffer.from(body.buffer, body.byteOffset, body.length)
  const bytes = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  return Array.from({ length: count }, (_, index) => {
    const from = index * size
    if (kind === 'text') return utf32(buffer.subarray(from, from + size), swapped, where)
    let end = from + size
    while (end > from && buffer[end - 1] === 0) end--
    try {
      return bytes.decode(buffer.subarray(from, end))
    } catch {
      throw new ArrayFileError(where, `the bytes of element ${index} are no UTF-8`)
    }
  })
}

function utf32(buffer: Buffer, swapped: boolean, where: string): string {
  let end = buffer.length
  while (end >= 4 && buffer.readUInt32LE(end - 4) === 0) end -= 4
  let text = ''
  for (let at = 0; at < end; at += 4) {
    const code = swapped ? buffer.readUInt32BE(at) : buffer.readUInt32LE(at)
    if (code > MOST_CODE_POINT) throw new ArrayFileError(where, `${code} is no character`)
    text += String.fromCodePoint(code)
  }
  return text
}

/** From Fortran's order into C's. */
function inOrder<T extends { [index: number]: unknown; readonly length: number }>(
  source: ArrayLike<unknown>,
  target: T,
  dims: readonly number[],
): T {
  const strides = dims.map((_, axis) => dims.slice(0, axis).reduce((product, dim) => product * dim, 1))
  const place = dims.map(() => 0)
  const into = target as { [index: number]: unknown }
  let from = 0
  for (let at = 0; at < target.length; at++) {
    into[at] = source[from]
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      from += strides[axis]!
      if (++place[axis]! < dims[axis]!) break
      from -= strides[axis]! * dims[axis]!
      place[axis] = 0
    }
  }
  return target
}

/** Header and data of a file, to be written one after the other. @throws ArrayUnwritableError */
export function encodeNpy(name: string, tensor: AnyTensor): readonly Uint8Array[] {
  if (tensor.type === 'string') return encodeTexts(name, tensor.dims, tensor.data)
  return [writeHeader(dtypeOf(tensor.type), tensor.dims), bytesOf(tensor)]
}

function bytesOf({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

function encodeTexts(name: string, dims: readonly number[], texts: readonly string[]): readonly Uint8Array[] {
  const characters = texts.map((text) => Array.from(text, (character) => character.codePointAt(0)!))
  const width = characters.reduce((widest, { length }) => Math.max(widest, length), 1)
  const data = Buffer.alloc(4 * width * texts.length)
  for (const [index, codes] of characters.entries()) {
    if (codes.at(-1) === 0) throw new ArrayUnwritableError(name, 'one of its texts ends in a zero character')
    for (const [at, code] of codes.entries()) data.writeUInt32LE(code, 4 * (index * width + at))
  }
  return [writeHeader(`<U${width}`, dims), data]
}
