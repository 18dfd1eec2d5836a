/** Peers that greet tell what their clocks say, so that a person hears which one is wrong. */
import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../src/util/index.ts'
import { joined, networkPool } from './helpers.ts'

const pool = networkPool()
afterEach(() => pool.stopAll())

const HOURS = 3_600_000

test('each of two knows by how much the other clock is ahead, also where its own is set later', async () => {
  const real = systemClock()
  let ahead = 2 * HOURS
  const right = await pool.add()
  const wrong = await pool.add({
    clock: { ...real, wall: () => real.wall() + ahead },
    bootstrap: [right.addresses()[0]!],
  })
  await joined(right, wrong)
  const seen = (): number[] => [right, wrong].map((one) => (one.connected()[0]?.ahead ?? Number.NaN) / HOURS)
  expect(seen()).toEqual([expect.closeTo(2, 1), expect.closeTo(-2, 1)])
  // set while they are connected: the one that was set sees it at once
  ahead = 0
  expect(seen()[1]).toBeCloseTo(0, 1)
})
