/** Two accountants of one ledger: never below the truth, by tables of another's, and by discrete noise summed up by hand. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  accountedEpsilon,
  checkFedPlan,
  composedEpsilon,
  noiseBounds,
  noiseOf,
  openPrivacyLedger,
  pldOf,
  rdpOf,
  shareSigmaOf,
} from '../../src/federated/index.ts'
import type { Charge, DistributedNoise, LedgerEvent, PrivacyLedger } from '../../src/federated/index.ts'
import { cohortOf } from '../../src/federated/plan/cohort.ts'
import { sampled } from '../whole.ts'
import { plan, temporaryFolder } from './support/hospitals.ts'
import { testSigner } from './support/ledger-host.ts'
import { LOSS_TUPLES } from './support/loss-tuples.ts'

let folder: string
beforeEach(() => {
  folder = temporaryFolder()
  mkdirSync(join(folder, 'keys'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const DISCRETE = { n: 10, clip: 1, f: 16, d: 1000, mechanism: 'gaussian', rounding: 'none' } as const
const inShares = (z: number, q: number, steps: number, changes: Partial<DistributedNoise> = {}): LedgerEvent => {
  const noise = { ...DISCRETE, shareSigma: 0, ...changes }
  return {
    mechanism: 'distributed',
    q,
    steps,
    noise: { ...noise, shareSigma: shareSigmaOf(z, noise.clip, noise.f, noise.n) },
  }
}

describe('the distribution of the loss', () => {
  test.each(sampled(LOSS_TUPLES, 16))('q %d, sigma %d, %d steps, delta %d', (q, sigma, steps, delta, coarse, fine) => {
    // Two grids tell where a third, without any width, would be.
    const truth = fine - (coarse - fine) / 3
    const spent = [
      composedEpsilon([{ q, sigma, steps }], delta),
      pldOf([{ mechanism: 'gaussian', q, sigma, steps }], delta),
      pldOf([inShares(sigma, q, steps)], delta),
      pldOf([inShares(sigma, q, steps - 1), inShares(sigma, q, 1)], delta),
    ]
    for (const epsilon of spent) {
      expect(epsilon / truth).toBeGreaterThan(1 - 2e-8)
      expect(epsilon / truth).toBeLessThan(1.01)
    }
    expect(accountedEpsilon([inShares(sigma, q, steps)], delta).accountant).toBe('pld')
    expect(rdpOf([inShares(sigma, q, steps)], delta)).toBeGreaterThan(truth)
  })

  test('pays for rounding, as the other accountant does', () => {
    const of = (rounding: DistributedNoise['rounding'], f: number): number =>
      pldOf([inShares(4, 1, 50, { f, d: 1e5, rounding })], 1e-3)
    expect(of('worst', 6) / of('none', 6)).toBeGreaterThan(8)
    expect(of('conditional', 16) / of('none', 16)).toBeCloseTo(1, 4)
  })

  test('knows nothing of noise that is coarse, of another law, or none at all: the other accountant decides', () => {
    const coarse = inShares(2, 1, 3, { f: 0, clip: 2 })
    const skellam = inShares(4, 1, 3, { mechanism: 'skellam' })
    for (const event of [coarse, skellam]) {
      expect(pldOf([event], 1e-5)).toBe(Number.POSITIVE_INFINITY)
      expect(accountedEpsilon([event], 1e-5)).toEqual({ epsilon: rdpOf([event], 1e-5), accountant: 'rdp' })
    }
    expect(accountedEpsilon([], 1e-5).epsilon).toBe(0)
    expect(pldOf([inShares(1, 0, 5), inShares(1, 1, 0)], 1e-5)).toBe(0)
  })
})

/** Probabilities of a discrete Gaussian, from -reach to reach. */
function pmf(sigma: number, reach: number): Float64Array {
  const weights = Float64Array.from({ length: 2 * reach + 1 }, (_, at) =>
    Math.exp(-((at - reach) ** 2) / (2 * sigma ** 2)),
  )
  const total = weights.reduce((sum, one) => sum + one, 0)
  return weights.map((one) => one / total)
}

function convolved(left: Float64Array, right: Float64Array): Float64Array {
  const out = new Float64Array(left.length + right.length - 1)
  for (const [i, a] of left.entries()) for (const [j, b] of right.entries()) out[i + j]! += a * b
  return out
}

/** delta at epsilon of two lists of probabilities, the second list being that of the neighbouring data set. */
function deltaOf(own: readonly number[], other: readonly number[], epsilon: number): number {
  return own.reduce((sum, p, at) => sum + Math.max(0, p - Math.exp(epsilon) * other[at]!), 0)
}

