/** A contribution that may be in a sum, as bytes: u32 length, JSON, coordinates and wide numbers, and what the site keeps once the sum stands. */
import { z } from 'zod'
import { VectorLengthError } from '../errors.ts'
import { ascii, concat, u32 } from '../secagg/bytes.ts'
import type { Prepared } from '../site/site.ts'
import { contributionBytes, readContribution } from './layout.ts'
import { decodeMemory, encodeMemory } from './memory.ts'

const headSchema = z.object({
  schema: z.literal('weft.fed-left/1'),
  state: z.string(),
  reals: z.int().min(0),
  wide: z.int().min(0),
  contribution: z.int().min(0),
  age: z.int().min(0).nullable(),
})

/** @param state hash of what it was sent for */
export function encodeLeft(state: string, { contribution, memory, age }: Prepared): Uint8Array {
  const { reals, wide } = contribution
  const numbers = contributionBytes(contribution, 'float64')
  const shape = { reals: reals.length, wide: wide.length, contribution: numbers.length }
  const head = ascii(JSON.stringify({ schema: 'weft.fed-left/1', state, ...shape, age: age ?? null }))
  return concat(u32(head.length), head, numbers, encodeMemory(memory))
}

/** @throws VectorLengthError, ZodError, SyntaxError: the bytes are none */
function parts(bytes: Uint8Array): { readonly head: z.output<typeof headSchema>; readonly rest: Uint8Array } {
  const length = bytes.length < 4 ? Number.POSITIVE_INFINITY : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  if (4 + length > bytes.length) throw new VectorLengthError('what has left of this site is cut short')
  const head = headSchema.parse(JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))))
  return { head, rest: bytes.subarray(4 + length) }
}

/** The state that it was sent for. */
export function stateOfLeft(bytes: Uint8Array): string {
  return parts(bytes).head.state
}

export function decodeLeft(bytes: Uint8Array): Prepared {
  const { head, rest } = parts(bytes)
  const contribution = readContribution(rest.subarray(0, head.contribution), head, 'float64')
  const memory = decodeMemory(rest.subarray(head.contribution))
  const age = head.age === null ? {} : { age: head.age }
  return { contribution, memory, noise: undefined, isRepeatable: false, ...age }
}
