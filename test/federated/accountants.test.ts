import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  composedEpsilon,
  composedRdp,
  distributedEpsilon,
  FederatedError,
  gaussianEpsilon,
  noiseBounds,
  rdpEpsilon,
  shareSigmaOf,
} from '../../src/federated/index.ts'
import type { DistributedNoise } from '../../src/federated/index.ts'
import { isWhole } from '../whole.ts'

/** q, sigma, steps, delta; by the Renyi accountant at its best order, and by numeric composition. */
const SAMPLED: readonly (readonly [number, number, number, number, number, number, number])[] = [
  [0.01, 1.1, 1000, 1e-5, 1.71177, 9.6, 1.51537],
  [0.01, 0.8, 1000, 1e-5, 3.695429, 4.8, 3.141018],
  [0.1, 1, 100, 1e-5, 7.899255, 3.2, 7.046603],
  [0.1, 2, 100, 1e-3, 1.799003, 6.1, 1.543864],
  [0.25, 1, 50, 1e-2, 8.319289, 2, 6.864094],
  [0.5, 2, 100, 1e-3, 12.138772, 2.2, 10.891422],
  [0.5, 4, 50, 1e-3, 3.16604, 4.5, 2.784771],
  [0.001, 0.7, 5000, 1e-6, 2.290778, 6.3, 1.380569],
]

/** sigma, steps, delta; by the Renyi accountant, and exactly. */
const WHOLE: readonly (readonly [number, number, number, number, number])[] = [
  [1, 1, 1e-5, 4.728507, 4.377178],
  [2, 10, 1e-5, 8.079406, 7.511276],
  [4, 20, 1e-2, 3.184638, 2.693641],
  [4, 50, 1e-3, 7.18368, 6.452429],
  [20, 100, 1e-5, 2.165716, 1.993091],
]

function kindOf(action: () => unknown): string | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    return error instanceof FederatedError ? error.kind : String(error)
  }
}

