/** Entries of a membership log in frames: as many as fit, one behind the other, with their lengths in the control map. */
import { z } from 'zod'
import { decodeControl, DTYPE, encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { LOG_LIMITS } from '../../trust/index.ts'
import { MeshProtocolError } from '../errors.ts'

/** Small enough that heart-beats get their turn, large enough that a log of thousands comes in a few. */
const FRAME_BYTES = 1 << 20
const MAX_IN_FRAME = 2_000

const partSchema = z.strictObject({
  sizes: z.array(z.int().min(1).max(LOG_LIMITS.entryBytes)).max(MAX_IN_FRAME),
  last: z.boolean(),
})

export interface EntryPart {
  readonly entries: readonly Uint8Array[]
  readonly last: boolean
}

export function entryFrames(type: number, entries: readonly Uint8Array[]): Frame[] {
  const parts: Uint8Array[][] = [[]]
  let bytes = 0
  for (const entry of entries) {
    if (bytes > 0 && (bytes + entry.length > FRAME_BYTES || parts.at(-1)!.length >= MAX_IN_FRAME)) {
      parts.push([])
      bytes = 0
    }
    parts.at(-1)!.push(entry)
    bytes += entry.length
  }
  return parts.map((part, index) => {
    const payload = Buffer.concat(part)
    const control = encodeControl({ sizes: part.map(({ length }) => length), last: index === parts.length - 1 })
    return frame({ type, dtype: DTYPE.bytes, dims: [payload.length], payload, control })
  })
}

/** @throws MeshProtocolError, ControlError */
export function readEntries(peer: string, { payload, control }: Frame): EntryPart {
  const result = partSchema.safeParse(decodeControl(control))
  if (!result.success) throw new MeshProtocolError(peer, 'its entries are malformed')
  const { sizes, last } = result.data
  if (sizes.reduce((sum, size) => sum + size, 0) !== payload.length)
    throw new MeshProtocolError(peer, 'its entries are not as long as it says')
  let at = 0
  const entries = sizes.map((size) => payload.slice(at, (at += size)))
  return { entries, last }
}
