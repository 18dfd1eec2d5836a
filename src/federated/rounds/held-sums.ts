/** Sums that another aggregator began, from those who hold them: of clusters all of one session, or none. */
import { RoundAbortedError } from '../plan/errors.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import type { ChosenSum } from './choose-members.ts'
import type { Collector } from './collector.ts'
import type { CoordinatorNeeds, Guest } from './coordinator-types.ts'
import type { HeldSum, HeldUpper } from './hand-over.ts'
import type { JobView } from './job-view.ts'
import { askForSum } from './resume-sum.ts'
import { initOf } from './sum-init.ts'
import { factsOf, sendRefusal } from './wire.ts'

/** By the place of their group; whose holder does not give it, or has another sum of clusters than most, is left out and told so. */
export async function heldSums(
  needs: CoordinatorNeeds,
  session: number,
  sums: readonly ChosenSum<Guest>[],
): Promise<ReadonlyMap<number, HeldSum>> {
  const held = new Map<number, HeldSum>()
  const closed = (of: string, error: unknown): void => needs.log('sum.closed', { session, of, ...factsOf(error) })
  await Promise.all(
    sums.map(async ({ group, resumed }) => {
      if (resumed === undefined) return
      try {
        held.set(group.index, await askForSum(needs.times, { group, resumed, init: initOf(needs, group) }, session))
      } catch (error) {
        closed(group.name, error)
      }
    }),
  )
  const one = ofOneSession(held)
  for (const { group, guests } of sums) {
    if (!held.has(group.index) || one.has(group.index)) continue
    const error = new RoundAbortedError(session, 'sums', 'most clusters are of another session')
    closed(group.name, error)
    await Promise.all(guests.map(({ pipe }) => sendRefusal(pipe, error, true)))
  }
  return one
}

/** The most of them that agree on the sum of clusters. Buckets have none, and are opened each by itself. */
function ofOneSession(held: ReadonlyMap<number, HeldSum>): ReadonlyMap<number, HeldSum> {
  const bySession = new Map<string, Map<number, HeldSum>>()
  for (const [index, sum] of held) {
    const key = keyOf(sum)
    if (key === undefined) return held
    bySession.set(key, (bySession.get(key) ?? new Map<number, HeldSum>()).set(index, sum))
  }
  const [most = held] = [...bySession.values()].sort((left, right) => right.size - left.size)
  return most
}

function keyOf({ round, upper }: HeldSum): string | undefined {
  if (upper === undefined) return undefined
  const entries = upper.roster.map(({ signature }) => signature).sort((left, right) => Buffer.compare(left, right))
  const roster = Buffer.from(nodePrimitives.sha256(...entries)).toString('hex')
  return [round, roster, ...upper.sharers.toSorted((left, right) => left - right)].join()
}

/** R0 and R1 of the sum of clusters, or what another aggregator knew after them. @returns PeerIds of the delegates. @throws ThresholdError */
export async function sharedIn(upper: Collector, held: ReadonlyMap<number, HeldSum>): Promise<readonly string[]> {
  const known = upperOf(held)
  return known === undefined ? upper.share() : upper.resumeShared(known)
}

export function upperOf(held: ReadonlyMap<number, HeldSum>): HeldUpper | undefined {
  return [...held.values()].find(({ upper }) => upper !== undefined)?.upper
}

/** Of the membership that the round began with, as far as its delegates tell it. */
export function jobOf({ job }: Pick<CoordinatorNeeds, 'job'>, held: ReadonlyMap<number, HeldSum>): JobView {
  const known = upperOf(held)
  if (known === undefined) return job
  const keys = new Set(known.roster.map(({ identity }) => Buffer.from(identity).toString('hex')))
  const peers = job.members.flatMap(({ peer, key }) => (keys.has(Buffer.from(key).toString('hex')) ? [peer] : []))
  return job.ofMembership((peer) => peers.includes(peer))
}

/** PeerIds, by the place of the cluster; of buckets none. */
export function delegatesOf(
  needs: Pick<CoordinatorNeeds, 'job' | 'standing'>,
  held: ReadonlyMap<number, HeldSum>,
): readonly (string | undefined)[] {
  return jobOf(needs, held)
    .groups(needs.standing.current.state)
    .map(({ delegate }) => delegate)
}
