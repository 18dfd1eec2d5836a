/** Whether a round's messages are kept, where the plan wants it: a transcript has a size that its disk can bear. */
import { packedBytes } from '../secagg/packing.ts'
import type { RoundHeader } from '../secagg/layout.ts'
import type { ChosenSum } from './choose-members.ts'
import type { CoordinatorNeeds, Guest } from './coordinator-types.ts'
import type { KeptRound } from './transcript.ts'

/** Of the masked vectors of one round, which are in memory until it ends. */
const MOST_KEPT_BYTES = 1 << 30

type ToKeep = Pick<ChosenSum<Guest>, 'guests' | 'resumed'>
type Size = Pick<RoundHeader, 'round' | 'd' | 'bits'>

/** Undefined: nothing is kept. What cannot be written is logged, and the round goes on. */
export function keeperOf(
  needs: CoordinatorNeeds,
  size: Size,
  sums: readonly ToKeep[],
): ((kept: KeptRound) => Promise<void>) | undefined {
  const { keep, standing } = needs
  if (keep === undefined || !isWhole(needs, size, sums) || !hasRoom(needs, size, sums)) return undefined
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

/** The same of a round of several sums. */
export function sumsKeeperOf(needs: CoordinatorNeeds, size: Size, sums: readonly ToKeep[]): SumsKeeper | undefined {
  const { keepSums, standing } = needs
  if (keepSums === undefined || !isWhole(needs, size, sums) || !hasRoom(needs, size, sums)) return undefined
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

/** Of a sum that another aggregator began this one has not seen the vectors. */
function isWhole({ log }: CoordinatorNeeds, { round: session }: Size, sums: readonly ToKeep[]): boolean {
  if (sums.every(({ resumed }) => resumed === undefined)) return true
  log('transcript.left_out', { session, why: 'another aggregator began it' })
  return false
}

function hasRoom({ log }: CoordinatorNeeds, { round: session, d, bits }: Size, sums: readonly ToKeep[]): boolean {
  const members = sums.reduce((all, { guests }) => all + guests.length, 0)
  const bytes = members * packedBytes(d, bits)
  if (bytes <= MOST_KEPT_BYTES) return true
  log('transcript.left_out', { session, bytes, most: MOST_KEPT_BYTES })
  return false
}

function unsaved({ log }: CoordinatorNeeds, { round: session }: Size, error: unknown): void {
  log('transcript.unsaved', { session, why: (error as Error).message })
}
