/**
 * GGUF version 2 and 3, little-endian (ggml's docs/gguf.md): keys, then the tensor table, then the data. The file is
 * hostile until checked: no count, length, offset or type is believed before it is bounded by `limits.ts` and by the
 * size that the file really has. Tensor data is not touched.
 */
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import { ggufCursor, NeedMoreBytes } from './gguf-cursor.ts'
import type { GgufCursor } from './gguf-cursor.ts'
import { LEAST_KEY_BYTES, readMetadata } from './gguf-metadata.ts'
import type { GgufValue } from './gguf-metadata.ts'
import { LEAST_TENSOR_BYTES, placeTensors, readTensorTable } from './gguf-tensors.ts'
import type { FileTensor } from './gguf-tensors.ts'
import { MAX_ALIGNMENT, MAX_KEYS, MAX_TENSORS } from './limits.ts'
import type { RandomAccess } from './random-access.ts'

export interface GgufFile {
  readonly version: number
  readonly metadata: ReadonlyMap<string, GgufValue>
  readonly tensors: readonly FileTensor[]
}

/** `GGUF`, read as a little-endian number. */
export const GGUF_MAGIC = 0x46554747
const DEFAULT_ALIGNMENT = 32
/** Holds the header of most files; others are read again with four times as much. */
const FIRST_PREFIX = 1 << 20

/** @throws ModelFileError, UnsupportedModelError */
export async function readGguf(source: RandomAccess): Promise<GgufFile> {
  for (let length = FIRST_PREFIX; ; length *= 4) {
    const prefix = await source.read(0, Math.min(length, source.size))
    try {
      return parse(ggufCursor(prefix, source.size), source.size)
    } catch (error) {
      if (!(error instanceof NeedMoreBytes)) throw error
    }
  }
}

function parse(cursor: GgufCursor, size: number): GgufFile {
  if (cursor.u32('magic') !== GGUF_MAGIC) throw new ModelFileError('magic', 'this is no GGUF file')
  const version = readVersion(cursor)
  const tensorCount = readCount(cursor, 'tensor count', MAX_TENSORS, LEAST_TENSOR_BYTES)
  const keyCount = readCount(cursor, 'key count', MAX_KEYS, LEAST_KEY_BYTES)
  const metadata = readMetadata(cursor, keyCount)
  const alignment = readAlignment(metadata)
  const table = readTensorTable(cursor, tensorCount)
  const dataAt = Math.ceil(cursor.position() / alignment) * alignment
  return { version, metadata, tensors: placeTensors(table, dataAt, alignment, size) }
}

function readVersion(cursor: GgufCursor): number {
  const version = cursor.u32('version')
  if (version === 2 || version === 3) return version
  if (version !== 0 && (version & 0xffff) === 0) {
    throw new UnsupportedModelError('the GGUF file is big-endian', {
      hint: 'Convert it again for a little-endian machine.',
    })
  }
  throw new UnsupportedModelError(`GGUF version ${version} is not read`, {
    why: 'weft reads versions 2 and 3',
    details: { version },
  })
}

function readCount(cursor: GgufCursor, where: string, most: number, leastBytes: number): number {
  const count = cursor.u64(where)
  if (count > BigInt(most)) throw new ModelFileError(where, `${count} is over ${most}`)
  if (Number(count) * leastBytes > cursor.remaining()) {
    throw new ModelFileError(where, `${count} do not fit in the ${cursor.remaining()} bytes that are left`)
  }
  return Number(count)
}

function readAlignment(metadata: ReadonlyMap<string, GgufValue>): number {
  const entry = metadata.get('general.alignment')
  if (entry === undefined) return DEFAULT_ALIGNMENT
  const value = Number(entry.value)
  if (entry.type !== 'u32') throw new ModelFileError('general.alignment', `it is ${entry.type}, not u32`)
  if (value < 1 || value > MAX_ALIGNMENT || (value & (value - 1)) !== 0) {
    throw new ModelFileError('general.alignment', `${value} is no power of two up to ${MAX_ALIGNMENT}`)
  }
  return value
}
