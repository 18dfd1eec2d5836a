/** All members end in the middle of a round and start again from their files, twice. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { rdpOf } from '../../src/federated/index.ts'
import { areOver, createFleet } from './support/fleet.ts'
import type { Fleet, FleetInit, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const ROWS = [1, 2, 3, 4].map((seed) => hospitalRows(seed, 40, seed))
/** Nobody begins without the others, and whoever is slow on a busy machine is waited for. */
const CHANGES = { minimum: { sites: ROWS.length, records: 10 }, deadline: '20s' }
const TIMES = {
  coordinator: { stageMs: 20_000, graceMs: 20_000, beatMs: 100 },
  member: { silenceMs: 10_000, retryMs: 30, skipMs: 300, probeMs: 100 },
}
/** The message at which all are gone: before anybody has signed a sum, and when all of them have. */
const MOMENTS = ['piece', 'ballots'] as const

let folder: string
beforeEach(() => void (folder = temporaryFolder()))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

interface Survived {
  readonly fleet: Fleet
  /** Vectors of training that each site has sent, restarts or none. */
  readonly sent: ReadonlyMap<string, number>
}

/** A job whose members have all been ended at each of the moments; checks that what a ledger knew it still knows. */
async function restarted(init: Pick<FleetInit, 'plan' | 'cap'>): Promise<Survived> {
  const sent = new Map<string, number>()
  const ended = MOMENTS.map(() => Promise.withResolvers<void>())
  let moment = 0
  const fleet: Fleet = await createFleet({
    ...init,
    folder,
    rows: ROWS,
    times: TIMES,
    onMessage: ({ site, standing }: Member, _, kind) => {
      const { state } = standing.current
      if (state.pooled === null) return
      if (kind === 'piece') sent.set(site, (sent.get(site) ?? 0) + 1)
      // The second time a round later: in a round that was begun, not in the one that is made again.
      if (kind !== MOMENTS[moment] || state.done < moment) return
      for (const member of fleet.members) member.end()
      ended[moment++]!.resolve()
    },
  })
  for (const { promise } of ended) {
    await promise
    const before = [...fleet.members]
    await Promise.all(before.map(({ over }) => over))
    for (const { trainer } of before) await trainer.close()
    const heads = before.map(({ ledger }) => ledger.head())
    const states = before.map(({ standing }) => standing.current.hash)
    for (const index of ROWS.keys()) {
      const { ledger, standing } = await fleet.start(index)
      expect(ledger.head()).toEqual(heads[index])
      expect(standing.current.hash).toEqual(states[index])
    }
  }
  await areOver(fleet.members)
  return { fleet, sent }
}

test('without noise: the same model at all, as if nothing had been', async () => {
  const rounds = { ...CHANGES, rounds: 3 }
  const { fleet } = await restarted({ plan: plan(rounds) })
  const other = join(folder, 'undisturbed')
  mkdirSync(other)
  const undisturbed = await createFleet({ folder: other, plan: plan(rounds), rows: ROWS, times: TIMES })
  try {
    await areOver(undisturbed.members)
    const [state, straight] = [fleet, undisturbed].map(({ members }) => members[0]!.standing.current.state)
    expect(state!.done).toBe(3)
    expect(state!.pooled).toEqual(straight!.pooled)
    // Rounded by chance in each: as far apart as 2^-16 a round may bring them.
    for (const [index, value] of state!.global.entries()) expect(value).toBeCloseTo(straight!.global[index]!, 3)
  } finally {
    await fleet.stop()
    await undisturbed.stop()
  }
}, 120_000)

test('under privacy: each vector that left is in the ledger, once, those of the rounds that came to nothing too', async () => {
  const privacy = { unit: 'record', epsilon: 4, delta: 1e-5, clip: 1, sample_rate: 0.2 }
  const changes = { ...CHANGES, privacy, rounds: 2, local: { steps: 2, batch: 'full', lr: 0.5 } }
  const { fleet, sent } = await restarted({ plan: plan(changes), cap: 20 })
  try {
    for (const { site, ledger } of fleet.members) {
      const [budget] = ledger.budgets()
      expect([site, budget!.events.length]).toEqual([site, sent.get(site)])
      // Four sums make the model, and one at least was made again.
      expect(budget!.events.length).toBeGreaterThan(4)
      expect(rdpOf(budget!.events, privacy.delta)).toBeGreaterThan(privacy.epsilon)
      expect(budget!.epsilon).toBeLessThanOrEqual(20)
    }
  } finally {
    await fleet.stop()
  }
}, 120_000)
