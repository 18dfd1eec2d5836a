/** Whether a round's messages are kept, where the plan wants it: a transcript has a size that its disk can bear. */
import { packedBytes } from '../secagg/packing.ts'
import type { RoundHeader } from '../secagg/layout.ts'
import type { CoordinatorNeeds } from './coordinator-types.ts'
import type { KeptRound } from './transcript.ts'

/** Of the masked vectors of one round, which are in memory until it ends. */
const MOST_KEPT_BYTES = 1 << 30

type Size = Pick<RoundHeader, 'round' | 'd' | 'bits'>

/** Undefined: nothing is kept. What cannot be written is logged, and the round goes on. */
export function keeperOf(
  needs: CoordinatorNeeds,
  size: Size,
  members: number,
): ((kept: KeptRound) => Promise<void>) | undefined {
  const { keep, standing } = needs
  if (keep === undefined || !hasRoom(needs, size, members)) return undefined
  const { state } = standing.current
  return (kept) => keep(size.round, state, kept).catch((error: unknown) => unsaved(needs, size, error))
}

/** What is seen of the sums of a round, until it is known which of them are in it. */
export interface SumsKeeper {
  part(index: number): (kept: KeptRound) => Promise<void>
  readonly upper: (kept: KeptRound) => Promise<void>
  /** @param made places of the buckets or clusters that were opened, rising. @param told to their members, packed */
  save(made: readonly number[], told: Uint8Array): Promise<void>
}

/** The same of a round of several sums. @param members of all of them */
export function sumsKeeperOf(needs: CoordinatorNeeds, size: Size, members: number): SumsKeeper | undefined {
  const { keepSums, standing } = needs
  if (keepSums === undefined || !hasRoom(needs, size, members)) return undefined
  const { state } = standing.current
  const seen = new Map<number, KeptRound>()
  let upper: KeptRound | undefined
  return {
    part: (index) => (kept) => Promise.resolve(void seen.set(index, kept)),
    upper: (kept) => Promise.resolve(void (upper = kept)),
    async save(made, told) {
      const parts = made.flatMap((index) => {
        const round = seen.get(index)
        return round === undefined ? [] : [{ index, round }]
      })
      const kept = { parts, told, ...(upper === undefined ? {} : { upper }) }
      await keepSums(size.round, state, kept).catch((error: unknown) => unsaved(needs, size, error))
    },
  }
}

function hasRoom({ log }: CoordinatorNeeds, { round: session, d, bits }: Size, members: number): boolean {
  const bytes = members * packedBytes(d, bits)
  if (bytes <= MOST_KEPT_BYTES) return true
  log('transcript.left_out', { session, bytes, most: MOST_KEPT_BYTES })
  return false
}

function unsaved({ log }: CoordinatorNeeds, { round: session }: Size, error: unknown): void {
  log('transcript.unsaved', { session, why: (error as Error).message })
}
