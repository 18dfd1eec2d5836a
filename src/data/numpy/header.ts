/** The header of a .npy file, versions 1 to 3 (NumPy's NEP 1 and numpy/lib/_format_impl.py). */
import { ArrayFileError, ArrayTooLargeError } from '../errors.ts'
import { readDtype } from './dtype.ts'
import type { ElementType } from './dtype.ts'
import { MAX_ARRAY_BYTES, MAX_HEADER_BYTES, MAX_RANK, MAX_STREAMED_BYTES, MAX_TEXTS } from './limits.ts'
import { parseLiteral } from './literal.ts'
import type { Literal } from './literal.ts'

const MAGIC = '\u0093NUMPY'
const MAGIC_BYTES = 6
/** Data begin at a multiple of it. */
const ALIGNMENT = 64

export interface ArrayHeader {
  readonly element: ElementType
  /** The first axis changes fastest. */
  readonly fortran: boolean
  readonly dims: readonly number[]
  readonly count: number
  /** Where the data begin. */
  readonly offset: number
}

/**
 * What the bytes of a file say of their array; its data fill the rest of the file exactly.
 * @param where the array, as it may be printed
 * @param size of the file, where `bytes` are its beginning; its rows are read one by one then, and may be more than memory holds
 * @throws ArrayFileError, ArrayTypeError, ArrayOfObjectsError, ArrayTooLargeError
 */
export function readHeader(bytes: Uint8Array, where: string, size?: number): ArrayHeader {
  const { text, offset } = headerText(bytes, where)
  const fields = fieldsOf(text, where)
  const element = readDtype(fields.get('descr'), where)
  const fortran = fields.get('fortran_order')
  if (typeof fortran !== 'boolean') throw new ArrayFileError(where, 'it does not say in which order its elements are')
  const dims = shapeOf(fields.get('shape'), where)
  const count = dims.includes(0) ? 0 : dims.reduce((product, dim) => product * dim, 1)
  const most = size === undefined ? MAX_ARRAY_BYTES : MAX_STREAMED_BYTES
  if (count * Math.max(element.size, 1) > most) {
    throw new ArrayTooLargeError(where, 'bytes', count * element.size, most)
  }
  if (element.kind !== 'number' && count > MAX_TEXTS) throw new ArrayTooLargeError(where, 'texts', count, MAX_TEXTS)
  const needed = count * element.size
  const there = (size ?? bytes.length) - offset
  if (there !== needed) {
    const why = `its shape [${dims.join(', ')}] needs ${needed} bytes, and ${there} are there`
    throw new ArrayFileError(where, why, { needed, there })
  }
  return { element, fortran, dims, count, offset }
}

function headerText(bytes: Uint8Array, where: string): { readonly text: string; readonly offset: number } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (buffer.toString('latin1', 0, MAGIC_BYTES) !== MAGIC) throw new ArrayFileError(where, 'it is no .npy file')
  const [major, minor] = [buffer[MAGIC_BYTES], buffer[MAGIC_BYTES + 1]]
  if (major === undefined || major < 1 || major > 3 || minor !== 0) {
    throw new ArrayFileError(where, `version ${major ?? '?'}.${minor ?? '?'} of the format is not known`)
  }
  const start = MAGIC_BYTES + 2 + (major === 1 ? 2 : 4)
  if (buffer.length < start) throw new ArrayFileError(where, 'it ends within its header')
  const length = major === 1 ? buffer.readUInt16LE(MAGIC_BYTES + 2) : buffer.readUInt32LE(MAGIC_BYTES + 2)
  if (length > MAX_HEADER_BYTES) throw new ArrayFileError(where, `a header of ${length} bytes is not read`)
  if (buffer.length < start + length) throw new ArrayFileError(where, 'it ends within its header')
  return { text: buffer.toString(major === 3 ? 'utf8' : 'latin1', start, start + length), offset: start + length }
}

function fieldsOf(text: string, where: string): ReadonlyMap<string, Literal> {
  let value: Literal
  try {
    value = parseLiteral(text)
  } catch (error) {
    throw new ArrayFileError(where, `its header is not what NumPy writes: ${(error as SyntaxError).message}`)
  }
  if (!(value instanceof Map) || value.size !== 3)
    throw new ArrayFileError(where, 'its header has not the three fields')
  return value as ReadonlyMap<string, Literal>
}

function shapeOf(shape: Literal | undefined, where: string): readonly number[] {
  if (!Array.isArray(shape) || !shape.every((dim) => typeof dim === 'number' && dim >= 0)) {
    throw new ArrayFileError(where, 'its header has no shape')
  }
  if (shape.length > MAX_RANK) throw new ArrayTooLargeError(where, 'dimensions', shape.length, MAX_RANK)
  return shape as readonly number[]
}

/** A header of version 1, which is always enough: types here have no names in it. */
export function writeHeader(descr: string, dims: readonly number[]): Uint8Array {
  const shape = dims.length === 1 ? `(${dims[0]},)` : `(${dims.join(', ')})`
  const fields = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`
  const start = MAGIC_BYTES + 4
  const length = Math.ceil((start + fields.length + 1) / ALIGNMENT) * ALIGNMENT - start
  const header = Buffer.alloc(start + length, ' ')
  header.write(MAGIC, 0, 'latin1')
  header.set([1, 0], MAGIC_BYTES)
  header.writeUInt16LE(length, MAGIC_BYTES + 2)
  header.write(fields, start, 'latin1')
  header[header.length - 1] = 10
  return header
}