describe('shares of discrete noise, summed up outcome by outcome', () => {
  // Three shares of deviation 6 are 10.4 together, with a shift of 8: coarse enough that the lattice could show.
  const [n, shareSigma, shift] = [3, 6, 8]
  const one = pmf(shareSigma, 60)
  const sum = convolved(convolved(one, one), one)
  const at = (place: number): number => sum[place] ?? 0
  const noise = { n, clip: shift, f: 0, d: 1, shareSigma, mechanism: 'gaussian', rounding: 'none' } as const

  test.each([
    [1, 1e-3],
    [1, 0.05],
    [0.3, 1e-4],
  ])('one step at q %d, delta %d', (q, delta) => {
    const epsilon = pldOf([{ mechanism: 'distributed', q, steps: 1, noise }], delta)
    const places = Array.from({ length: sum.length + shift }, (_, place) => place)
    const without = places.map(at)
    const mixed = places.map((place) => (1 - q) * at(place) + q * at(place - shift))
    const truth = Math.max(deltaOf(mixed, without, epsilon), deltaOf(without, mixed, epsilon))
    expect(truth).toBeLessThanOrEqual(delta)
    // Not far from it either: h^2 of 4 in a variance of 108.
    const below = 0.9 * epsilon
    expect(Math.max(deltaOf(mixed, without, below), deltaOf(without, mixed, below))).toBeGreaterThan(delta)
  })

  test('two coordinates, which a step shifts together, and two steps of it', () => {
    // A shift of (3, 7) is of norm 7.6. The loss of an outcome is of one coordinate plus that of the other: lists of pairs.
    const [dx, dy] = [3, 7]
    const two = { ...noise, d: 2, clip: Math.hypot(dx, dy) }
    expect(noiseBounds(two).delta2).toBeCloseTo(7.6158, 3)
    const [own, other]: [number[], number[]] = [[], []]
    for (let x = 130; x < 250; x++) {
      for (let y = 130; y < 250; y++) {
        own.push(at(x) * at(y))
        other.push(at(x - dx) * at(y - dy))
      }
    }
    const delta = 0.01
    expect(deltaOf(own, other, pldOf([{ mechanism: 'distributed', q: 1, steps: 1, noise: two }], delta))).toBeLessThan(
      delta,
    )
    // Two steps of one coordinate are outcomes of two.
    const [first, second]: [number[], number[]] = [[], []]
    for (let x = 100; x < 280; x++) {
      for (let y = 100; y < 280; y++) {
        first.push(at(x) * at(y))
        second.push(at(x - shift) * at(y - shift))
      }
    }
    const both = pldOf([{ mechanism: 'distributed', q: 1, steps: 2, noise }], delta)
    expect(deltaOf(first, second, both)).toBeLessThan(delta)
    expect(deltaOf(first, second, 0.9 * both)).toBeGreaterThan(delta)
  })
})

const EVENT = { mechanism: 'gaussian', q: 0.1, sigma: 1, steps: 10 } as const
const CHARGE: Charge = { data: 'heart', unit: 'record', job: 'job', round: 0, event: EVENT }

describe('a ledger', () => {
  const open = (): PrivacyLedger =>
    openPrivacyLedger(
      { signer: testSigner(), wall: () => 1e12 },
      { path: join(folder, 'ledger.db'), anchor: join(folder, 'keys', 'anchor') },
    )

  test('goes by the second accountant where the first is beyond the cap, says so, and refuses beyond both, over restarts', () => {
    // By Renyi divergences 50 steps cost 5.88 and 60 cost 6.33; by the loss itself 60 cost 5.58 and 70 cost 5.98.
    open().setCap({ data: 'heart', unit: 'record', epsilon: 5.9, delta: 1e-5 })
    const by = Array.from({ length: 6 }, (_, round) => open().charge({ ...CHARGE, round }).accountant)
    expect(by).toEqual(['rdp', 'rdp', 'rdp', 'rdp', 'rdp', 'pld'])
    for (let again = 0; again < 2; again++) {
      const refused = (): unknown => open().charge({ ...CHARGE, round: 6 })
      expect(refused).toThrow(/to epsilon 5\.98\d+ \(pld\) at delta 0\.00001, and 5\.9 is the cap/)
    }
    const [budget] = open().budgets()
    expect(budget).toMatchObject({ accountant: 'pld', cap: 5.9 })
    expect(budget!.events).toHaveLength(6)
    expect(budget!.epsilon).toBe(composedEpsilon([{ ...EVENT, steps: 60 }], 1e-5))
    expect(open().caps()).toEqual([{ data: 'heart', unit: 'record', epsilon: 5.9, delta: 1e-5 }])
  })

  test('what a plan makes of the tighter accountant takes less noise, and all its sums fit, and not one more', () => {
    const planOf = (accountant?: string): ReturnType<typeof checkFedPlan> =>
      checkFedPlan(
        plan({ privacy: { unit: 'record', epsilon: 2, delta: 1e-5, clip: 1, sample_rate: 0.2, accountant } }),
        'plan',
      )
    const [loose, tight] = [undefined, 'pld'].map((accountant) => {
      const made = planOf(accountant)
      return noiseOf(made, cohortOf(made, 4), 30, 148)!
    })
    expect(tight!.z / loose!.z).toBeLessThan(0.95)
    expect(tight!.z / loose!.z).toBeGreaterThan(0.7)
    expect(rdpOf([{ ...tight!.event, steps: 15 }], 1e-5)).toBeGreaterThan(2)
    const ledger = open()
    ledger.setCap({ data: 'heart', unit: 'record', epsilon: 2, delta: 1e-5 })
    for (let round = 0; round < 15; round++) ledger.charge({ ...CHARGE, round, event: tight!.event })
    expect(ledger.budgets()[0]!.epsilon).toBeGreaterThan(1.99)
    expect(() => ledger.charge({ ...CHARGE, round: 15, event: tight!.event })).toThrow(/is the cap/)
    expect(() => planOf('zcdp')).toThrow(/privacy/)
  })
})
