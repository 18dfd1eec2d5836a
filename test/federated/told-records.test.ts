import { rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { toldRecords } from '../../src/federated/rounds/told-records.ts'
import { createFleet } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

test('what a site tells of its records is a lower bound with three digits, and never over the minimum of the plan', () => {
  expect([0, 1, 7, 8, 9, 22, 36, 63, 64, 65, 5000].map((records) => toldRecords(records, 64))).toEqual([
    0, 1, 7, 8, 8, 20, 32, 56, 64, 64, 64,
  ])
  for (let records = 1; records < 2000; records++) {
    const told = toldRecords(records, 10_000)
    expect(told).toBeLessThanOrEqual(records)
    expect(told).toBeGreaterThan(0.8 * records - 1e-9)
  }
})

test('a site advertises no more than that', async () => {
  const folder = temporaryFolder()
  const told = new Set<number>()
  const rows = [1, 2, 3].map((seed) => hospitalRows(seed, 45))
  const fleet = await createFleet({
    folder,
    plan: plan({ rounds: 1 }),
    rows,
    onMessage: (_, __, kind, body) => {
      if (kind === 'advertise') told.add((body as { entry: { records: number } }).entry.records)
    },
  })
  try {
    await Promise.all(fleet.members.map(({ over }) => over))
    expect(fleet.members.map(({ trainer }) => trainer.records)).toEqual([36, 36, 36])
    expect([...told]).toEqual([32])
  } finally {
    await fleet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
})
