import { rmSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { createFleet } from './support/fleet.ts'
import type { Fleet } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const base = temporaryFolder()
afterAll(() => rmSync(base, { recursive: true, force: true }))

const ROWS = [hospitalRows(1, 60), hospitalRows(2, 45, 4), hospitalRows(3, 30, -5), hospitalRows(4, 50, 8)]

async function finished(fleet: Fleet): Promise<void> {
  expect(await Promise.all(fleet.members.map(({ over }) => over))).toEqual(fleet.members.map(() => 'over'))
  const models = fleet.members.map(({ standing }) => Buffer.from(standing.current.hash).toString('hex'))
  expect(new Set(models).size).toBe(1)
}

describe('rounds over four sites', () => {
  test('make one model of all, the same at every site, and the same as the plain average to the last bit of the encoding', async () => {
    const [secure, plain] = [temporaryFolder(), temporaryFolder()]
    const fleets = [
      await createFleet({ folder: secure, plan: plan(), rows: ROWS }),
      await createFleet({ folder: plain, plan: plan({ secagg: 'off' }), rows: ROWS }),
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
})
