/** What members can do to a plan of buckets by their records: statistics of columns by buckets, and classes that count the same. */
import { rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { checkFedPlan, decodeState, encodeState, FIRST_STATE, RoundMath, stateHash } from '../../src/federated/index.ts'
import type { FedState } from '../../src/federated/index.ts'
import { decodeSum } from '../../src/federated/rounds/layout.ts'
import { NOTHING_BEGUN } from '../../src/federated/rounds/state.ts'
import { fixedOf } from '../../src/federated/rounds/wide.ts'
import { packedBytes, unpack } from '../../src/federated/secagg/packing.ts'
import { balanced } from '../../src/federated/site/balance.ts'
import { checkOutside } from '../../src/federated/site/external.ts'
import { pooledOf, pooledOfBuckets } from '../../src/federated/site/statistics.ts'
import { areOver, createFleet, PATIENT } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const NAMES = ['age']
const WARY = {
  model: { kind: 'linear' },
  rounds: 1,
  local: { steps: 2, batch: 'full', lr: 0.5, balance: true },
  strategy: {
    name: 'bucketed',
    group: 3,
    clip: 2,
    rule: 'nearest',
    trim: 1,
    momentum: 0.5,
    server_lr: 0.5,
    most_records: 40,
  },
  robust: { attackers: 1, statistics: 'buckets' },
}

function sums(count: number, mean: number, sd: number): bigint[] {
  return [count, count, count * mean, count * (sd * sd + mean * mean)].map(fixedOf)
}

test('statistics by buckets are medians: who lies moves them within what honest buckets have', () => {
  const honest = [sums(40, 54, 9), sums(60, 55, 8), sums(50, 53, 10)]
  const liar = sums(1e9, -1e4, 1e4)
  // The last is of no rows, and has no say.
  const [column] = pooledOfBuckets(NAMES, [...honest, liar, sums(-5, 0, 1)]).columns
  expect(column!.mean).toBeCloseTo(53.5, 6)
  expect(column!.sd).toBeCloseTo(9.5, 6)
  expect(pooledOfBuckets(NAMES, honest).records).toBe(150)
  expect(
    pooledOf(
      NAMES,
      honest[0]!.map((one, at) => one + liar[at]!),
    ).columns[0]!.mean,
  ).toBeLessThan(-9000)
  expect(() => pooledOfBuckets(NAMES, [sums(-5, 0, 1)])).toThrow('no bucket has sums that rows can have')
  const empty = [[fixedOf(3), 0n, 0n, 0n]]
  expect(pooledOfBuckets(NAMES, empty).columns).toEqual([{ column: 'age', count: 0, mean: 0, sd: 1 }])
})

test('a column that an attacker says it lacks is that of the others; one that no more than the attackers have is none', () => {
  const honest = [sums(40, 54, 9), sums(60, 55, 8), sums(50, 53, 10)]
  const lacks = [fixedOf(50), 0n, 0n, 0n]
  const none = [{ column: 'age', count: 0, mean: 0, sd: 1 }]
  // Two attackers of five buckets: they lack it, are of no rows, or alone have it.
  for (const liars of [
    [lacks, lacks],
    [lacks, sums(-5, 0, 1)],
  ])
    expect(pooledOfBuckets(NAMES, [...honest, ...liars], 3).columns[0]!.mean).toBeCloseTo(54, 6)
  // As a round has it: of three buckets one may lie, and cannot take a column from the other two by having none.
  const math = new RoundMath(checkFedPlan(plan({ ...WARY, features: [{ column: 'age' }] }), 'plan'), 9)
  const buckets = [honest[0]!, honest[2]!, lacks].map((wide) => ({
    sums: { reals: new Float64Array(), wide },
    survivors: 3,
  }))
  const { pooled } = math.applyBuckets(FIRST_STATE, buckets, () => NOTHING_BEGUN)
  expect(pooled!.columns[0]!.mean).toBeCloseTo(53.5, 6)
  const owned = [sums(50, 1e9, 1), sums(50, 1e9, 1)]
  expect(pooledOfBuckets(NAMES, [lacks, lacks, lacks, ...owned], 3).columns).toEqual(none)
})

interface Told {
  readonly from: FedState
  readonly buckets: number
  readonly payload: Uint8Array
}

test('a mesh makes them of its buckets, and weighs and averages updates as its plan says', async () => {
  const folder = temporaryFolder()
  const told: Told[] = []
  const fleet = await createFleet({
    times: PATIENT,
    folder,
    plan: plan(WARY),
    rows: Array.from({ length: 9 }, (_, seed) => hospitalRows(seed + 1, 40)),
    onMessage: (from, to, kind, body, payload) => {
      const { groups } = body as { groups?: readonly unknown[] }
      if (kind !== 'result' || groups === undefined || from === to) return
      const state = decodeState(encodeState(from.standing.current.state))
      if (told.every((one) => (one.from.pooled === null) !== (state.pooled === null)))
        told.push({ from: state, buckets: groups.length, payload })
    },
  })
  try {
    await areOver(fleet.members)
    expect(told.map(({ from, buckets }) => [from.pooled === null, buckets])).toEqual([
      [true, 3],
      [false, 3],
    ])
    const [statistics, round] = told.map(({ from, buckets, payload }) => {
      const { bits, d } = fleet.job.header(0, from, stateHash(from), fleet.job.groups(from)[0]!)
      const size = packedBytes(d, bits)
      return Array.from({ length: buckets }, (_, at) => {
        const words = unpack(payload.subarray(at * size, (at + 1) * size), bits, d)
        return decodeSum(words, fleet.job.layout(from), { f: 16, c: 8 })
      })
    })
    const { state } = fleet.members[0]!.standing.current
    expect(state.pooled).toEqual(
      pooledOfBuckets(
        ['age', 'chol', 'thalach'],
        statistics!.map(({ wide }) => wide),
      ),
    )
    // 32 rows for training, unevenly divided, are fewer than 40 even ones: each bucket weighs less than its three members.
    const weights = round!.map(({ wide }) => Number(wide[0]) / 2 ** 40)
    for (const weight of weights) expect(weight > 1 && weight < 2.41).toBe(true)
    const means = round!.map(({ reals }, at) => reals.map((value) => value / weights[at]!))
    const m = means[0]!.map((_, index) => {
      const [low, middle, high] = means.map((mean) => mean[index]!).sort((left, right) => left - right)
      return high! - middle! < middle! - low! ? (middle! + high!) / 2 : (low! + middle!) / 2
    })
    for (const [index, value] of state.strategy['m']!.entries()) expect(value).toBeCloseTo(m[index]!, 12)
    const moved = Float32Array.from(round![0]!.reals, (_, index) => told[1]!.from.global[index]! + 0.5 * m[index]!)
    for (const [index, value] of state.global.entries()) expect(value).toBeCloseTo(moved[index]!, 6)
  } finally {
    await fleet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
})

test('classes count the same: the rarer one is gone through again and again, and a record is still one', () => {
  const { places, even } = balanced([0, 1, 0, 0, 1, 0, 0])
  expect([...places]).toEqual([0, 1, 1, 1, 2, 3, 4, 4, 5, 6])
  expect(even).toBeCloseTo(4 / (1 / 5 + 1 / 2), 12)
  expect(balanced([0, 1, 0, 1]).even).toBe(4)
  // A plan of somebody else's decides nothing about this site's memory.
  const rare = balanced([...Array.from({ length: 1000 }, () => 0), 1])
  expect(rare.places.length).toBe(1000 + 64)
  expect(balanced([2, 2, 2])).toEqual({ places: Uint32Array.of(0, 1, 2), even: 3 })
})

test('what classes that count the same do not go with is refused', () => {
  const of = (changes: object): (() => unknown) => {
    return () => checkFedPlan(plan({ local: { steps: 1, lr: 0.5, balance: true }, ...changes }), 'plan')
  }
  expect(of({})).not.toThrow()
  expect(of({ task: 'regression', target: { column: 'num' } })).toThrow('local.balance')
  const privacy = { unit: 'record', epsilon: 3, delta: 1e-5, clip: 1, sample_rate: 0.5 }
  expect(of({ privacy })).toThrow('local.balance')
  const checked = checkFedPlan(plan({ local: { steps: 1, lr: 0.5, balance: true } }), 'plan')
  expect(() => checkOutside(checked)).toThrow('local.balance')
})
