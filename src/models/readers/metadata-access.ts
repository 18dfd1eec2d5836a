/** Typed look-ups in GGUF's metadata: each says which key is missing, of the wrong type or out of range. */
import { ModelFileError } from '../errors.ts'
import type { NumberType } from './gguf-cursor.ts'
import type { GgufValue } from './gguf-metadata.ts'

export interface MetadataAccess {
  has(key: string): boolean
  /** A whole number in [least, most]. */
  count(key: string, least: number, most: number, fallback?: number): number
  /** A finite number in [least, most]. */
  real(key: string, least: number, most: number, fallback?: number): number
  text(key: string): string | undefined
  flag(key: string): boolean | undefined
  texts(key: string): readonly string[] | undefined
  numbers(key: string): Float64Array | undefined
  /** A whole number up to `most`, or a list. */
  countOrNumbers(key: string, most: number): number | Float64Array
}

/** The member of the union that has this type; numbers share one member. */
type ValueOf<T extends GgufValue['type']> = T extends NumberType
  ? { readonly value: number | bigint }
  : Extract<GgufValue, { readonly type: T }>

export function metadataAccess(metadata: ReadonlyMap<string, GgufValue>): MetadataAccess {
  const get = <T extends GgufValue['type']>(key: string, types: readonly T[]): ValueOf<T> | undefined => {
    const entry = metadata.get(key)
    if (entry === undefined) return undefined
    if (!types.some((type) => type === entry.type)) {
      throw new ModelFileError(key, `it is ${entry.type}, not ${types.join(' or ')}`)
    }
    return entry as ValueOf<T>
  }
  const bounded = (key: string, value: number, least: number, most: number): number => {
    if (!(value >= least && value <= most)) throw new ModelFileError(key, `${value} is not in ${least} to ${most}`)
    return value
  }
  const numberOf = (key: string, types: readonly NumberType[]): number | bigint | undefined => get(key, types)?.value
  const need = (key: string, value: number | bigint | undefined, fallback: number | undefined): number => {
    const found = value ?? fallback
    if (found === undefined) throw new ModelFileError(key, 'it is missing')
    return Number(found)
  }
  const count: MetadataAccess['count'] = (key, least, most, fallback) =>
    bounded(key, need(key, numberOf(key, ['u32', 'u64', 'i32', 'u16', 'u8']), fallback), least, most)
  return {
    has: (key) => metadata.has(key),
    count,
    countOrNumbers: (key, most) =>
      metadata.get(key)?.type === 'numbers' ? get(key, ['numbers'])!.value : count(key, 0, most),
    real: (key, least, most, fallback) => bounded(key, need(key, numberOf(key, ['f32', 'f64']), fallback), least, most),
    text: (key) => get(key, ['string'])?.value,
    flag: (key) => get(key, ['bool'])?.value,
    texts: (key) => get(key, ['strings'])?.value,
    numbers: (key) => get(key, ['numbers'])?.value,
  }
}
