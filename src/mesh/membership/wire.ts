/**
 * Messages of `/weft/membership/1`. Whoever has news says so; whoever lacks them asks.
 *
 *   type 1 head     control {height, hash, beat?}: the newest entry here, and the newest heart-beat of an admin
 *   type 2 ask      control {heads: [[height, hash], ...]}: heads of the asking side, newest first
 *   type 3 entries  the entries after the newest head that both have (entry-frames.ts); the last frame says so
 *   type 4 leave    control {reason}: the sender asks an admin to take it out
 *   type 5 removed  one entry, as in 3: the receiver is out, and the connection is about to end
 */
import { z } from 'zod'
import { decodeControl, encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { HeartBeat, LogHead } from '../../trust/index.ts'
import { LOG_LIMITS } from '../../trust/index.ts'
import { MeshProtocolError } from '../errors.ts'

export const MEMBERSHIP_PROTOCOL = '/weft/membership/1'
export const NEWS = { head: 1, ask: 2, entries: 3, leave: 4, removed: 5 } as const

/** Ten steps of one, then doubling: enough for a log of a million. */
const MAX_LOCATOR = 64
const hash = z.string().regex(/^[0-9a-f]{64}$/)
const height = z.int().min(0).max(LOG_LIMITS.entries)
const headSchema = z.strictObject({ height, hash, beat: z.unknown().optional() })
const askSchema = z.strictObject({ heads: z.array(z.tuple([height, hash])).max(MAX_LOCATOR) })
const leaveSchema = z.strictObject({ reason: z.string().max(LOG_LIMITS.reason) })

export function headFrame(head: LogHead, beat: HeartBeat | undefined): Frame {
  return frame({ type: NEWS.head, control: encodeControl({ ...head, ...(beat === undefined ? {} : { beat }) }) })
}

export function askFrame(heads: readonly LogHead[]): Frame {
  const pairs = heads.slice(0, MAX_LOCATOR).map(({ height, hash }) => [height, hash])
  return frame({ type: NEWS.ask, control: encodeControl({ heads: pairs }) })
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
  return read(peer, headSchema, message)
}

export function readAsk(peer: string, message: Frame): LogHead[] {
  return read(peer, askSchema, message).heads.map(([at, of]) => ({ height: at, hash: of }))
}

export function readLeave(peer: string, message: Frame): string {
  return read(peer, leaveSchema, message).reason
}
