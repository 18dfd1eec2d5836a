import { rmSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { candidates, rdpOf } from '../../src/federated/index.ts'
import type { JobView } from '../../src/federated/index.ts'
import { createFleet } from './support/fleet.ts'
import type { Fleet } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const base = temporaryFolder()
afterAll(() => rmSync(base, { recursive: true, force: true }))

const ROWS = [hospitalRows(1, 60), hospitalRows(2, 45, 4), hospitalRows(3, 30, -5), hospitalRows(4, 50, 8)]

/** Nobody is gone here: whoever is slow on a busy machine is waited for. */
const PATIENT = {
  coordinator: { stageMs: 20_000, graceMs: 20_000, beatMs: 100 },
  member: { silenceMs: 10_000, retryMs: 30, skipMs: 300, probeMs: 100 },
}

async function finished(fleet: Fleet): Promise<void> {
  expect(await Promise.all(fleet.members.map(({ over }) => over))).toEqual(fleet.members.map(() => 'over'))
  const models = fleet.members.map(({ standing }) => Buffer.from(standing.current.hash).toString('hex'))
  expect(new Set(models).size).toBe(1)
}

describe('rounds over four sites', () => {
  test('make one model of all, the same at every site, and the same as the plain average to the last bit of the encoding', async () => {
    const [secure, plain] = [temporaryFolder(), temporaryFolder()]
    const fleets = [
      await createFleet({ folder: secure, plan: plan(), rows: ROWS, times: PATIENT }),
      await createFleet({ folder: plain, plan: plan({ secagg: 'off' }), rows: ROWS, times: PATIENT }),
    ] as const
    try {
      for (const fleet of fleets) await finished(fleet)
      const [one, other] = fleets.map(({ members }) => members[0]!.standing.current.state)
      expect(one!.done).toBe(3)
      expect(one!.pooled).toEqual(other!.pooled)
      expect(one!.pooled!.records).toBe(148)
      for (const [index, value] of one!.global.entries()) expect(value).toBeCloseTo(other!.global[index]!, 3)
    } finally {
      for (const fleet of fleets) await fleet.stop()
      for (const folder of [secure, plain]) rmSync(folder, { recursive: true, force: true })
    }
  })

  test('under privacy of records charge each sum before it leaves, and refuse the one beyond the cap', async () => {
    const privacy = { unit: 'record', epsilon: 4, delta: 1e-5, clip: 1, sample_rate: 0.2 }
    const changes = { privacy, rounds: 2, local: { steps: 2, batch: 'full', lr: 0.5 } }
    const [enough, scarce] = [temporaryFolder(), temporaryFolder()]
    const fleets = [
      await createFleet({ folder: enough, plan: plan(changes), rows: ROWS, times: PATIENT }),
      await createFleet({ folder: scarce, plan: plan(changes), rows: ROWS, times: PATIENT, cap: 3 }),
    ] as const
    try {
      await finished(fleets[0])
      for (const { ledger } of fleets[0].members) {
        const [budget] = ledger.budgets()
        expect(budget!.events).toHaveLength(4)
        expect(budget!.epsilon).toBeLessThanOrEqual(4)
        // The plan's noise is for Renyi divergences; the ledger knows that it spends less.
        expect(rdpOf(budget!.events, 1e-5)).toBeGreaterThan(3.9)
        expect(budget!.accountant).toBe('pld')
      }
      // Four sums do not fit: a site stops before the one that would pass its cap, and says so.
      const end = await Promise.race(fleets[1].members.map(({ over }) => over))
      expect((end as { code?: string }).code).toBe('WEFT-FED-040')
      for (const { ledger } of fleets[1].members) expect(ledger.budgets()[0]!.epsilon).toBeLessThanOrEqual(3)
    } finally {
      for (const fleet of fleets) await fleet.stop()
      for (const folder of [enough, scarce]) rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe('a site that has slept through all rounds', () => {
  test.each([0, 3])('and is number %i of those who would aggregate catches up when it is back', async (place) => {
    const folder = temporaryFolder()
    // From the beginning: a member that ends in the middle of a sum is waited for.
    const asleep = ({ id, peers }: JobView): string => candidates(id, 0, peers)[place]!
    const fleet = await createFleet({ folder, plan: plan({ rounds: 1 }), rows: ROWS, asleep })
    try {
      const late = fleet.members.findIndex(({ isGone }) => isGone)
      const others = fleet.members.filter((_, index) => index !== late)
      expect(await Promise.all(others.map(({ over }) => over))).toEqual(['over', 'over', 'over'])
      await fleet.start(late)
      await finished(fleet)
    } finally {
      await fleet.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
