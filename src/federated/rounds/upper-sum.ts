/** The sum of clusters, begun here or by another aggregator. */
import type { ChosenSum } from './choose-members.ts'
import { Collector } from './collector.ts'
import type { CollectorNeeds, Joined } from './collector-types.ts'
import type { Complaints } from './complaints.ts'
import type { CoordinatorNeeds, Guest } from './coordinator-types.ts'
import type { HeldSum } from './hand-over.ts'
import { jobOf, upperOf } from './held-sums.ts'
import { placesOf } from './resume-sum.ts'
import { droppedIn } from './sum-init.ts'

/** Of it nothing but masks and shares are seen. */
export function upperSum(
  needs: CoordinatorNeeds,
  complaints: Complaints,
  session: number,
  sums: readonly ChosenSum<Guest>[],
  { held, keep }: Pick<CollectorNeeds, 'keep'> & { readonly held: ReadonlyMap<number, HeldSum> },
): Collector {
  const { clock, standing, times, log, filter } = needs
  const { state, hash } = standing.current
  const job = jobOf(needs, held)
  const upper = job.upper(state)
  const known = upperOf(held)
  const [round = session] = [...held.values()].map((sum) => sum.round)
  const peers = upper.members.map(({ peer }) => peer)
  const guests = sums.flatMap((sum) => sum.guests.filter(({ peer }) => peers.includes(peer)))
  const delegates =
    known !== undefined
      ? placesOf(known.roster, upper, guests)
      : guests.flatMap(({ peer, pipe, joined }): Joined[] =>
          joined?.upper === undefined ? [] : [{ peer, pipe, entry: joined.upper }],
        )
  const stage = (name: string): void => log('stage', { session, stage: name, of: upper.name })
  const dropped = droppedIn(needs, complaints, session, upper)
  const { graph, quorum } = upper
  const members = upper.members.map(({ key }) => key)
  const init = { header: job.header(round, state, hash, upper), members, graph, quorum }
  return new Collector({ clock, stageMs: times.stageMs, stage, filter, dropped, keep }, init, delegates)
}
