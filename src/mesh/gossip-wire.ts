/**
 * Messages of `/weft/mesh/1`, one a frame. Whoever has the smaller PeerId opens the channel; both sides speak.
 *
 *   type 1 summary   header digest = hash of all entries; "do we know the same?". control {sums}: the same in sums over buckets
 *                    (sums.ts), which a peer of the version before does not look at. To one that has sent sums, and in a large mesh, the hash is left out
 *   type 2 digest    control {entries: [[kind, key, author, version], ...], last, reply}; in several frames when long.
 *                    The other end sends what is newer on its side, and with `reply` its own digest if it lacks something.
 *                    With {of: [bucket, ...]}, to one that has sent sums: these are all entries of those buckets alone
 *   type 3 record    payload = record (records.ts), step = seconds since the sender heard its author
 *   type 4 goodbye   the sender leaves now
 *   type 5 records   several records in one frame (gossip-batch.ts), to one that has sent such a frame; the first is empty
 *   type 6 question  request = its number: "have you taken what I sent?", to one that has sent an answer
 *   type 7 answer    request = that number, behind all records that were waiting to be sent; the first, of 0, says that
 *                    questions are answered here
 */
import { z } from 'zod'
import { decodeControl, DTYPE, encodeControl, frame } from '../net/index.ts'
import type { Frame } from '../net/index.ts'
import { DIGEST_ENTRIES_PER_FRAME, MAX_NAME } from './limits.ts'
import type { DigestEntry } from './record-book.ts'
import { SUM_BUCKETS, SUMS_BYTES } from './sums.ts'

export const MESH_PROTOCOL = '/weft/mesh/1'

export const GOSSIP = { summary: 1, digest: 2, record: 3, goodbye: 4, records: 5, question: 6, answer: 7 } as const

const MAX_AGE_SECONDS = 0xffff_ffff

/** `hash` undefined: the other side goes by the sums. */
export function summaryFrame(hash: Uint8Array | undefined, sums: Uint8Array): Frame {
  const control = encodeControl({ sums })
  return frame({ type: GOSSIP.summary, control, ...(hash === undefined ? {} : { digest: hash }) })
}

const summary = z.object({ sums: z.instanceof(Uint8Array).refine(({ length }) => length === SUMS_BYTES) })

/** Undefined where there are none, or those of another version. @throws ControlError for what is no control map */
export function readSums(control: Uint8Array): Uint8Array | undefined {
  return control.length === 0 ? undefined : summary.safeParse(decodeControl(control)).data?.sums
}

/** @param of entries are those of these buckets alone */
export function digestFrames(entries: readonly DigestEntry[], reply: boolean, of?: readonly number[]): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at === 0 || at < entries.length; at += DIGEST_ENTRIES_PER_FRAME) {
    const part = entries.slice(at, at + DIGEST_ENTRIES_PER_FRAME)
    const last = at + DIGEST_ENTRIES_PER_FRAME >= entries.length
    frames.push(
      frame({
        type: GOSSIP.digest,
        control: encodeControl({ entries: part, last, reply, ...(of === undefined ? {} : { of }) }),
      }),
    )
  }
  return frames
}

/** Seconds; Infinity (never heard, read from disk) travels as the largest. @param age milliseconds */
export function writtenAge(age: number): number {
  return Math.min(MAX_AGE_SECONDS, Math.max(0, Math.round(age / 1000)))
}

/** Milliseconds. */
export function readAge(seconds: number): number {
  return seconds * 1000
}

/** `age` in milliseconds. */
export function recordFrame(bytes: Uint8Array, age: number): Frame {
  return frame({
    type: GOSSIP.record,
    dtype: DTYPE.bytes,
    dims: [bytes.length],
    payload: bytes,
    step: writtenAge(age),
  })
}

export function goodbyeFrame(): Frame {
  return frame({ type: GOSSIP.goodbye })
}

export function questionFrame(number: number): Frame {
  return frame({ type: GOSSIP.question, request: number })
}

export function answerFrame(number: number): Frame {
  return frame({ type: GOSSIP.answer, request: number })
}

const digest = z.strictObject({
  entries: z
    .array(
      z.tuple([
        z.string().max(32),
        z.string().max(MAX_NAME),
        z.string().max(64),
        z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
      ]),
    )
    .max(DIGEST_ENTRIES_PER_FRAME),
  last: z.boolean(),
  reply: z.boolean(),
  of: z
    .array(
      z
        .number()
        .int()
        .min(0)
        .max(SUM_BUCKETS - 1),
    )
    .max(SUM_BUCKETS)
    .optional(),
})

export interface DigestPart {
  readonly entries: readonly DigestEntry[]
  readonly last: boolean
  readonly reply: boolean
  readonly of?: readonly number[] | undefined
}

/** Undefined when it is not one. @throws ControlError for what is no control map */
export function readDigest(control: Uint8Array): DigestPart | undefined {
  const result = digest.safeParse(decodeControl(control))
  return result.success ? result.data : undefined
}
