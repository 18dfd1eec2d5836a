import { rmSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { createFleet } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const folder = temporaryFolder()
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const ROWS = [hospitalRows(1, 60), hospitalRows(2, 45, 4), hospitalRows(3, 30, -5), hospitalRows(4, 50, 8)]

describe('rounds over four sites', () => {
  test('make one model of all, the same at every site', async () => {
    const fleet = await createFleet({ folder, plan: plan(), rows: ROWS })
    try {
      const ends = await Promise.all(fleet.members.map(({ over }) => over))
      expect(ends).toEqual(['over', 'over', 'over', 'over'])
      const [first] = fleet.members
      for (const { standing } of fleet.members) {
        expect(standing.current.state.done).toBe(3)
        expect([...standing.current.hash]).toEqual([...first!.standing.current.hash])
      }
      console.log(first!.log.map(({event, facts}) => `${event} ${JSON.stringify(facts)}`).join('\n'))
    } finally {
      await fleet.stop()
    }
  })
})
