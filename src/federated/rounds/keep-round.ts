/** Whether a round's messages are kept, where the plan wants it: a transcript has a size that its disk can bear. */
import type { RoundHeader } from '../secagg/layout.ts'
import { packedBytes } from '../secagg/packing.ts'
import type { CoordinatorNeeds } from './coordinator-types.ts'
import type { KeptRound } from './transcript.ts'

/** Of the masked vectors of one round, which are in memory until it ends. */
const MOST_KEPT_BYTES = 1 << 30

/** Undefined: nothing is kept. What cannot be written is logged, and the round goes on. */
export function keeperOf(
  { keep, log, standing }: CoordinatorNeeds,
  { round: session, d, bits }: RoundHeader,
  members: number,
): ((kept: KeptRound) => Promise<void>) | undefined {
  if (keep === undefined) return undefined
  const bytes = members * packedBytes(d, bits)
  if (bytes > MOST_KEPT_BYTES) {
    log('transcript.left_out', { session, bytes, most: MOST_KEPT_BYTES })
    return undefined
  }
  const { state } = standing.current
  return (kept) =>
    keep(session, state, kept).catch((error: unknown) => {
      log('transcript.unsaved', { session, why: (error as Error).message })
    })
}