describe('the Renyi accountant', () => {
  test.each(SAMPLED)('q %d, sigma %d, %d steps, delta %d: %d at order %d', (q, sigma, steps, delta, epsilon, order) => {
    const spent = rdpEpsilon([{ q, sigma, steps }], delta)
    expect(spent.epsilon).toBeCloseTo(epsilon, 5)
    expect(spent.order).toBe(order)
  })

  test('has the published divergence of one step, at whole orders and between', () => {
    const one = (q: number, sigma: number, orders: number[]): number[] => composedRdp([{ q, sigma, steps: 1 }], orders)
    const relative = (got: number[], wanted: number[]): number =>
      Math.max(...got.map((value, index) => Math.abs(value / wanted[index]! - 1)))
    const published = [1.28510081605e-4, 1.96277889915e-4, 2.66718314627e-4, 5.8407033552e-4, 1.69982672775]
    expect(relative(one(0.01, 1.1, [2, 3, 4, 8, 16]), published)).toBeLessThan(1e-11)
    const half = [0.0685987243817, 0.0764549311551, 0.110023193358, 0.42374833315]
    expect(relative(one(0.5, 2, [2, 2.2, 3, 8]), half)).toBeLessThan(1e-10)
  })

  test('sees the same curve between whole orders: the quadrature meets the sum at an order next to it', () => {
    for (const [q, sigma] of [
      [0.3, 0.4],
      [1e-4, 1],
      [0.9, 3],
    ] as const) {
      for (const order of [2, 5, 40]) {
        const [at, beside] = composedRdp([{ q, sigma, steps: 1 }], [order, order + 1e-9])
        expect(beside! / at!).toBeCloseTo(1, 6)
      }
    }
  })

  test('keeps its digits where a step costs almost nothing', () => {
    const [rdp] = composedRdp([{ q: 1e-9, sigma: 1, steps: 1 }], [2])
    expect(rdp! / (1e-18 * Math.expm1(1))).toBeCloseTo(1, 10)
  })

  test('charges more for more: steps, sampling, less noise, smaller delta', () => {
    const event = fc.record({
      q: fc.double({ min: 0.001, max: 0.9, noNaN: true }),
      sigma: fc.double({ min: 0.5, max: 8, noNaN: true }),
      steps: fc.integer({ min: 1, max: 500 }),
    })
    fc.assert(
      fc.property(event, (one) => {
        const epsilon = (change: Partial<typeof one>, delta = 1e-5): number =>
          rdpEpsilon([{ ...one, ...change }], delta).epsilon
        const base = epsilon({})
        expect(epsilon({ steps: one.steps + 10 })).toBeGreaterThan(base)
        expect(epsilon({ q: one.q * 1.1 })).toBeGreaterThan(base)
        expect(epsilon({ sigma: one.sigma * 0.9 })).toBeGreaterThan(base)
        expect(epsilon({}, 1e-7)).toBeGreaterThan(base)
        const halves = [
          { ...one, steps: 1 },
          { ...one, steps: one.steps },
        ]
        expect(rdpEpsilon(halves, 1e-5).epsilon).toBeCloseTo(epsilon({ steps: one.steps + 1 }), 9)
      }),
      { numRuns: 15 },
    )
  })

  test('charges nothing for nothing, and everything without noise', () => {
    expect(rdpEpsilon([{ q: 0, sigma: 1, steps: 9 }], 1e-5)).toEqual({ epsilon: 0, order: null })
    expect(rdpEpsilon([{ q: 0.5, sigma: 1, steps: 0 }], 1e-5).epsilon).toBe(0)
    expect(rdpEpsilon([], 1e-5).epsilon).toBe(0)
    expect(rdpEpsilon([{ q: 0.5, sigma: 0, steps: 1 }], 1e-5).epsilon).toBe(Number.POSITIVE_INFINITY)
    expect(composedEpsilon([{ q: 0.5, sigma: 0, steps: 1 }], 1e-5)).toBe(Number.POSITIVE_INFINITY)
    expect(gaussianEpsilon(0, 1, 1e-5)).toBe(Number.POSITIVE_INFINITY)
    expect([gaussianEpsilon(1, 0, 1e-5), composedEpsilon([{ q: 0, sigma: 1, steps: 1 }], 1e-5)]).toEqual([0, 0])
  })

  test.each<[string, () => unknown]>([
    ['a rate above one', () => rdpEpsilon([{ q: 1.1, sigma: 1, steps: 1 }], 1e-5)],
    ['a rate that is none', () => rdpEpsilon([{ q: Number.NaN, sigma: 1, steps: 1 }], 1e-5)],
    ['noise below zero', () => composedEpsilon([{ q: 1, sigma: -1, steps: 1 }], 1e-5)],
    ['half a step', () => gaussianEpsilon(1, 1.5, 1e-5)],
    ['fewer than no steps', () => rdpEpsilon([{ q: 1, sigma: 1, steps: -1 }], 1e-5)],
    ['a delta of zero', () => rdpEpsilon([{ q: 1, sigma: 1, steps: 1 }], 0)],
    ['a delta of one', () => gaussianEpsilon(1, 1, 1)],
    ['an order of one', () => composedRdp([{ q: 1, sigma: 1, steps: 1 }], [1])],
    ['no order', () => composedRdp([{ q: 1, sigma: 1, steps: 1 }], [])],
  ])('refuses %s', (_, action) => {
    expect(kindOf(action)).toBe('range')
  })
})

describe('the exact curve', () => {
  test.each(WHOLE)('sigma %d, %d steps, delta %d: %d by Renyi, %d exactly', (sigma, steps, delta, renyi, exact) => {
    expect(rdpEpsilon([{ q: 1, sigma, steps }], delta).epsilon).toBeCloseTo(renyi, 5)
    expect(gaussianEpsilon(sigma, steps, delta)).toBeCloseTo(exact, 5)
    expect(composedEpsilon([{ q: 1, sigma, steps }], delta)).toBeCloseTo(exact, 5)
  })

  test('holds in far tails and where nothing is spent', () => {
    expect(gaussianEpsilon(1, 1, 1e-200)).toBeCloseTo(30.53, 0)
    expect(gaussianEpsilon(100, 1, 0.1)).toBe(0)
  })
})

/** The finest grids take a second each. */
const COMPOSED = isWhole ? SAMPLED : SAMPLED.slice(1, -1)

