/** GGUF's tensor table: every entry is held against the type's block size and the physical size of the file. */
import { SOURCE_TYPES, sourceBytes } from '../dequantize/index.ts'
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import type { SourceType } from '../manifest.ts'
import type { GgufCursor } from './gguf-cursor.ts'
import { MAX_DIMENSIONS, MAX_TENSOR_NAME_BYTES } from './limits.ts'

/** Where a tensor lies in its file. */
export interface FileTensor {
  readonly name: string
  readonly type: SourceType
  /** Row-major, outermost first. */
  readonly shape: readonly number[]
  /** From the start of the file. */
  readonly offset: number
  readonly bytes: number
}

/** Name, dimensions, type and offset, with one dimension and a name of one letter. */
export const LEAST_TENSOR_BYTES = 33

const BY_ID: ReadonlyMap<number, SourceType> = new Map(
  Object.entries(SOURCE_TYPES).map(([type, { ggmlId }]) => [ggmlId, type as SourceType]),
)

/** Types of ggml that weft does not read, so that a refusal can name them. */
const OTHER_TYPES: ReadonlyMap<number, string> = new Map([
  [9, 'Q8_1'],
  [15, 'Q8_K'],
  [16, 'IQ2_XXS'],
  [17, 'IQ2_XS'],
  [18, 'IQ3_XXS'],
  [19, 'IQ1_S'],
  [20, 'IQ4_NL'],
  [21, 'IQ3_S'],
  [22, 'IQ2_S'],
  [23, 'IQ4_XS'],
  [24, 'I8'],
  [25, 'I16'],
  [26, 'I32'],
  [27, 'I64'],
  [28, 'F64'],
  [29, 'IQ1_M'],
  [34, 'TQ1_0'],
  [35, 'TQ2_0'],
  [39, 'MXFP4'],
])

/** The table as it stands, offsets still from the start of the data. */
export function readTensorTable(cursor: GgufCursor, count: number): FileTensor[] {
  const names = new Set<string>()
  const tensors: FileTensor[] = []
  for (let index = 0; index < count; index++) {
    const tensor = readEntry(cursor, `tensor ${index}`)
    if (names.has(tensor.name)) throw new ModelFileError(JSON.stringify(tensor.name), 'the tensor stands there twice')
    names.add(tensor.name)
    tensors.push(tensor)
  }
  return tensors
}

function readEntry(cursor: GgufCursor, entry: string): FileTensor {
  const name = cursor.string(entry, MAX_TENSOR_NAME_BYTES, true)
  const where = name === '' ? entry : JSON.stringify(name)
  if (name === '') throw new ModelFileError(entry, 'it has no name')
  const dimensions = cursor.u32(where)
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    throw new ModelFileError(where, `${dimensions} dimensions; there can be 1 to ${MAX_DIMENSIONS}`)
  }
  // A byte holds at most three elements of any type (84 bytes for 256): no honest size is near eight times the file.
  const most = BigInt(cursor.remaining()) * 8n
  let elements = 1n
  const inner: number[] = []
  for (let axis = 0; axis < dimensions; axis++) {
    const size = cursor.u64(where)
    elements *= size
    if (size > most || elements > most) {
      throw new ModelFileError(where, `its dimensions cannot fit in a file of this size`)
    }
    inner.push(Number(size))
  }
  const type = readType(cursor.u32(where), name)
  if (inner[0]! % SOURCE_TYPES[type].block !== 0) {
    throw new ModelFileError(where, `rows of ${inner[0]} elements are not whole blocks of ${type}`)
  }
  const offset = cursor.u64(where)
  if (offset > BigInt(cursor.remaining())) throw new ModelFileError(where, `its offset ${offset} is past the end`)
  return {
    name,
    type,
    shape: inner.reverse(),
    offset: Number(offset),
    bytes: sourceBytes(type, Number(elements)),
  }
}

function readType(id: number, name: string): SourceType {
  const type = BY_ID.get(id)
  if (type !== undefined) return type
  const other = OTHER_TYPES.get(id)
  if (other === undefined) throw new ModelFileError(JSON.stringify(name), `there is no tensor type ${id}`)
  throw new UnsupportedModelError(`tensor ${JSON.stringify(name)} is stored as ${other}`, {
    why: `weft reads ${Object.keys(SOURCE_TYPES).join(', ')}`,
    details: { tensor: name, type: other },
  })
}

/** Moves offsets to the start of the file; aligned, inside of the file, and no two over the same bytes. */
export function placeTensors(
  table: readonly FileTensor[],
  dataAt: number,
  alignment: number,
  size: number,
): FileTensor[] {
  const placed = table.map((tensor) => {
    const where = JSON.stringify(tensor.name)
    if (tensor.offset % alignment !== 0) {
      throw new ModelFileError(where, `its offset ${tensor.offset} is no multiple of the alignment ${alignment}`)
    }
    const offset = dataAt + tensor.offset
    if (offset + tensor.bytes > size) {
      throw new ModelFileError(where, `it ends at byte ${offset + tensor.bytes}, the file at ${size}`)
    }
    return { ...tensor, offset }
  })
  const order = placed.filter(({ bytes }) => bytes > 0).sort((a, b) => a.offset - b.offset)
  for (const [index, tensor] of order.entries()) {
    const next = order[index + 1]
    if (next !== undefined && tensor.offset + tensor.bytes > next.offset) {
      throw new ModelFileError(JSON.stringify(next.name), `it lies over ${JSON.stringify(tensor.name)}`)
    }
  }
  return placed
}
