import { rmSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { analysisResult, decodeState, encodeState, stateHash } from '../../src/federated/index.ts'
import type { Analysed, Patient } from './support/analysis.ts'
import { analyse, analysisPlan, linesOf, patients, writePatients } from './support/analysis.ts'
import { temporaryFolder } from './support/hospitals.ts'

const folder = temporaryFolder()
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const SITES = [patients(1, 120), patients(2, 90, 5), patients(3, 60, -4)]
const ALL = SITES.flat()
const PATHS = SITES.map((list, index) => writePatients(folder, `site-${index}`, linesOf(list)))
const POSITIVE = { column: 'num', above: 0 }

const exact = (...statistics: object[]): Promise<Analysed> => analyse(analysisPlan(statistics), PATHS)

function groupOf({ result }: Analysed, index = 0, group = 0): Record<string, unknown> {
  return result.statistics[index]!.groups[group]!
}

function mean(list: readonly number[]): number {
  return list.reduce((sum, value) => sum + value, 0) / list.length
}

describe('without noise a statistic is that of all records together', () => {
  test('counts, whole and by group', async () => {
    const found = await exact({ kind: 'count' }, { kind: 'count', by: { column: 'cp', values: [1, 4] } })
    expect(groupOf(found)).toEqual({ group: null, count: 270 })
    const of = (cp: number): number => ALL.filter((one) => one.cp === cp).length
    expect(found.result.statistics[1]!.groups).toEqual([
      { group: 1, count: of(1) },
      { group: 4, count: of(4) },
    ])
    expect(found.result).toMatchObject({ sites: 3, rounds: 1, privacy: null })
    expect(found.result.statistics[0]!.noise_sd).toBe(null)
  })

  test('mean and variance, of records that have a value, far from zero as well', async () => {
    const found = await exact({ kind: 'moments', column: 'chol' }, { kind: 'moments', column: 'age', range: [0, 120] })
    const chol = ALL.flatMap((one) => (one.chol === null ? [] : [one.chol]))
    const middle = mean(chol)
    const variance = mean(chol.map((value) => (value - middle) ** 2))
    const facts = groupOf(found)
    expect(facts['count']).toBe(chol.length)
    expect(facts['mean']).toBeCloseTo(middle, 10)
    expect(facts['variance']).toBeCloseTo(variance, 8)
    expect(facts['sd']).toBeCloseTo(Math.sqrt(variance), 10)
    const far = [1e9 + 0.25, 1e9 + 0.5, 1e9 + 0.75]
    const paths = far.map((value, index) => writePatients(folder, `far-${index}`, [String(value)], ['x']))
    const { result } = await analyse(analysisPlan([{ kind: 'moments', column: 'x' }]), paths)
    expect(result.statistics[0]!.groups[0]!['variance']).toBeCloseTo(0.125 / 3, 9)
  })

  test('the spread of small numbers, of equal ones, and of a single record', async () => {
    const sites = [
      ['0.000001', '7.3', '0.1'],
      ['0.000002', '7.3', ''],
      ['0.0000035', '7.3', ''],
    ].map((cells, index) => writePatients(folder, `small-${index}`, [cells.join(',')], ['mole', 'same', 'one']))
    const columns = ['mole', 'same', 'one'].map((column) => ({ kind: 'moments', column }))
    const { result } = await analyse(analysisPlan(columns, { minimum: { records: 0 } }), sites)
    const [mole, same, one] = result.statistics.map(({ groups }) => groups[0]!)
    const values = [1e-6, 2e-6, 3.5e-6]
    const middle = mean(values)
    // Each number is taken to 2^-40; its square is not cut off there.
    expect(Number(mole!['variance']) / mean(values.map((value) => (value - middle) ** 2))).toBeCloseTo(1, 5)
    expect(same).toMatchObject({ count: 3, variance: 0, sd: 0 })
    expect(one).toMatchObject({ count: 1, variance: 0, sd: 0 })
    expect(one!['mean']).toBeCloseTo(0.1, 11)
  })

  test('histograms of numbers and of values, with what is in no bin', async () => {
    const found = await exact(
      { kind: 'histogram', column: 'chol', edges: [150, 200, 250, 300] },
      { kind: 'histogram', column: 'cp', values: [1, 2, 3] },
      { kind: 'histogram', column: 'age', range: [20, 90], bins: 7 },
    )
    const within = (low: number, high: number): number =>
      ALL.filter(({ chol }) => chol !== null && chol >= low && chol < high).length
    expect(groupOf(found)).toEqual({
      group: null,
      bins: [
        { from: 150, to: 200, count: within(150, 200) },
        { from: 200, to: 250, count: within(200, 250) },
        // The last bin has its upper edge.
        { from: 250, to: 300, count: within(250, 300) + ALL.filter(({ chol }) => chol === 300).length },
      ],
      below: within(-1e9, 150),
      above: within(301, 1e9),
      missing: ALL.filter(({ chol }) => chol === null).length,
    })
    const values = groupOf(found, 1)
    expect(values['other']).toBe(ALL.filter(({ cp }) => cp === 4).length)
    const bins = groupOf(found, 2)['bins'] as { count: number }[]
    expect(bins.reduce((sum, { count }) => sum + count, 0)).toBe(270)
  })

  test('quantiles lie in the bin that is told, and further rounds make it narrower', async () => {
    const at = [0.1, 0.25, 0.5, 0.9]
    const one = { kind: 'quantiles', column: 'age', range: [0, 128], bins: 8, at }
    const found = await exact(one, { ...one, rounds: 2 }, { ...one, rounds: 3 })
    const sorted = ALL.map(({ age }) => age).toSorted((left, right) => left - right)
    const widths = [16, 2, 0.25]
    for (const [index, width] of widths.entries()) {
      const facts = groupOf(found, index)
      expect(facts['resolution']).toBe(width)
      expect(facts['count']).toBe(270)
      for (const { at: p, low, high, value } of facts['quantiles'] as Record<string, number>[]) {
        const truth = sorted[Math.ceil(p! * sorted.length) - 1]!
        expect(high! - low!).toBe(width)
        expect(truth).toBeGreaterThanOrEqual(low!)
        expect(truth).toBeLessThanOrEqual(high!)
        expect(Math.abs(value! - truth)).toBeLessThanOrEqual(width)
      }
    }
    expect(found.result.rounds).toBe(3)
  })

  test('Kaplan-Meier is the product-limit of all records, where each time has its own interval', async () => {
    const spec = { kind: 'kaplan-meier', time: 'time', event: { column: 'event', equals: 1 }, range: [0, 30], bins: 30 }
    const found = await exact(spec, { ...spec, by: { column: 'cp', values: [1, 2] } })
    const check = (list: readonly Patient[], facts: Record<string, unknown>): void => {
      let survival = 1
      for (const step of facts['steps'] as Record<string, number>[]) {
        const risk = list.filter(({ time }) => time >= step['time']!).length
        const events = list.filter(({ time, event }) => time === step['time'] && event === 1).length
        survival *= risk === 0 ? 1 : 1 - events / risk
        expect(step).toMatchObject({ at_risk: risk, events })
        expect(step['survival']).toBeCloseTo(survival, 12)
      }
      expect(facts['beyond']).toBe(list.filter(({ time }) => time > 30).length)
    }
    check(ALL, groupOf(found))
    check(
      ALL.filter(({ cp }) => cp === 1),
      groupOf(found, 1, 0),
    )
    check(
      ALL.filter(({ cp }) => cp === 2),
      groupOf(found, 1, 1),
    )
  })

  test('the area under the curve is that of all pairs, and coarse bins say between what it lies', async () => {
    const one = { kind: 'auc', score: 'score', target: POSITIVE }
    const found = await exact({ ...one, bins: 100 }, { ...one, bins: 5 })
    const [yes, no] = [true, false].map((is) => ALL.filter(({ num }) => num > 0 === is).map(({ score }) => score))
    const wins = yes!.flatMap((p) => no!.map((n) => (p > n ? 1 : p === n ? 0.5 : 0)))
    const truth = mean(wins)
    expect(groupOf(found)).toMatchObject({ positives: yes!.length, negatives: no!.length })
    expect(groupOf(found)['auc']).toBeCloseTo(truth, 12)
    const coarse = groupOf(found, 1) as { auc: number; low: number; high: number }
    expect(coarse.low).toBeLessThan(truth)
    expect(coarse.high).toBeGreaterThan(truth)
  })

  test('calibration compares the mean score of each bin with what came of it', async () => {
    const found = await exact({ kind: 'calibration', score: 'score', target: POSITIVE, bins: 4 })
    const facts = groupOf(found)
    let error = 0
    for (const [index, bin] of (facts['bins'] as Record<string, number>[]).entries()) {
      const list = ALL.filter(({ score }) => Math.floor(score * 4) === index)
      const [score, observed] = [mean(list.map((one) => one.score)), mean(list.map(({ num }) => (num > 0 ? 1 : 0)))]
      expect(bin['count']).toBe(list.length)
      expect(bin['score']).toBeCloseTo(score, 9)
      expect(bin['observed']).toBeCloseTo(observed, 12)
      error += (list.length / ALL.length) * Math.abs(score - observed)
    }
    expect(facts['error']).toBeCloseTo(error, 9)
  })
})

test('what was found survives as the bytes that members agree on', async () => {
  const statistics = [
    { kind: 'quantiles', column: 'age', range: [0, 128], bins: 8, at: [0.5], rounds: 8 },
    { kind: 'count' },
    { kind: 'drift', column: 'cp', values: [1, 2] },
  ]
  const { math, state, result } = await exact(...statistics)
  const read = decodeState(encodeState(state))
  expect(stateHash(read)).toEqual(stateHash(state))
  expect(analysisResult(math, read)).toEqual(result)
  const cut = { ...read, strategy: { ...read.strategy, 'round-1': read.strategy['round-1']!.subarray(0, 4) } }
  expect(() => analysisResult(math, cut)).toThrow(/cut short/)
})

describe('whether sites are alike', () => {
  const skewed = [
    patients(5, 80),
    patients(6, 80),
    patients(7, 80).map((one) => ({ ...one, num: 1, age: one.age + 30 })),
  ]
  const paths = skewed.map((list, index) => writePatients(folder, `skew-${index}`, linesOf(list)))

  test('each site learns its own distance, and all learn how many are how far', async () => {
    const statistics = [
      { kind: 'drift', name: 'labels', column: 'num', values: [0, 1, 2, 3] },
      { kind: 'drift', column: 'cp', values: [1, 2, 3, 4] },
      { kind: 'drift', column: 'age', range: [0, 120], bins: 12, distances: [0.3] },
    ]
    const { result, sites, state } = await analyse(analysisPlan(statistics), paths)
    expect(result.rounds).toBe(2)
    const far = (of: (one: Patient) => number, places: readonly number[]): number[] =>
      skewed.map((own) => {
        const others = skewed.filter((list) => list !== own).flat()
        const share = (list: readonly Patient[], place: number): number =>
          list.filter((one) => of(one) === place).length / list.length
        return places.reduce((sum, place) => sum + Math.abs(share(own, place) - share(others, place)), 0) / 2
      })
    const truths = [
      far(({ num }) => num, [0, 1, 2, 3]),
      far(({ cp }) => cp, [1, 2, 3, 4]),
      far(({ age }) => Math.floor(age / 10), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    ]
    expect(truths[0]![2]).toBeGreaterThan(Math.max(0.4, truths[0]![0]!, truths[0]![1]!))
    for (const [place, site] of sites.entries()) {
      const own = await site.distances(state)
      for (const [index, truth] of truths.entries()) expect(own.get(index)).toBeCloseTo(truth[place]!, 12)
    }
    const edges = [
      [0, 0.05, 0.1, 0.2, 0.4, 1],
      [0, 0.05, 0.1, 0.2, 0.4, 1],
      [0, 0.3, 1],
    ]
    for (const [index, list] of edges.entries()) {
      const expected = list.slice(1).map((to, bin) => ({
        from: list[bin],
        to,
        sites: truths[index]!.filter((truth) => truth >= list[bin]! && truth < to).length,
      }))
      expect(result.statistics[index]!.groups[0]!['distances']).toEqual(expected)
    }
  })

  test('a column that is not there, or holds something else, is counted and is no error', async () => {
    const odd = [
      writePatients(folder, 'odd-0', ['50,x', '61,240', '?,-3', '40,250'], ['age', 'chol']),
      writePatients(folder, 'odd-1', ['1', '2', '9'], ['cp']),
      writePatients(folder, 'odd-2', ['50', '200'], ['age']),
    ]
    const columns = [
      { column: 'age', range: [0, 120] },
      { column: 'chol', range: [100, 600] },
      { column: 'cp', values: [1, 2] },
    ]
    const { result } = await analyse(analysisPlan([{ kind: 'schema', columns }]), odd)
    expect(result.statistics[0]!.groups[0]!['columns']).toEqual([
      { column: 'age', sites: 2, missing: 1, not_a_number: 0, outside: 1 },
      { column: 'chol', sites: 1, missing: 0, not_a_number: 1, outside: 1 },
      { column: 'cp', sites: 1, missing: 0, not_a_number: 0, outside: 1 },
    ])
  })
})
