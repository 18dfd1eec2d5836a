/** Jobs in which whoever aggregates goes for good, and those in which nobody does. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { FedState } from '../../../src/federated/index.ts'
import { areOver, createFleet } from './fleet.ts'
import type { Fleet, FleetInit, Member } from './fleet.ts'
import { hospitalRows } from './hospitals.ts'

export const ROWS = [1, 2, 3, 4, 5].map((seed) => hospitalRows(seed, 40, seed))
export const TIMES = {
  coordinator: { stageMs: 5_000, graceMs: 2_000, beatMs: 100 },
  member: { silenceMs: 5_000, retryMs: 30, skipMs: 300, probeMs: 100 },
}

export const PLAN = { rounds: 2, minimum: { sites: 3, records: 10 } }

export interface Thrown {
  readonly fleet: Fleet
  /** Who is out of the membership, in the order in which they were thrown out. */
  readonly out: readonly Member[]
  /** Vectors of training that each site has sent for the last round. */
  readonly sent: ReadonlyMap<string, number>
}

/**
 * @param isMember who is gone stays a member
 * @param moments kind of message at which whoever aggregates the last round is thrown out, and is dead at once
 * @param isLast whether a state is the one before that round
 */
export async function thrownOut(
  folder: string,
  moments: readonly string[],
  init: Pick<FleetInit, 'plan'> & Partial<FleetInit>,
  isLast: (state: FedState) => boolean = ({ pooled, done }) => pooled !== null && done === 1,
  isMember = false,
): Promise<Thrown> {
  const out: Member[] = []
  const sent = new Map<string, number>()
  const fleet: Fleet = await createFleet({
    rows: ROWS,
    times: TIMES,
    ...init,
    folder,
    admits: (peer) => isMember || !out.some(({ identity }) => identity.id === peer),
    onMessage: (from, to, kind) => {
      if (!isLast(from.standing.current.state)) return
      if (kind === 'masked') sent.set(from.site, (sent.get(from.site) ?? 0) + 1)
      if (kind !== moments[out.length] || out.includes(from) || out.includes(to)) return
      // Of the reveals the first alone has come.
      const aggregator = kind === 'reveal' || kind === 'consistency' ? to : from
      out.push(aggregator)
      aggregator.end()
    },
  })
  await Promise.race(fleet.members.map(({ over }) => over))
  const left = fleet.members.filter((member) => !out.includes(member))
  await Promise.all(left.map(({ over }) => over))
  await areOver(fleet.members.filter((member) => !out.includes(member)))
  return { fleet, out, sent }
}

export function leftOf({ fleet, out }: Thrown): readonly Member[] {
  return fleet.members.filter((member) => !out.includes(member))
}

export function resumedBy(members: readonly Member[]): number {
  return members.flatMap(({ log }) => log.filter(({ event }) => event === 'sum.resumed')).length
}

/** The model of the same job when nobody is thrown out. */
export async function undisturbed(
  folder: string,
  init: Pick<FleetInit, 'plan'> & Partial<FleetInit>,
): Promise<FedState> {
  const other = join(folder, 'undisturbed')
  mkdirSync(other)
  const fleet = await createFleet({ rows: ROWS, times: TIMES, ...init, folder: other })
  try {
    await areOver(fleet.members)
    return fleet.members[0]!.standing.current.state
  } finally {
    await fleet.stop()
  }
}

export function expectSame(state: FedState, other: FedState): void {
  expect(state.done).toBe(other.done)
  expect(state.pooled).toEqual(other.pooled)
  // Rounded by chance in each.
  for (const [index, value] of state.global.entries()) expect(value).toBeCloseTo(other.global[index]!, 3)
}
