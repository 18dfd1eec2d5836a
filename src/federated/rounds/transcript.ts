/**
 * What members signed, masked and revealed in a round, as whoever aggregated it saw it: enough for anybody to make the sum
 * again, and no more than was seen. Sealed shares are left out; a vector that came too late never gets in.
 */
import { z } from 'zod'
import type { Advertisement } from '../secagg/layout.ts'
import type { Consistency, Reveal, Survivor } from '../secagg/messages.ts'
import { openedParts, signedParts } from './signed-parts.ts'
import type { Form } from './signed-parts.ts'

export interface KeptRound {
  readonly roster: readonly Advertisement[]
  /** U2: positions of who shared keys. */
  readonly sharers: readonly number[]
  /** U3. */
  readonly survivors: readonly Survivor[]
  readonly ballots: readonly Consistency[]
  /** By holder. */
  readonly reveals: ReadonlyMap<number, Reveal>
  /** Packed, by survivor. */
  readonly vectors: ReadonlyMap<number, Uint8Array>
  /** The sum, packed. */
  readonly sum: Uint8Array
}

/** A round of several sums: of buckets, or of clusters and then of these. */
export interface KeptSums {
  /** By the place of their bucket or cluster, rising. */
  readonly parts: readonly KeptPart[]
  /** The sum of clusters. Its vectors are the sums of these, and are left out. */
  readonly upper?: KeptRound
  /** What members were told, packed: the sums of buckets, or the one of clusters. */
  readonly told: Uint8Array
}

export interface KeptPart {
  readonly index: number
  readonly round: KeptRound
}

/** Of which round something is kept, and by whom. */
export interface KeptBy {
  readonly job: string
  readonly session: number
  /** PeerId. */
  readonly aggregator: string
  /** The state that the round began from, encoded. */
  readonly before: Uint8Array
}

export interface Transcript extends KeptRound, KeptBy {}

const hexOf = (length: number): z.ZodType<Uint8Array> =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-f]{${2 * length}}$`))
    .transform((text) => new Uint8Array(Buffer.from(text, 'hex')))
const whole = z.int().min(0).max(0xffffffff)
const position = z.int().min(0).max(4096)
const list = <T extends z.ZodType>(of: T): z.ZodArray<T> => z.array(of).max(4096)
const entry = z.strictObject({
  identity: hexOf(32),
  channelKey: hexOf(32),
  maskKey: hexOf(32),
  commitment: hexOf(32),
  nonce: hexOf(16),
  records: whole,
  signature: hexOf(64),
})
const head = z.strictObject({
  job: z.string().max(128),
  session: whole,
  aggregator: z.string().max(128),
  roster: list(entry),
  sharers: list(position),
  survivors: list(z.strictObject({ position, digest: hexOf(32), signature: hexOf(64) })),
  ballots: list(z.strictObject({ position, signature: hexOf(64) })),
  reveals: list(
    z.strictObject({
      holder: position,
      shares: list(z.strictObject({ owner: position, kind: z.enum(['b', 's']), share: hexOf(32) })),
    }),
  ),
  /** Bytes of what follows: the state, each vector, the sum. */
  sizes: z.strictObject({ before: whole, vector: whole, sum: whole }),
})

const FORM: Form<z.output<typeof head>> = { magic: 'weft fed transcript/1', head, mostHead: 64 << 20 }

/** @param sign by the aggregator: who changes the bytes later cannot say that they are its own. Undefined: of a part */
export function encodeTranscript(transcript: Transcript, sign?: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  const { job, session, aggregator, before, roster, sharers, survivors, ballots, reveals, vectors, sum } = transcript
  const order = survivors.map((one) => vectors.get(one.position) ?? new Uint8Array())
  const plain = plainOf({
    job,
    session,
    aggregator,
    roster,
    sharers,
    survivors,
    ballots,
    reveals: [...reveals].map(([holder, shares]) => ({
      holder,
      shares: [...shares].map(([owner, { kind, share }]) => ({ owner, kind, share })),
    })),
    sizes: { before: before.length, vector: order[0]?.length ?? 0, sum: sum.length },
  })
  return signedParts(FORM, plain, [before, ...order, sum], sign)
}

/** Bytes as hexadecimal digits, all the way down. */
function plainOf(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plainOf)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plainOf(inner)]))
}

export interface ReadTranscript {
  readonly transcript: Transcript
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

/** @throws VectorLengthError: the bytes are no transcript */
export function decodeTranscript(bytes: Uint8Array): ReadTranscript {
  const opened = openedParts(FORM, bytes)
  const { sizes, reveals, survivors, ...rest } = opened.head
  const before = opened.take(sizes.before)
  const vectors = new Map(survivors.map((one) => [one.position, opened.take(sizes.vector)]))
  const sum = opened.take(sizes.sum)
  const held = new Map(
    reveals.map(({ holder, shares }) => [
      holder,
      new Map(shares.map(({ owner, kind, share }) => [owner, { kind, share }] as const)),
    ]),
  )
  return { transcript: { ...rest, survivors, reveals: held, before, vectors, sum }, ...opened.end() }
}
