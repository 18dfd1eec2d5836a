/** Reads GGUF's primitive values from a prefix of a file; every length is bounded before it is believed. */
import { ModelFileError } from '../errors.ts'
import { MAX_HEADER_BYTES, MAX_STRING_BYTES } from './limits.ts'

/** The prefix is too short for what comes next: the reader takes a longer one and starts again. */
export class NeedMoreBytes extends Error {}

export interface GgufCursor {
  position(): number
  /** Bytes of the file from here on. */
  remaining(): number
  u8(where: string): number
  u32(where: string): number
  i32(where: string): number
  u64(where: string): bigint
  number(type: NumberType, where: string): number | bigint
  /** `fatal`: bytes that are no UTF-8 are refused, not replaced. */
  string(where: string, maxBytes?: number, fatal?: boolean): string
}

export type NumberType = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'u64' | 'i64' | 'f64'

export const NUMBER_BYTES: Readonly<Record<NumberType, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  u64: 8,
  i64: 8,
  f64: 8,
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const lenient = new TextDecoder('utf-8', { ignoreBOM: true })

export function ggufCursor(prefix: Uint8Array, fileSize: number): GgufCursor {
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.length)
  let at = 0
  const take = (bytes: number, where: string): number => {
    if (bytes > fileSize - at) throw new ModelFileError(where, `the file ends at byte ${fileSize}, inside of it`)
    if (at + bytes > MAX_HEADER_BYTES) throw new ModelFileError(where, `the header is over ${MAX_HEADER_BYTES} bytes`)
    if (at + bytes > prefix.length) throw new NeedMoreBytes()
    const from = at
    at += bytes
    return from
  }
  const cursor: GgufCursor = {
    position: () => at,
    remaining: () => fileSize - at,
    u8: (where) => prefix[take(1, where)]!,
    u32: (where) => view.getUint32(take(4, where), true),
    i32: (where) => view.getInt32(take(4, where), true),
    u64: (where) => view.getBigUint64(take(8, where), true),
    number: (type, where) => readNumber(view, take(NUMBER_BYTES[type], where), type),
    string(where, maxBytes = MAX_STRING_BYTES, fatal = false) {
      const length = cursor.u64(where)
      if (length > BigInt(maxBytes)) throw new ModelFileError(where, `a length of ${length} bytes is over ${maxBytes}`)
      const from = take(Number(length), where)
      const bytes = prefix.subarray(from, at)
      if (!fatal) return lenient.decode(bytes)
      try {
        return strict.decode(bytes)
      } catch {
        throw new ModelFileError(where, 'its text is not UTF-8')
      }
    },
  }
  return cursor
}

function readNumber(view: DataView, at: number, type: NumberType): number | bigint {
  switch (type) {
    case 'u8':
      return view.getUint8(at)
    case 'i8':
      return view.getInt8(at)
    case 'u16':
      return view.getUint16(at, true)
    case 'i16':
      return view.getInt16(at, true)
    case 'u32':
      return view.getUint32(at, true)
    case 'i32':
      return view.getInt32(at, true)
    case 'f32':
      return view.getFloat32(at, true)
    case 'f64':
      return view.getFloat64(at, true)
    case 'u64':
      return exact(view.getBigUint64(at, true))
    default:
      return exact(view.getBigInt64(at, true))
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
