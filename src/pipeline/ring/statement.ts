/**
 * What a stage signs of the rows that it sends on in an audited session: which rows, made of which, with which kernels. It
 * stands by itself: whoever has the rows before them and the weights can compute the rows again and hold them against it.
 */
import { hash } from 'node:crypto'
import { z } from 'zod'
import { decodeControl } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { verify } from '../../trust/index.ts'
import { canonicalJson } from '../../util/index.ts'

/** Keeps these signatures from ever standing for anything else that the identity signs. */
const DOMAIN = Buffer.from('weft stage statement 1\n')
/** Bytes of a SHA-256. */
export const HASH_BYTES = 32

export interface Statement {
  /** PeerId of the session's origin, and its number there. */
  readonly origin: string
  readonly session: number
  readonly attempt: number
  /** Digest of the model. */
  readonly model: string
  /** Blocks [from, to) that the signer computed. */
  readonly from: number
  readonly to: number
  /** Rows [position, position + count). */
  readonly position: number
  readonly count: number
  /** Chain over the rows [0, position + count) that came in. */
  readonly input: Uint8Array
  /** SHA-256 over the SHA-256s of the rows that went out. */
  readonly output: Uint8Array
  /** Id of the signer's kernels. */
  readonly kernel: string
}

const bytes = (length: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length)
const row = z
  .number()
  .int()
  .min(0)
  .max(1 << 24)

/** The part of a statement that travels with the rows: the receiver knows the rest. */
export const sealSchema = z.object({
  session: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
  attempt: z.number().int().min(0).max(65_535),
  kernel: z.string().max(512),
  input: bytes(HASH_BYTES),
  signature: bytes(64),
})

export type Seal = z.infer<typeof sealSchema>

/** A seal with the rows that it is for, as their receiver keeps it. */
export const receiptSchema = sealSchema.extend({
  peer: z.string().max(128),
  from: row,
  to: row,
  position: row,
  count: row,
})

export type Receipt = z.infer<typeof receiptSchema>

export function statementBytes(statement: Statement): Uint8Array {
  const { input, output, ...plain } = statement
  const hex = { input: Buffer.from(input).toString('hex'), output: Buffer.from(output).toString('hex') }
  return Buffer.concat([DOMAIN, Buffer.from(canonicalJson({ ...plain, ...hex }))])
}

export function isSigned(peer: string, statement: Statement, signature: Uint8Array): boolean {
  return verify(peer, statementBytes(statement), signature)
}

/** The seal of a rows frame; undefined: it has none, or a malformed one. */
export function sealOf({ control }: Pick<Frame, 'control'>): Seal | undefined {
  if (control.length === 0) return undefined
  try {
    return sealSchema.safeParse(decodeControl(control)).data
  } catch {
    return undefined
  }
}

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  // One call in place of three: rows are short, and each is hashed at both ends.
  return hash('sha256', parts.length === 1 ? parts[0]! : Buffer.concat(parts), 'buffer')
}

/** SHA-256 of each row, one behind the other. */
export function rowHashes(payload: Uint8Array, count: number): Uint8Array {
  const rowBytes = payload.length / Math.max(1, count)
  const hashes = new Uint8Array(count * HASH_BYTES)
  for (let index = 0; index < count; index++)
    hashes.set(sha256(payload.subarray(index * rowBytes, (index + 1) * rowBytes)), index * HASH_BYTES)
  return hashes
}

/** The chain over rows, from one row to a later one. @returns [count, 32] a chain value behind each row */
export function chained(before: Uint8Array, hashes: Uint8Array): Uint8Array {
  const chain = new Uint8Array(hashes.length)
  let value = before
  for (let at = 0; at < hashes.length; at += HASH_BYTES) {
    value = sha256(value, hashes.subarray(at, at + HASH_BYTES))
    chain.set(value, at)
  }
  return chain
}

/** Before any row. */
export const CHAIN_START: Uint8Array = new Uint8Array(HASH_BYTES)
