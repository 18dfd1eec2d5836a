import { rmSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { partsOfRound } from '../../src/federated/analysis/parts.ts'
import { eachRecord } from '../../src/federated/analysis/records.ts'
import {
  AnalysisMath,
  checkAnalysisPlan,
  distributedEpsilon,
  FIRST_STATE,
  readFedData,
  simulateSecureSum,
  JobView,
  planHash,
  stateHash,
} from '../../src/federated/index.ts'
import type { DistributedNoise } from '../../src/federated/index.ts'
import { decodeSum, encodeContribution } from '../../src/federated/rounds/layout.ts'
import { analyse, analysisPlan, linesOf, patients, seededWords, writePatients } from './support/analysis.ts'
import { temporaryFolder } from './support/hospitals.ts'

const folder = temporaryFolder()
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const SITES = [patients(1, 120), patients(2, 90, 5), patients(3, 60, -4)]
const PATHS = SITES.map((list, index) => writePatients(folder, `site-${index}`, linesOf(list)))
const POSITIVE = { column: 'num', above: 0 }
const EVENT = { column: 'event', equals: 1 }
const PRIVACY = { unit: 'record', epsilon: 2, delta: 1e-5 }

const EVERY: readonly object[] = [
  { kind: 'count' },
  { kind: 'count', by: { column: 'cp', values: [1, 2] }, weight: 3 },
  { kind: 'moments', column: 'age', range: [20, 100] },
  { kind: 'moments', column: 'chol', range: [100, 600], by: { column: 'cp', values: [1, 2, 3] } },
  { kind: 'histogram', column: 'chol', range: [100, 600], bins: 10 },
  { kind: 'quantiles', column: 'age', range: [0, 128], bins: 8, at: [0.25, 0.5, 0.75], rounds: 3 },
  { kind: 'kaplan-meier', time: 'time', event: EVENT, range: [0, 30], bins: 10 },
  { kind: 'auc', score: 'score', target: POSITIVE, bins: 20 },
  { kind: 'calibration', score: 'score', target: POSITIVE, bins: 5 },
  { kind: 'drift', column: 'cp', values: [1, 2, 3, 4] },
  { kind: 'schema', columns: [{ column: 'age', range: [0, 50] }, { column: 'chol' }, { column: 'none' }] },
]

/** The whole numbers of one site in a round, before noise. */
async function vectorOf(
  math: AnalysisMath,
  round: number,
  before: ReadonlyMap<number, Float64Array>,
  lines: readonly string[],
): Promise<Float64Array> {
  const { parts, size } = partsOfRound(math.plan, round, before, math.bound)
  const data = await readFedData(writePatients(folder, 'neighbour', lines))
  const tallies = parts.map(({ part, scale }) => part.tally({ scale, uniform: () => 0.5 }))
  await eachRecord(data, [], (row) => tallies.forEach((tally) => tally.add(row)))
  const vector = new Float64Array(size)
  for (const [index, { from }] of parts.entries()) {
    tallies[index]!.end?.()
    vector.set(tallies[index]!.counts, from)
  }
  return vector
}

function distance(left: Float64Array, right: Float64Array): number {
  return Math.hypot(...left.map((value, index) => value - right[index]!))
}

describe('what one record or one site changes', () => {
  test.each(['record', 'site'])(
    'is never more than the sensitivity of the unit %s that noise is sized by',
    async (unit) => {
      const most = 40
      const value = analysisPlan(EVERY, { privacy: { ...PRIVACY, unit }, records: most })
      const math = new AnalysisMath(checkAnalysisPlan(value, 'plan'), 3)
      const { state } = await analyse({ ...value, records: 200 }, PATHS)
      let largest = 0
      for (let round = 0; round < 3; round++) {
        const before = round === 0 ? new Map<number, Float64Array>() : math.round(state, round - 1).readings
        const { sensitivity } = partsOfRound(math.plan, round, before, math.bound)
        for (let seed = 0; seed < 12; seed++) {
          const all = linesOf(patients(100 + seed, most))
          const less = unit === 'record' ? all.slice(1) : []
          const [whole, rest] = [await vectorOf(math, round, before, all), await vectorOf(math, round, before, less)]
          const moved = distance(whole, rest)
          expect(moved).toBeLessThanOrEqual(sensitivity * (1 + 1e-12))
          largest = Math.max(largest, moved / sensitivity)
        }
      }
      // The bound is no idle one.
      expect(largest).toBeGreaterThan(unit === 'record' ? 0.6 : 0.2)
    },
    60_000,
  )

  test('is met by a record that is in each statistic, so that the bound cannot be lowered', async () => {
    const statistics = [
      { kind: 'count' },
      { kind: 'histogram', column: 'age', range: [0, 100], bins: 4 },
      { kind: 'moments', column: 'age', range: [0, 100] },
    ]
    const value = analysisPlan(statistics, { privacy: PRIVACY })
    const math = new AnalysisMath(checkAnalysisPlan(value, 'plan'), 3)
    const { sensitivity } = math.parts(FIRST_STATE)
    const [line] = linesOf([{ ...patients(1, 1)[0]!, age: 100 }])
    const moved = distance(await vectorOf(math, 0, new Map(), [line!]), await vectorOf(math, 0, new Map(), []))
    expect(moved).toBeCloseTo(sensitivity, 9)
  })
})

describe('noise', () => {
  test('has the deviation that the result tells, in each statistic', async () => {
    const statistics = [{ kind: 'count' }, { kind: 'histogram', column: 'cp', values: [1, 2, 3, 4], weight: 2 }]
    const plan = analysisPlan(statistics, { privacy: PRIVACY })
    const [deviations, errors]: [number[], number[][]] = [[], [[], []]]
    for (let seed = 0; seed < 60; seed++) {
      const { result } = await analyse(plan, PATHS, 1000 * seed)
      const [count, cp] = result.statistics
      deviations.splice(0, 2, count!.noise_sd!, cp!.noise_sd!)
      errors[0]!.push((count!.groups[0]!['count'] as number) - 270)
      const bins = cp!.groups[0]!['bins'] as { value: number; count: number }[]
      for (const { value, count: found } of bins) {
        errors[1]!.push(found - SITES.flat().filter((one) => one.cp === value).length)
      }
    }
    for (const [index, list] of errors.entries()) {
      const sd = Math.sqrt(list.reduce((sum, error) => sum + error * error, 0) / list.length)
      expect(sd / deviations[index]!).toBeGreaterThan(0.7)
      expect(sd / deviations[index]!).toBeLessThan(1.3)
    }
    expect(deviations[0]! / deviations[1]!).toBeCloseTo(2, 2)
  })

  test('leaves each statistic within what its deviation allows', async () => {
    const plan = analysisPlan(EVERY, { privacy: { ...PRIVACY, epsilon: 200 } })
    const noisy = (await analyse(plan, PATHS)).result
    const exact = (await analyse({ ...plan, privacy: 'off' }, PATHS)).result
    /** Of what both have: noise may leave a curve without a median, say. */
    const pairs = (left: unknown, right: unknown): (readonly [number, number])[] => {
      if (typeof left === 'number' && typeof right === 'number') return [[left, right]]
      if (typeof left !== 'object' || left === null || typeof right !== 'object' || right === null) return []
      return Object.entries(left).flatMap(([key, value]) => pairs(value, (right as Record<string, unknown>)[key]))
    }
    for (const index of [0, 1, 4, 6]) {
      const room = 6 * noisy.statistics[index]!.noise_sd!
      const found = pairs(noisy.statistics[index]!.groups, exact.statistics[index]!.groups)
      expect(found.length).toBeGreaterThan(0)
      // Of curves, those at risk are sums of up to all bins.
      for (const [value, right] of found) expect(Math.abs(value - right)).toBeLessThan(25 * room)
    }
    const [count] = noisy.statistics
    expect(Math.abs((count!.groups[0]!['count'] as number) - 270)).toBeLessThan(6 * count!.noise_sd!)
    const of = (result: typeof noisy, index: number): Record<string, number> =>
      result.statistics[index]!.groups[0] as unknown as Record<string, number>
    expect(Math.abs(of(noisy, 2)['mean']! - of(exact, 2)['mean']!)).toBeLessThan(3)
    expect(of(noisy, 7)['auc']).toBeCloseTo(of(exact, 7)['auc']!, 1)
    expect(of(noisy, 8)['error']).toBeLessThan(0.2)
  })

  test('is the least that keeps all rounds within epsilon, and the result says all that there is to it', async () => {
    for (const unit of ['record', 'site'] as const) {
      const value = analysisPlan(EVERY, { privacy: { ...PRIVACY, unit } })
      const { result, math, state } = await analyse(value, PATHS)
      const { privacy } = result
      expect(privacy).toMatchObject({ unit, delta: 1e-5, q: 1, T: 3 })
      expect(privacy!.epsilon).toBeLessThanOrEqual(2)
      expect(privacy!.epsilon).toBeGreaterThan(1.999)
      // What was executed: three sums, each at z, at the least number of shares.
      const noise = math.noise({ ...state, done: 0 })!
      const { noise: distributed } = noise.event as { noise: DistributedNoise }
      expect(distributed).toMatchObject({ n: 3, rounding: 'none', clip: math.parts(FIRST_STATE).sensitivity })
      expect(distributedEpsilon(distributed, 3, 1e-5).epsilon).toBeCloseTo(privacy!.epsilon, 6)
    }
  })

  test('goes through masks as it goes without', async () => {
    const plan = checkAnalysisPlan(analysisPlan(EVERY, { privacy: PRIVACY }), 'plan')
    const { sites, math } = await analyse(plan, PATHS, 3)
    const members = SITES.map((_, index) => ({ peer: `p${index}`, key: new Uint8Array(32), site: `s${index}` }))
    const job = new JobView({ id: 'job', plan, planHash: planHash(plan), members })
    const hash = stateHash(FIRST_STATE)
    const header = job.header(0, FIRST_STATE, hash, job.groups(FIRST_STATE)[0]!)
    const layout = job.layout(FIRST_STATE)
    const words = seededWords(9)
    const made = await Promise.all(sites.map((site) => site.prepare(FIRST_STATE, {}, 0)))
    const summed = simulateSecureSum(
      header,
      made.map(({ contribution }, index) => ({
        update: encodeContribution(contribution, layout, header, () => words.next()),
        records: sites[index]!.records,
      })),
      { minimumRecords: 64, noise: job.noiseSd(FIRST_STATE), words },
    )
    const plain = new Float64Array(math.shape(FIRST_STATE).reals)
    for (const { contribution } of made) {
      for (const [index, value] of contribution.integers!.entries()) plain[index]! += value
    }
    expect([...decodeSum(summed, layout, header).reals]).toEqual([...plain])
  })
})
