/** The transcript of a round of several sums: what was seen of each, in the form of a round of one, and what was told. */
import { z } from 'zod'
import { canonicalJson } from '../../util/index.ts'
import { VectorLengthError } from '../errors.ts'
import { ascii, concat, u32 } from '../secagg/bytes.ts'
import { decodeTranscript, encodeTranscript } from './transcript.ts'
import type { KeptBy, KeptRound, KeptSums, Transcript } from './transcript.ts'

export interface TranscriptPart {
  readonly index: number
  readonly transcript: Transcript
}

export interface SumsTranscript extends KeptBy {
  /** By the place of their bucket or cluster, rising. */
  readonly parts: readonly TranscriptPart[]
  readonly upper?: Transcript
  readonly told: Uint8Array
}

const MAGIC = 'weft fed transcript of sums/1'
const MAX_HEAD = 1 << 20
const SIGNATURE_BYTES = 64
/** Parts have none: the whole is signed. */
const UNSIGNED = (): Uint8Array => new Uint8Array(SIGNATURE_BYTES)

const size = z.int().min(0).max(0xffffffff)
const head = z.strictObject({
  job: z.string().max(128),
  session: size,
  aggregator: z.string().max(128),
  before: size,
  parts: z.array(z.strictObject({ index: z.int().min(0).max(4096), size })).max(4096),
  upper: size.nullable(),
  told: size,
})

/** Whether these are the bytes of one: a round of one sum begins otherwise. */
export function isOfSums(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, MAGIC.length), ascii(MAGIC)) === 0
}

/** @param sign by the aggregator */
export function encodeSumsTranscript(
  by: KeptBy,
  { parts, upper, told }: KeptSums,
  sign: (bytes: Uint8Array) => Uint8Array,
): Uint8Array {
  const { job, session, aggregator, before } = by
  // They all begin from the same state, which stands there once.
  const one = (round: KeptRound): Uint8Array =>
    encodeTranscript({ ...by, ...round, before: new Uint8Array() }, UNSIGNED)
  const own = parts.map(({ index, round }) => ({ index, bytes: one(round) }))
  const above = upper === undefined ? undefined : one(upper)
  const text = ascii(
    canonicalJson({
      job,
      session,
      aggregator,
      before: before.length,
      parts: own.map(({ index, bytes }) => ({ index, size: bytes.length })),
      upper: above?.length ?? null,
      told: told.length,
    }),
  )
  const rest = [...own.map(({ bytes }) => bytes), above ?? new Uint8Array(), told]
  const bytes = concat(ascii(MAGIC), u32(text.length), text, before, ...rest, UNSIGNED())
  bytes.set(sign(bytes.subarray(0, -SIGNATURE_BYTES)), bytes.length - SIGNATURE_BYTES)
  return bytes
}

export interface ReadSumsTranscript {
  readonly transcript: SumsTranscript
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

/** @throws VectorLengthError: the bytes are none */
export function decodeSumsTranscript(bytes: Uint8Array): ReadSumsTranscript {
  const from = MAGIC.length + 4
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = bytes.length < from ? Number.POSITIVE_INFINITY : view.getUint32(MAGIC.length)
  if (!isOfSums(bytes) || length > MAX_HEAD || from + length > bytes.length) {
    throw new VectorLengthError('these bytes are no transcript of a round of several sums')
  }
  const { job, session, aggregator, ...sizes } = headOf(bytes.subarray(from, from + length))
  let at = from + length
  const take = (count: number): Uint8Array => {
    if (at + count > bytes.length) throw new VectorLengthError('a transcript is cut short')
    return bytes.subarray(at, (at += count))
  }
  const before = take(sizes.before)
  const read = (count: number): Transcript => {
    const { transcript } = decodeTranscript(take(count))
    const isOf = transcript.job === job && transcript.session === session && transcript.aggregator === aggregator
    if (!isOf || transcript.before.length > 0) throw new VectorLengthError('a part is of another transcript')
    return { ...transcript, before }
  }
  const parts = sizes.parts.map((part) => ({ index: part.index, transcript: read(part.size) }))
  const upper = sizes.upper === null ? {} : { upper: read(sizes.upper) }
  const told = take(sizes.told)
  const signed = bytes.subarray(0, at)
  const signature = take(SIGNATURE_BYTES)
  if (at !== bytes.length) throw new VectorLengthError('bytes follow a transcript')
  return { transcript: { job, session, aggregator, before, parts, told, ...upper }, signed, signature }
}

function headOf(bytes: Uint8Array): z.output<typeof head> {
  try {
    return head.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch (error) {
    throw new VectorLengthError(`the head of a transcript is none: ${(error as Error).message.slice(0, 200)}`)
  }
}
