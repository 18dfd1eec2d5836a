/** What a suite is, and how its cases are read: every field is checked before it reaches the algorithm. */
import type { CommandContext } from '../../context.ts'

/** One case of the file, its `id` among the fields. */
export type VectorCase = Readonly<Record<string, unknown>>

/** Every intermediate value of one case. @throws Refusal, or an error of the room that computes it */
export type Compute = (input: VectorCase) => Promise<VectorCase> | VectorCase

/** Made once a file, so that cases share what is dear: a tokenizer, say. */
export type Suite = (context: CommandContext) => Compute

/** A case that is not computed: its result is this reason, and the command goes on. */
export class Refusal extends Error {
  /** A word that does not change (docs/vectors.md). */
  readonly kind: string
  readonly place: RefusalPlace

  constructor(kind: string, message: string, place: RefusalPlace = {}) {
    super(message)
    this.name = 'Refusal'
    this.kind = kind
    this.place = place
  }
}

/** Whom and what it is about. */
export interface RefusalPlace {
  readonly party?: string | number
  readonly index?: number
}

export function textOf(input: VectorCase, field: string): string {
  const value = input[field]
  if (typeof value !== 'string') throw new Refusal('malformed', `"${field}" is no string`)
  return value
}

/** `otherwise` where the field is missing. */
export function wholeOf(input: VectorCase, field: string, least: number, most: number, otherwise?: number): number {
  const value = input[field] ?? otherwise
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
    throw new Refusal('malformed', `"${field}" is no whole number`)
  }
  if (value < least || value > most) throw new Refusal('range', `"${field}" is not within ${least} and ${most}`)
  return value
}

/** True, false, or undefined where the field is missing. */
export function flagOf(input: VectorCase, field: string): boolean | undefined {
  const value = input[field]
  if (value !== undefined && typeof value !== 'boolean') throw new Refusal('malformed', `"${field}" is no boolean`)
  return value
}

export function wholesOf(input: VectorCase, field: string, least: number, most: number): number[] {
  const value = input[field]
  if (!Array.isArray(value)) throw new Refusal('malformed', `"${field}" is no list`)
  return value.map((_, index) => wholeOf(value as unknown as VectorCase, String(index), least, most))
}

/** Bytes as lower-case hex. */
export function bytesOf(input: VectorCase, field: string): Uint8Array {
  return asBytes(textOf(input, field), field)
}

export function asBytes(text: unknown, what: string): Uint8Array {
  if (typeof text !== 'string' || !isHex(text)) throw new Refusal('malformed', `"${what}" is not lower-case hex`)
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

/** A repeated group in the pattern would overflow the stack on megabytes. */
function isHex(text: string): boolean {
  return text.length % 2 === 0 && /^[0-9a-f]*$/.test(text)
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Numbers that JSON has no words for are strings. */
export function numbersOf(values: Iterable<number>): (number | string)[] {
  return Array.from(values, (value) => (Number.isFinite(value) ? value : String(value)))
}
