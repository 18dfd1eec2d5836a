/** Reals, objects and lists of a case; bytes of a known length. */
import { bytesOf, Refusal } from './suite.ts'
import type { VectorCase } from './suite.ts'

/** JSON has no words for them. */
const WORDS: ReadonlyMap<unknown, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
])

/** `otherwise` where the field is missing. */
export function realOf(input: VectorCase, field: string, otherwise?: number): number {
  const value = input[field] ?? otherwise
  const real = typeof value === 'number' ? value : WORDS.get(value)
  if (real === undefined) throw new Refusal('malformed', `"${field}" is no number`)
  return real
}

export function realsOf(input: VectorCase, field: string): number[] {
  return listOf(input, field).map((_, index) => realOf(input[field] as VectorCase, String(index)))
}

export function optionalReals(input: VectorCase, field: string): number[] | undefined {
  return input[field] === undefined ? undefined : realsOf(input, field)
}

export function listOf(input: VectorCase, field: string): readonly unknown[] {
  const value = input[field]
  if (!Array.isArray(value)) throw new Refusal('malformed', `"${field}" is no list`)
  return value
}

export function objectsOf(input: VectorCase, field: string): VectorCase[] {
  return listOf(input, field).map((value) => asObject(value, field))
}

export function objectOf(input: VectorCase, field: string): VectorCase {
  return asObject(input[field], field)
}

export function asObject(value: unknown, what: string): VectorCase {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Refusal('malformed', `"${what}" is no object`)
  }
  return value as VectorCase
}

/** @throws Refusal of kind `length` */
export function sizedBytesOf(input: VectorCase, field: string, length: number): Uint8Array {
  const bytes = bytesOf(input, field)
  if (bytes.length !== length) throw new Refusal('length', `"${field}" has ${bytes.length} bytes, not ${length}`)
  return bytes
}

/** A number as JSON can hold it. */
export function shownReal(value: number): number | string {
  return Number.isFinite(value) ? value : String(value)
}
