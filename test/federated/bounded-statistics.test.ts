import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { RunningStatistics } from '../../src/data/index.ts'
import { checkFedPlan, noiseBounds, rdpOf, sumsOf } from '../../src/federated/index.ts'
import type { DistributedNoise, LedgerEvent } from '../../src/federated/index.ts'
import { boundedStatistics, cohortOf } from '../../src/federated/plan/cohort.ts'
import { boundedRow, pooledWithin } from '../../src/federated/site/statistics.ts'
import { createFleet } from './support/fleet.ts'
import type { Fleet } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const base = temporaryFolder()
afterAll(() => rmSync(base, { recursive: true, force: true }))

const ROWS = [hospitalRows(1, 120), hospitalRows(2, 90, 4), hospitalRows(3, 80, -5)]
const FEATURES = [
  { column: 'age', range: [0, 100] },
  { column: 'chol', missing: [0], range: [50, 550] },
  { column: 'cp', values: [1, 2, 3, 4] },
  { column: 'thalach', range: [0, 300] },
]
const PRIVACY = { unit: 'record', epsilon: 4, delta: 1e-5, clip: 1, sample_rate: 0.2 }
const PATIENT = {
  coordinator: { stageMs: 20_000, graceMs: 20_000, beatMs: 100 },
  member: { silenceMs: 10_000, retryMs: 30, skipMs: 300, probeMs: 100 },
}

async function trained(changes: object): Promise<Fleet> {
  // Its ledgers are read when it is over.
  const folder = mkdtempSync(join(base, 'fleet-'))
  const both = {
    features: FEATURES,
    privacy: PRIVACY,
    rounds: 2,
    local: { steps: 2, batch: 'full', lr: 0.5 },
    ...changes,
  }
  const fleet = await createFleet({ folder, plan: plan(both), rows: ROWS, times: PATIENT })
  try {
    expect(await Promise.all(fleet.members.map(({ over }) => over))).toEqual(['over', 'over', 'over'])
    return fleet
  } finally {
    await fleet.stop()
  }
}

/** Rows for training of all sites: four of five. */
function truthOf(place: number): { count: number; mean: number; sd: number } {
  const running = new RunningStatistics()
  for (const rows of ROWS) {
    for (const [index, row] of rows.entries()) {
      const cell = row.split(',')[place]!
      if (index % 5 !== 4 && cell !== '?') running.add(Number(cell))
    }
  }
  const { count, mean, squares } = running.result()
  return { count, mean, sd: Math.sqrt(squares / count) }
}

