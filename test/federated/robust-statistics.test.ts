/** Statistics of columns over a mesh where a site lies: the median over buckets, which it does not set; and one sum of all, which it does. */
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Pooled } from '../../src/federated/site/statistics.ts'
import { createFleet, PATIENT } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

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
  const BUCKETS = {
    strategy: { name: 'bucketed', group: 3, clip: 2, rule: 'median' },
    robust: { attackers: 1, statistics: 'buckets' },
  }
  const furthest = (left: Pooled, right: Pooled): number =>
    Math.max(...left.columns.map(({ mean, sd }, at) => Math.abs(mean - right.columns[at]!.mean) / sd))

  test('have the scale of the others where the plan bears attackers, and its scale where it does not', async () => {
    const honest = await pooledWith(BUCKETS, false)
    expect(furthest(honest, await pooledWith(BUCKETS, true))).toBeLessThan(1)
    const sum = { ...BUCKETS, robust: { attackers: 1 } }
    expect(furthest(honest, await pooledWith(sum, true))).toBeGreaterThan(1000)
  }, 60_000)
})
