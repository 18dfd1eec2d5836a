/** GGUF's keys and values. */
import { ModelFileError } from '../errors.ts'
import { NUMBER_BYTES } from './gguf-cursor.ts'
import type { GgufCursor, NumberType } from './gguf-cursor.ts'
import { MAX_ARRAY_ELEMENTS, MAX_KEY_BYTES } from './limits.ts'

export type GgufValue =
  /** 64-bit integers that no double holds are bigint. */
  | { readonly type: NumberType; readonly value: number | bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  /** An array of numbers or truth values; 64-bit ones are rounded to doubles. */
  | { readonly type: 'numbers'; readonly of: NumberType | 'bool'; readonly value: Float64Array }

/** `gguf_metadata_value_type`, by number. */
const VALUE_TYPES = [
  'u8',
  'i8',
  'u16',
  'i16',
  'u32',
  'i32',
  'f32',
  'bool',
  'string',
  'array',
  'u64',
  'i64',
  'f64',
] as const
type ValueType = (typeof VALUE_TYPES)[number]

/** Length, type and one byte of value. */
export const LEAST_KEY_BYTES = 14

export function readMetadata(cursor: GgufCursor, count: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>()
  for (let index = 0; index < count; index++) {
    const key = cursor.string(`key ${index}`, MAX_KEY_BYTES, true)
    if (key === '') throw new ModelFileError(`key ${index}`, 'it is empty')
    if (metadata.has(key)) throw new ModelFileError(shown(key), 'the key stands there twice')
    metadata.set(key, readValue(cursor, valueType(cursor, shown(key)), shown(key)))
  }
  return metadata
}

/** A key as it may be printed: hostile files put escapes and novels there. */
function shown(key: string): string {
  return JSON.stringify(key.length > 80 ? `${key.slice(0, 80)}...` : key)
}

function valueType(cursor: GgufCursor, where: string): ValueType {
  const id = cursor.u32(where)
  const type = VALUE_TYPES[id]
  if (type === undefined) throw new ModelFileError(where, `there is no value type ${id}`)
  return type
}

function readValue(cursor: GgufCursor, type: ValueType, where: string): GgufValue {
  if (type === 'string') return { type, value: cursor.string(where) }
  if (type === 'bool') return { type, value: readBool(cursor, where) === 1 }
  if (type !== 'array') return { type, value: cursor.number(type, where) }
  return readArray(cursor, where)
}

function readBool(cursor: GgufCursor, where: string): number {
  const value = cursor.u8(where)
  if (value > 1) throw new ModelFileError(where, `${value} is no truth value`)
  return value
}

function readArray(cursor: GgufCursor, where: string): GgufValue {
  const of = valueType(cursor, where)
  // Arrays of arrays are legal and unused; refusing them takes away the recursion.
  if (of === 'array') throw new ModelFileError(where, 'arrays in arrays are not read')
  const length = cursor.u64(where)
  const least = of === 'string' ? 8 : of === 'bool' ? 1 : NUMBER_BYTES[of]
  if (length > BigInt(MAX_ARRAY_ELEMENTS)) {
    throw new ModelFileError(where, `${length} elements are over ${MAX_ARRAY_ELEMENTS}`)
  }
  const count = Number(length)
  if (count * least > cursor.remaining()) {
    throw new ModelFileError(where, `${count} elements do not fit in the ${cursor.remaining()} bytes that are left`)
  }
  if (of === 'string') {
    const value: string[] = []
    for (let index = 0; index < count; index++) value.push(cursor.string(where, undefined, true))
    return { type: 'strings', value }
  }
  const value = new Float64Array(count)
  for (let index = 0; index < count; index++) {
    value[index] = of === 'bool' ? readBool(cursor, where) : Number(cursor.number(of, where))
  }
  return { type: 'numbers', of, value }
}