describe('statistics of columns with a range', () => {
  test('are those of all records, as far as their noise lets them', async () => {
    const fleet = await trained({ privacy: { ...PRIVACY, epsilon: 400 } })
    const { pooled } = fleet.members[0]!.standing.current.state
    expect(pooled!.records).toBeGreaterThan(225)
    expect(pooled!.records).toBeLessThan(240)
    for (const [index, place] of [0, 1, 3].entries()) {
      const { count, mean, sd } = truthOf(place)
      const found = pooled!.columns[index]!
      expect(Math.abs(found.count - count)).toBeLessThan(6)
      expect(Math.abs(found.mean - mean)).toBeLessThan(sd / 3)
      expect(found.sd / sd).toBeGreaterThan(0.6)
      expect(found.sd / sd).toBeLessThan(1.6)
      // It is noise, and no rounding.
      expect(found.count).not.toBe(count)
    }
    const models = fleet.members.map(({ standing }) => Buffer.from(standing.current.hash).toString('hex'))
    expect(new Set(models).size).toBe(1)
  }, 60_000)

  test('are charged first, and all together stays within epsilon', async () => {
    const fleet = await trained({})
    for (const { ledger } of fleet.members) {
      const [budget] = ledger.budgets()
      // Four steps of training, and the statistics before them: at every record, not at a sample.
      expect(budget!.events.map(({ q }) => q)).toEqual([1, 0.2, 0.2, 0.2, 0.2])
      const [first] = budget!.events as [LedgerEvent & { readonly noise: DistributedNoise }]
      expect(first.noise).toMatchObject({ n: 3, d: 10, rounding: 'none', mechanism: 'gaussian' })
      expect(budget!.epsilon).toBeLessThanOrEqual(4)
      expect(rdpOf(budget!.events, budget!.delta)).toBeGreaterThan(3.99)
    }
    const without = await trained({ features: FEATURES.map((feature) => ({ ...feature, range: undefined })) })
    const [budget] = without.members[0]!.ledger.budgets()
    expect(budget!.events).toHaveLength(sumsOf(without.plan))
    expect(without.members[0]!.standing.current.state.pooled!.columns[0]!.count).toBe(truthOf(0).count)
  }, 60_000)

  test('take from one record no more than the norm that noise is sized by, and a record can take as much', () => {
    const checked = checkFedPlan(plan({ features: FEATURES, privacy: PRIVACY }), 'plan')
    const { scale, noise } = boundedStatistics(checked, cohortOf(checked, 3))!
    const ranges = [
      { column: 'age', low: 0, high: 100 },
      { column: 'chol', low: 50, high: 550 },
      { column: 'thalach', low: 0, high: 300 },
    ]
    const norm = (values: number[]): number => Math.hypot(...boundedRow(ranges, values))
    expect(norm([100, 50, 300]) * scale).toBeCloseTo(noise.clip * 2 ** noise.f, 6)
    expect(noiseBounds(noise).delta2).toBeCloseTo(norm([0, 550, 0]) * scale, 6)
    for (const values of [
      [54, 246, 150],
      [1e9, -1e9, Number.NaN],
      [Number.NaN, Number.NaN, Number.NaN],
    ]) {
      expect(norm(values)).toBeLessThanOrEqual(norm([100, 50, 300]))
    }
  })

  test('without noise are the mean and the deviation', () => {
    const ranges = [{ column: 'x', low: -10, high: 30 }]
    const values = [1, 2, 3, 4, 29, Number.NaN]
    const sums = values
      .map((value) => boundedRow(ranges, [value]))
      .reduce((left, right) => left.map((one, at) => one + right[at]!))
    const { records, columns } = pooledWithin(ranges, sums, 0)
    expect(records).toBe(6)
    expect(columns[0]!.count).toBe(5)
    expect(columns[0]!.mean).toBeCloseTo(7.8, 12)
    expect(columns[0]!.sd).toBeCloseTo(Math.sqrt([1, 2, 3, 4, 29].reduce((sum, x) => sum + (x - 7.8) ** 2, 0) / 5), 10)
    expect(pooledWithin(ranges, [5, 5, 0, 0], 0).columns[0]).toMatchObject({ mean: 10, sd: 1 })
  })

  test('make a state whatever noise makes of them, and no column larger than its noise allows', () => {
    const ranges = [{ column: 'x', low: -10, high: 30 }]
    const of = (sums: number[], noise: number): object => pooledWithin(ranges, sums, noise)
    // Steps are divided by it: noise does not bring it below what all members have said that they have.
    expect(pooledWithin(ranges, [-40, 3, 0, 0], 50, 64).records).toBe(64)
    expect(pooledWithin(ranges, [80, 3, 0, 0], 50, 64).records).toBe(80)
    expect(of([-3, -1, 5, 9], 4)).toEqual({ records: 1, columns: [{ column: 'x', count: 0, mean: 10, sd: 20 }] })
    // A variance below 0: the spread is not known to be under sqrt(noise / count) of half the range.
    expect(of([100, 100, 50, 10], 4)).toMatchObject({ columns: [{ mean: 20, sd: 20 * Math.sqrt(0.04) }] })
    expect(of([100, 100, 500, 900], 4)).toMatchObject({ columns: [{ mean: 30, sd: 20 }] })
  })
})

test('a range that hides nothing, or half of them, is refused by its field', () => {
  const wrong = (changes: object, message: string): void => {
    expect(() => checkFedPlan(plan({ privacy: PRIVACY, ...changes }), 'plan')).toThrow(message)
  }
  const [age, chol, cp, thalach] = FEATURES
  wrong({ features: FEATURES, privacy: 'off' }, '"features.0.range" is for privacy of records')
  wrong({ features: FEATURES, privacy: { ...PRIVACY, unit: 'site', sample_rate: 1 } }, 'is for privacy of records')
  wrong({ features: [age, { column: 'chol' }, cp, thalach] }, '"features.1.range" is needed')
  wrong({ features: [{ ...age, range: [3, 3] }, chol] }, '"features.0.range" does not rise')
  wrong({ features: [{ ...age, range: [3] }, chol] }, '"features.0.range" is no pair of numbers')
  wrong({ features: [{ ...cp, range: [1, 4] }] }, 'this column has values')
})
