/**
 * Messages of `/weft/mesh/1`, one a frame. Whoever has the smaller PeerId opens the channel; both sides speak.
 *
 *   type 1 summary   header digest = hash of all entries; "do we know the same?"
 *   type 2 digest    control {entries: [[kind, key, author, version], ...], last, reply}; in several frames when long.
 *                    The other end sends what is newer on its side, and with `reply` its own digest if it lacks something
 *   type 3 record    payload = record (records.ts), step = seconds since the sender heard its author
 *   type 4 goodbye   the sender leaves now
 */
import { z } from 'zod'
import { decodeControl, DTYPE, encodeControl, frame } from '../net/index.ts'
import type { Frame } from '../net/index.ts'
import { DIGEST_ENTRIES_PER_FRAME, MAX_NAME } from './limits.ts'
import type { DigestEntry } from './record-book.ts'

export const MESH_PROTOCOL = '/weft/mesh/1'

export const GOSSIP = { summary: 1, digest: 2, record: 3, goodbye: 4 } as const

const MAX_AGE_SECONDS = 0xffff_ffff

export function summaryFrame(hash: Uint8Array): Frame {
  return frame({ type: GOSSIP.summary, digest: hash })
}

export function digestFrames(entries: readonly DigestEntry[], reply: boolean): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at === 0 || at < entries.length; at += DIGEST_ENTRIES_PER_FRAME) {
    const part = entries.slice(at, at + DIGEST_ENTRIES_PER_FRAME)
    const last = at + DIGEST_ENTRIES_PER_FRAME >= entries.length
    frames.push(frame({ type: GOSSIP.digest, control: encodeControl({ entries: part, last, reply }) }))
  }
  return frames
}

/** `age` in milliseconds; Infinity (never heard, read from disk) travels as the largest. */
export function recordFrame(bytes: Uint8Array, age: number): Frame {
  const step = Math.min(MAX_AGE_SECONDS, Math.max(0, Math.round(age / 1000)))
  return frame({ type: GOSSIP.record, dtype: DTYPE.bytes, dims: [bytes.length], payload: bytes, step })
}

export function goodbyeFrame(): Frame {
  return frame({ type: GOSSIP.goodbye })
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
})

export interface DigestPart {
  readonly entries: readonly DigestEntry[]
  readonly last: boolean
  readonly reply: boolean
}

/** Undefined when it is not one. @throws ControlError for what is no control map */
export function readDigest(control: Uint8Array): DigestPart | undefined {
  const result = digest.safeParse(decodeControl(control))
  return result.success ? result.data : undefined
}
