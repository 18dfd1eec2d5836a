/** Statistics of columns where some sites lie: the median over buckets, which one of them does not set. */
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { momentsToWide, robustPooled } from '../../src/federated/site/statistics.ts'
import type { Pooled } from '../../src/federated/site/statistics.ts'
import { createFleet, PATIENT } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const bucket = (mean: number, sd: number, records = 90): bigint[] =>
  momentsToWide(records, [{ column: 'age', count: records, mean, squares: records * sd * sd }])

describe('the median over buckets', () => {
  const honest = [bucket(50, 10), bucket(52, 11), bucket(48, 9)]
  const only = (pooled: Pooled): number[] => pooled.columns.flatMap(({ mean, sd }) => [mean, sd])

  test('is what lies in the middle, of means and of deviations', () => {
    const pooled = robustPooled(['age'], honest)
    expect(only(pooled).map((value) => Math.round(value * 1e6) / 1e6)).toEqual([50, 10])
    expect([pooled.records, pooled.columns[0]!.count]).toEqual([270, 270])
  })

  test('stays among the honest ones, whatever fewer than half of them say', () => {
    const lies = [bucket(1e9, 1e-6), bucket(-1e9, 1e9)]
    for (const said of [...lies, [0n, 0n, 0n, 0n], [-5n, 1n << 90n, 0n, 0n]]) {
      const [mean, sd] = only(robustPooled(['age'], [...honest.slice(0, 2), said])) as [number, number]
      expect([mean >= 48 && mean <= 52, sd >= 9 && sd <= 11]).toEqual([true, true])
    }
  })

  test('is none where half of the buckets have sums that no rows have; a column without a value is as it always is', () => {
    const none = [0n, 0n, 0n, 0n]
    expect(() => robustPooled(['age'], [honest[0]!, none])).toThrow('1 of 2 buckets')
    const empty = momentsToWide(90, [{ column: 'age', count: 0, mean: 0, squares: 0 }])
    expect(robustPooled(['age'], [empty, empty]).columns[0]).toEqual({ column: 'age', count: 0, mean: 0, sd: 1 })
    expect(robustPooled(['age'], [empty, empty, honest[0]!]).columns[0]!.mean).toBeCloseTo(50, 6)
  })
})

/** What nine sites agree on, one of which says that its columns are a billion times what they are. */
async function pooledWith(strategy: object, lies: boolean): Promise<Pooled> {
  const folder = temporaryFolder()
  const rows = Array.from({ length: 9 }, (_, seed) => hospitalRows(seed + 1, 40))
  const value = plan({ model: { kind: 'linear' }, rounds: 1, minimum: { sites: 3, records: 64 }, ...strategy })
  const fleet = await createFleet({
    folder,
    plan: value,
    rows,
    times: PATIENT,
    siteOf: (index, site) => {
      if (!lies || index !== 0) return site
      const prepare: typeof site.prepare = async (state, ...rest) => {
        const made = await site.prepare(state, ...rest)
        if (state.pooled !== null) return made
        const wide = made.contribution.wide.map((each, at) => (at % 3 === 2 ? each * 1_000_000n : each))
        return { ...made, contribution: { ...made.contribution, wide } }
      }
      return new Proxy(site, {
        get: (of, name) => {
          if (name === 'prepare') return prepare
          const found: unknown = Reflect.get(of, name, of)
          return typeof found === 'function' ? (found.bind(of) as unknown) : found
        },
      })
    },
  })
  try {
    const pooled = (): Pooled | null => fleet.members[1]!.standing.current.state.pooled
    while (pooled() === null) await sleep(20)
    return pooled()!
  } finally {
    await fleet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

describe('nine sites with one that lies about its columns', () => {
  const BUCKETS = { strategy: { name: 'bucketed', group: 3, clip: 2, rule: 'median' }, robust: { attackers: 1 } }
  const furthest = (left: Pooled, right: Pooled): number =>
    Math.max(...left.columns.map(({ mean, sd }, at) => Math.abs(mean - right.columns[at]!.mean) / sd))

  test('have the scale of the others where the plan bears attackers, and its scale where it does not', async () => {
    const honest = await pooledWith(BUCKETS, false)
    expect(furthest(honest, await pooledWith(BUCKETS, true))).toBeLessThan(1)
    expect(furthest(honest, await pooledWith({}, true))).toBeGreaterThan(1000)
  }, 60_000)
})
