/**
 * Messages of `/weft/membership/1`. Whoever has news says so; whoever lacks them asks.
 *
 *   type 1 head     control {height, hash, beat?}: the newest entry here, and the newest heart-beat of an admin
 *   type 2 ask      control {heads: [[height, hash], ...]}: heads of the asking side, newest first
 *   type 3 entries  the entries after the newest head that both have (entry-frames.ts); the last frame says so
 *   type 4 leave    control {reason}: the sender asks an admin to take it out
 *   type 5 removed  one entry, as in 3: the receiver is out, and the connection is about to end
 *   type 6 which    nothing: the sender does not know the receiver, and asks for its heads before it shows one of its own
 *   type 7 heads    control as in 2, in answer to 6; what the other side asks for then begins at one of these
 *   type 8 certificates  certificates of members, in frames as in 3
 *   type 9 lacking  control {peers: [id, ...]}: members of whom the sender has no certificate that lasts; answered by 8
 *
 * Types 1, 2, 3, 7, 8 and 9 say something of the log, and go to nobody whom the sender's log does not admit.
 */
import { z } from 'zod'
import { decodeControl, encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { HeartBeat, LogHead } from '../../trust/index.ts'
import { headSchema, LOG_LIMITS } from '../../trust/index.ts'
import { MeshProtocolError } from '../errors.ts'

export const MEMBERSHIP_PROTOCOL = '/weft/membership/1'
export const NEWS = {
  head: 1,
  ask: 2,
  entries: 3,
  leave: 4,
  removed: 5,
  which: 6,
  heads: 7,
  certificates: 8,
  lacking: 9,
} as const

/** Ten steps of one, then doubling: enough for a log of a million. */
const MAX_LOCATOR = 64
/** Whoever lacks more asks others for them, or the same one again when their channel is opened anew. */
const MAX_LACKING = 256
const { height, hash } = headSchema.shape
const newsSchema = headSchema.extend({ beat: z.unknown().optional() })
const askSchema = z.strictObject({ heads: z.array(z.tuple([height, hash])).max(MAX_LOCATOR) })
const lackingSchema = z.strictObject({ peers: z.array(z.string().max(64)).max(MAX_LACKING) })
const leaveSchema = z.strictObject({ reason: z.string().max(LOG_LIMITS.reason) })

export function headFrame(head: LogHead, beat: HeartBeat | undefined): Frame {
  return frame({ type: NEWS.head, control: encodeControl({ ...head, ...(beat === undefined ? {} : { beat }) }) })
}

/** Heads as a question (2) or as an answer (7). */
export function headsFrame(type: typeof NEWS.ask | typeof NEWS.heads, heads: readonly LogHead[]): Frame {
  const pairs = heads.slice(0, MAX_LOCATOR).map(({ height, hash }) => [height, hash])
  return frame({ type, control: encodeControl({ heads: pairs }) })
}

export function lackingFrame(peers: readonly string[]): Frame {
  return frame({ type: NEWS.lacking, control: encodeControl({ peers: peers.slice(0, MAX_LACKING) }) })
}

export function whichFrame(): Frame {
  return frame({ type: NEWS.which })
}

export function leaveFrame(reason: string): Frame {
  return frame({ type: NEWS.leave, control: encodeControl({ reason }) })
}

function read<T>(peer: string, schema: z.ZodType<T>, message: Frame): T {
  const result = schema.safeParse(decodeControl(message.control))
  if (!result.success) throw new MeshProtocolError(peer, 'its word about the membership is malformed')
  return result.data
}

export function readHead(peer: string, message: Frame): LogHead & { readonly beat?: unknown } {
  return read(peer, newsSchema, message)
}

export function readHeads(peer: string, message: Frame): LogHead[] {
  return read(peer, askSchema, message).heads.map(([at, of]) => ({ height: at, hash: of }))
}

export function readLacking(peer: string, message: Frame): readonly string[] {
  return read(peer, lackingSchema, message).peers
}

export function readLeave(peer: string, message: Frame): string {
  return read(peer, leaveSchema, message).reason
}
