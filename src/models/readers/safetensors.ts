/**
 * Safetensors files (huggingface/safetensors, README "Format"): eight bytes of length, a JSON table, the data. The table
 * is hostile until its names, types, shapes and offsets agree with each other and with the size that the file really has.
 */
import { sourceBytes } from '../dequantize/index.ts'
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import type { SourceType } from '../manifest.ts'
import type { FileTensor } from './gguf-tensors.ts'
import { jsonObject, parseJsonTable } from './json-document.ts'
import type { JsonObject } from './json-document.ts'
import { MAX_DIMENSIONS, MAX_HUB_NAME_BYTES, MAX_SAFETENSORS_HEADER, MAX_TENSORS } from './limits.ts'
import type { RandomAccess } from './random-access.ts'

const LENGTH_BYTES = 8
/** An object and two lists for each tensor, one for the file's own words, and the table. */
const MOST_OBJECTS = 3 * MAX_TENSORS + 2

const TYPES: ReadonlyMap<string, SourceType> = new Map([
  ['F32', 'F32'],
  ['F16', 'F16'],
  ['BF16', 'BF16'],
])
/** Types of the format that weft does not read, so that a refusal can name them. */
const OTHER_TYPES = /^(BOOL|[UI](8|16|32|64)|F64|C64|F8_E\d+M\d+(FNUZ)?|F4|F6_E\d+M\d+)$/

/** @param file what messages call it. @throws ModelFileError, UnsupportedModelError */
export async function readSafetensors(access: RandomAccess, file: string): Promise<readonly FileTensor[]> {
  if (access.size < LENGTH_BYTES) throw new ModelFileError(file, `${access.size} bytes are no safetensors file`)
  const prefix = await access.read(0, LENGTH_BYTES)
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true)
  if (length > BigInt(MAX_SAFETENSORS_HEADER)) {
    throw new ModelFileError(file, `a header of ${length} bytes is over ${MAX_SAFETENSORS_HEADER}`)
  }
  const dataAt = LENGTH_BYTES + Number(length)
  if (dataAt > access.size)
    throw new ModelFileError(file, `its header ends at byte ${dataAt}, the file at ${access.size}`)
  const header = parseJsonTable(await access.read(LENGTH_BYTES, Number(length)), file, MOST_OBJECTS)
  const names = [...header.keys()].filter((name) => name !== '__metadata__')
  if (names.length > MAX_TENSORS) throw new ModelFileError(file, `${names.length} tensors are over ${MAX_TENSORS}`)
  const tensors = names.map((name) => entry(header, file, name, dataAt, access.size))
  checkLayout(tensors, file, dataAt, access.size)
  return tensors
}

function entry(header: JsonObject, file: string, name: string, dataAt: number, size: number): FileTensor {
  const where = `${file}: ${JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}...` : name)}`
  if (name === '' || Buffer.byteLength(name) > MAX_HUB_NAME_BYTES) throw new ModelFileError(where, 'a name of no use')
  const fields = jsonObject(header.raw(name), where)
  const type = typeOf(fields.text('dtype'), where)
  const shape = whole(fields.list('shape'), `${where}: shape`)
  const [from, to, ...more] = whole(fields.list('data_offsets'), `${where}: data_offsets`)
  if (from === undefined || to === undefined || more.length > 0)
    throw new ModelFileError(where, 'it has no two offsets')
  if (shape.length > MAX_DIMENSIONS) throw new ModelFileError(where, `it has ${shape.length} dimensions`)
  if (from > to || to > size - dataAt) {
    throw new ModelFileError(where, `its bytes ${from} to ${to} are not in the ${size - dataAt} of the data`)
  }
  const elements = shape.reduce((product, length) => product * length, 1)
  if (elements > size || sourceBytes(type, elements) !== to - from) {
    throw new ModelFileError(where, `[${shape.join(', ')}] of ${type} do not have ${to - from} bytes`)
  }
  return { name, type, shape: shape.length === 0 ? [1] : shape, offset: dataAt + from, bytes: to - from }
}

function typeOf(name: string | undefined, where: string): SourceType {
  const type = name === undefined ? undefined : TYPES.get(name)
  if (type !== undefined) return type
  if (name === undefined || !OTHER_TYPES.test(name)) throw new ModelFileError(where, 'its type is none of the format')
  throw new UnsupportedModelError(`${where} is stored as ${name}`, {
    why: `weft reads ${[...TYPES.keys()].join(', ')} from safetensors`,
    hint: 'Take the model in BF16, or its GGUF file.',
  })
}

function whole(list: readonly unknown[] | undefined, where: string): number[] {
  if (list === undefined) throw new ModelFileError(where, 'it is missing')
  return list.map((value) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    throw new ModelFileError(where, 'not all of it are whole numbers')
  })
}

/** The format has neither holes nor overlaps, and nothing behind the last tensor. */
function checkLayout(tensors: readonly FileTensor[], file: string, dataAt: number, size: number): void {
  let end = dataAt
  for (const tensor of tensors.toSorted((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (tensor.offset !== end) {
      const what = tensor.offset < end ? 'it lies over another tensor' : 'there is a hole before it'
      throw new ModelFileError(`${file}: ${JSON.stringify(tensor.name.slice(0, 80))}`, what)
    }
    end += tensor.bytes
  }
  if (end !== size) throw new ModelFileError(file, `its tensors end at byte ${end}, the file at ${size}`)
}