describe('numeric composition', () => {
  test.each(COMPOSED)('q %d, sigma %d, %d steps, delta %d', (q, sigma, steps, delta, renyi, _order, tight) => {
    const epsilon = composedEpsilon([{ q, sigma, steps }], delta)
    expect(epsilon).toBeGreaterThan(tight * (1 - 1e-5))
    expect(epsilon).toBeLessThan(tight * 1.01)
    expect(epsilon).toBeLessThan(renyi)
  })

  test('composes unlike steps, between what each alone would cost and the sum of the bounds', () => {
    const [one, other] = [
      { q: 0.05, sigma: 1.2, steps: 60 },
      { q: 0.2, sigma: 3, steps: 40 },
    ]
    const both = composedEpsilon([one, other], 1e-5)
    expect(both).toBeGreaterThan(composedEpsilon([one], 1e-5))
    expect(both).toBeLessThan(rdpEpsilon([one, other], 1e-5).epsilon)
  })
})

describe('noise in shares', () => {
  const noise = (change: Partial<DistributedNoise> & { z?: number } = {}): DistributedNoise => {
    const { z = 4, ...rest } = change
    const base = { n: 10, clip: 1, f: 16, d: 1e5, mechanism: 'gaussian', rounding: 'conditional', ...rest } as const
    return { shareSigma: shareSigmaOf(z, base.clip, base.f, base.n), ...base }
  }

  test('has the published tau', () => {
    const tau = (n: number, shareSigma: number): number => noiseBounds(noise({ n, shareSigma })).tau
    expect(tau(10, 0.5)).toBeCloseTo(2.345325319, 8)
    expect(tau(10, 1)).toBeCloseTo(5.43524258e-4, 11)
    expect(tau(32, 2) / 7.157e-17).toBeCloseTo(1, 3)
  })

  test.each([
    [10, 1, 16, 1e5, 4, 50, 1e-3, 65536.692, 7.186705, 7.186705],
    [10, 1, 10, 1e5, 4, 50, 1e-3, 1036.705, 7.30365, 7.30365],
    [10, 1, 6, 1e5, 4, 50, 1e-3, 171.225, 27.889407, 27.890175],
    [32, 0.5, 16, 1e6, 8, 100, 1e-5, 32772.322, 6.160009, 6.160009],
    [6, 1, 16, 40, 4, 20, 1e-2, 65536.5, 3.222842, 3.222842],
  ])('n %d, C %d, f %d, d %d, z %d, %d steps', (n, clip, f, d, z, steps, delta, delta2, gaussian, skellam) => {
    const one = noise({ n, clip, f, d, z })
    expect(noiseBounds(one).delta2).toBeCloseTo(delta2, 2)
    expect(distributedEpsilon(one, steps, delta).epsilon).toBeCloseTo(gaussian, 5)
    expect(distributedEpsilon({ ...one, mechanism: 'skellam' }, steps, delta).epsilon).toBeCloseTo(skellam, 5)
  })

  test('charges rounding that was not repeated until it fits', () => {
    const worst = (f: number): number => distributedEpsilon(noise({ f, rounding: 'worst' }), 50, 1e-3).epsilon
    expect(worst(10)).toBeCloseTo(10.53, 2)
    expect(worst(6)).toBeCloseTo(115.8, 1)
    const none = distributedEpsilon(noise({ rounding: 'none' }), 50, 1e-3).epsilon
    expect(none).toBeCloseTo(7.186606, 5)
  })

  test('of a sample is that of the continuous mechanism at whole orders, where shares are fine', () => {
    const [q, steps, delta] = [0.1, 100, 1e-5]
    const spent = distributedEpsilon(noise({ z: 2, rounding: 'none' }), steps, delta, q)
    const orders = [...Array.from({ length: 127 }, (_, index) => index + 2), 256]
    expect(spent.epsilon).toBeCloseTo(rdpEpsilon([{ q, sigma: 2, steps }], delta, orders).epsilon, 9)
    expect(distributedEpsilon(noise(), 0, delta, q).epsilon).toBe(0)
  })

  test.each<[string, () => unknown]>([
    ['no member', () => noiseBounds(noise({ n: 0, shareSigma: 1 }))],
    ['no clipping', () => noiseBounds(noise({ clip: 0, shareSigma: 1 }))],
    ['no coordinate', () => noiseBounds(noise({ d: 0 }))],
    ['Skellam noise on a sample', () => distributedEpsilon(noise({ mechanism: 'skellam' }), 1, 1e-5, 0.5)],
    ['an order between whole ones on a sample', () => distributedEpsilon(noise(), 1, 1e-5, 0.5, [2.5])],
    ['a rate above one', () => distributedEpsilon(noise(), 1, 1e-5, 2)],
  ])('refuses %s', (_, action) => {
    expect(kindOf(action)).toBe('range')
  })
})
