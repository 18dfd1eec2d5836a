/** The transcript of a round of several sums: what was seen of each, in the form of a round of one, and what was told. */
import { z } from 'zod'
import { VectorLengthError } from '../errors.ts'
import { isOfForm, openedParts, signedParts } from './signed-parts.ts'
import type { Form } from './signed-parts.ts'
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

const FORM: Form<z.output<typeof head>> = { magic: 'weft fed transcript of sums/1', head, mostHead: 1 << 20 }

/** Whether these are the bytes of one: a round of one sum begins otherwise. */
export function isOfSums(bytes: Uint8Array): boolean {
  return isOfForm(FORM, bytes)
}

/** @param sign by the aggregator */
export function encodeSumsTranscript(
  by: KeptBy,
  { parts, upper, told }: KeptSums,
  sign: (bytes: Uint8Array) => Uint8Array,
): Uint8Array {
  const { job, session, aggregator, before } = by
  // They all begin from the same state, which stands there once.
  const one = (round: KeptRound): Uint8Array => encodeTranscript({ ...by, ...round, before: new Uint8Array() })
  const own = parts.map(({ index, round }) => ({ index, bytes: one(round) }))
  const above = upper === undefined ? undefined : one(upper)
  const plain = {
    job,
    session,
    aggregator,
    before: before.length,
    parts: own.map(({ index, bytes }) => ({ index, size: bytes.length })),
    upper: above?.length ?? null,
    told: told.length,
  }
  const rest = [...own.map(({ bytes }) => bytes), above ?? new Uint8Array(), told]
  return signedParts(FORM, plain, [before, ...rest], sign)
}

export interface ReadSumsTranscript {
  readonly transcript: SumsTranscript
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

/** @throws VectorLengthError: the bytes are none */
export function decodeSumsTranscript(bytes: Uint8Array): ReadSumsTranscript {
  const opened = openedParts(FORM, bytes)
  const { job, session, aggregator, ...sizes } = opened.head
  const before = opened.take(sizes.before)
  const read = (count: number): Transcript => {
    const { transcript } = decodeTranscript(opened.take(count))
    const isOf = transcript.job === job && transcript.session === session && transcript.aggregator === aggregator
    if (!isOf || transcript.before.length > 0) throw new VectorLengthError('a part is of another transcript')
    return { ...transcript, before }
  }
  const parts = sizes.parts.map((part) => ({ index: part.index, transcript: read(part.size) }))
  const upper = sizes.upper === null ? {} : { upper: read(sizes.upper) }
  const told = opened.take(sizes.told)
  return { transcript: { job, session, aggregator, before, parts, told, ...upper }, ...opened.end() }
}
