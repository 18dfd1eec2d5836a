import { createCipheriv } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  addDiscreteGaussian,
  clipToNorm,
  discreteGaussian,
  FederatedError,
  keyedWords,
  l2Norm,
  nextBound,
  nodePrimitives,
  splitNoise,
  wordsFrom,
} from '../../src/federated/index.ts'
import type { Words } from '../../src/federated/index.ts'
import { expBounds, isBelowExp } from '../../src/federated/privacy/below-exp.ts'
import { rationalOf } from '../../src/federated/privacy/discrete-gaussian.ts'
import { fillWords } from '../../src/federated/privacy/words.ts'
import { systemRandom } from '../../src/util/index.ts'
import { hash } from './support/round.ts'

function words(seed: string): Words {
  const stream = nodePrimitives.chacha20(hash(seed), new Uint8Array(12))
  return wordsFrom((length) => stream.next(length))
}

function kindOf(action: () => unknown): string | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    return error instanceof FederatedError ? error.kind : String(error)
  }
}

describe('the discrete Gaussian', () => {
  const one = (seed: string, sigma: number, count: number): number[] =>
    Array.from({ length: count }, discreteGaussian(words(seed), sigma))
  /** Many at once, drawn in blocks. */
  const many = (seed: string, sigma: number, count: number): number[] => {
    const values = new Float64Array(count).fill(5)
    addDiscreteGaussian(words(seed), sigma, values)
    return Array.from(values, (value) => value - 5)
  }

  // The last two have bins of several integers.
  test.each(
    [0.5, 1, 2, 10, 100, 700].flatMap((sigma) => [[sigma, 'one by one', one] as const, [sigma, 'many', many] as const]),
  )('has its probabilities at sigma %d, drawn %s', (sigma, _, draw) => {
    const count = 100_000
    const reach = Math.ceil(3 * sigma)
    const counts = new Map<number, number>()
    for (const value of draw(`sigma ${sigma}`, sigma, count)) {
      const cell = Math.max(-reach - 1, Math.min(reach + 1, value))
      counts.set(cell, (counts.get(cell) ?? 0) + 1)
    }
    const weight = (x: number): number => Math.exp((-x * x) / (2 * sigma * sigma))
    const far = Math.ceil(20 * sigma)
    const total = Array.from({ length: 2 * far + 1 }, (__, index) => weight(index - far)).reduce(
      (sum, each) => sum + each,
      0,
    )
    let statistic = 0
    let inside = 0
    for (let x = -reach; x <= reach; x++) {
      const expected = (count * weight(x)) / total
      inside += expected
      statistic += ((counts.get(x) ?? 0) - expected) ** 2 / expected
    }
    const outside = (counts.get(-reach - 1) ?? 0) + (counts.get(reach + 1) ?? 0)
    if (count - inside > 5) statistic += (outside - (count - inside)) ** 2 / (count - inside)
    // Wilson-Hilferty: five standard deviations of a chi-square with 2 reach + 1 degrees of freedom.
    const freedom = 2 * reach + 1
    expect(statistic).toBeLessThan(freedom * (1 - 2 / (9 * freedom) + 5 * Math.sqrt(2 / (9 * freedom))) ** 3)
  })

  test('has mean 0 and the variance of its parameter, where cells are too many to count', () => {
    const sigma = 82_897.21
    for (const draw of [one, many]) spread(draw('wide', sigma, 20_000), sigma)
    // A place in its bin takes a word of its own.
    for (const draw of [one, many]) spread(draw('wider', 2 ** 23, 20_000), 2 ** 23)
  })

  function spread(values: readonly number[], sigma: number): void {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const variance = values.reduce((sum, value) => sum + value * value, 0) / values.length
    expect(Math.abs(mean)).toBeLessThan((4 * sigma) / Math.sqrt(values.length))
    expect(variance / sigma ** 2).toBeGreaterThan(0.96)
    expect(variance / sigma ** 2).toBeLessThan(1.04)
    expect(values.every(Number.isSafeInteger)).toBe(true)
  }

  test('is the same from the same seed, and another from another', () => {
    const head = (seed: string): number[] => Array.from({ length: 64 }, discreteGaussian(words(seed), 30))
    expect(head('a')).toEqual(head('a'))
    expect(head('a')).not.toEqual(head('b'))
    expect(discreteGaussian(words('a'), 0)()).toBe(0)
    expect(many('a', 30, 5000)).toEqual(many('a', 30, 5000))
    expect(many('a', 0, 3)).toEqual([0, 0, 0])
  })

  test.each([-1, Number.NaN, 2 ** 41])('refuses sigma %d', (sigma) => {
    expect(kindOf(() => discreteGaussian(words('a'), sigma))).toBe('range')
  })

  test('is zero where the next integer is beyond anything, and keeps to whole numbers where it is widest', () => {
    for (const sigma of [1e-300, 1e-9, 0.02]) expect(discreteGaussian(words('narrow'), sigma)()).toBe(0)
    const sample = discreteGaussian(words('widest'), 2 ** 40)
    const values = Array.from({ length: 5000 }, sample)
    expect(values.every(Number.isSafeInteger)).toBe(true)
    const variance = values.reduce((sum, value) => sum + (value / 2 ** 40) ** 2, 0) / values.length
    expect(Math.abs(variance - 1)).toBeLessThan(0.1)
    expect(values.some((value) => value % 2 !== 0)).toBe(true)
  })

  /** What the bits of `drawn`, and then zeros, say. */
  const bits = (list: readonly number[]): Words => {
    const left = [...list]
    return { next: () => left.shift() ?? 0, below: () => 0 }
  }

  test('draws a value of the tail block by block, and asks exact numbers where the curve is all but nothing', () => {
    // The last cells are the tail's, bins from 3 on; the lowest bit says on which side, and the first bits are zeros: below any curve.
    const tail = 0xfff00001
    expect(discreteGaussian(bits([tail, 1, 0]), 1)()).toBe(-5)
    expect(discreteGaussian(bits([tail - 1, 1, 0]), 1)()).toBe(4)
    const heads = Array.from({ length: 8 }, () => 1)
    expect(discreteGaussian(bits([tail, ...heads, 0]), 1)()).toBe(-12)
    // What is drawn first lies above the curve by less than a guess can tell, and the next is the zero of a word of zeros.
    expect(discreteGaussian(bits([tail, ...heads, 0, 1]), 1)()).toBe(0)
  })

  test('decides on an edge by exact numbers, however wrong a guess would be', () => {
    const [one, third] = [
      { numerator: 1n, denominator: 1n },
      { numerator: 1n, denominator: 3n },
    ]
    // 2^53 / e, cut off: the bits behind decide, and those of 1 / e begin so.
    const edge = 3313563428353947n
    const isBelow = (prefix: bigint, next: number, times = one): boolean =>
      isBelowExp(bits([next]), prefix, 53n, { exponent: one, times })
    expect([isBelow(edge - 1n, 0xffffffff), isBelow(edge + 1n, 0)]).toEqual([true, false])
    expect([isBelow(edge, 0), isBelow(edge, 0xffffffff)]).toEqual([true, false])
    expect([isBelow(edge / 3n - 1n, 0xffffffff, third), isBelow(edge / 3n + 1n, 0, third)]).toEqual([true, false])
    expect(
      isBelowExp(bits([]), 2n ** 53n - 1n, 53n, { exponent: { numerator: 0n, denominator: 1n }, times: one }),
    ).toBe(true)
    expect(rationalOf(0.375)).toEqual({ numerator: 3n, denominator: 8n })
  })

  test('knows exponentials between whole numbers a few apart', () => {
    const scale = 10n ** 40n
    /** Digits behind the point, from tables. */
    const known = [
      [1n, 1n, 3678794411714423215955237701614608674458n],
      [1n, 2n, 6065306597126334236037995349911804534419n],
      [20n, 1n, 20611536224385578279659403801558n],
    ] as const
    for (const [numerator, denominator, digits] of known) {
      for (const width of [53n, 85n, 120n]) {
        const { low, high } = expBounds({ numerator, denominator }, width)
        expect(high - low).toBeLessThan(6n)
        expect(low * scale).toBeLessThanOrEqual((digits + 1n) << width)
        expect(high * scale).toBeGreaterThanOrEqual(digits << width)
      }
    }
    expect(expBounds({ numerator: 10n ** 30n, denominator: 7n }, 85n)).toEqual({ low: 0n, high: 1n })
  })
})

describe('uniform integers', () => {
  test('are without bias where the bound does not divide the words', () => {
    const source = words('below')
    const counts = [0, 0, 0]
    for (let index = 0; index < 30_000; index++) counts[source.below(3)]!++
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400)
    // Two thirds of 2^32: half of all words are thrown away, and the rest is even.
    const bound = 2 ** 33
    const halves = Array.from({ length: 2000 }, () => source.below(bound)).filter((value) => value < bound / 2).length
    expect(Math.abs(halves - 1000)).toBeLessThan(150)
  })
})

describe('clipping', () => {
  test('leaves what fits, scales what does not, and knows zero', () => {
    expect(clipToNorm([3, 4], 5)).toMatchObject({ norm: 5, factor: 1, fits: true })
    const clipped = clipToNorm([3, 4], 1)
    expect(clipped).toMatchObject({ norm: 5, factor: 0.2, fits: false })
    expect(l2Norm(clipped.values)).toBeCloseTo(1, 15)
    expect(clipToNorm([0, 0], 1)).toMatchObject({ norm: 0, factor: 1, fits: true })
  })

  test('is right where squares overflow or vanish', () => {
    expect(clipToNorm([3e200, 4e200], 1).norm / 5e200).toBeCloseTo(1, 14)
    expect(l2Norm(clipToNorm([3e200, 4e200], 1).values)).toBeCloseTo(1, 14)
    expect(l2Norm([3e-200, 4e-200]) / 5e-200).toBeCloseTo(1, 14)
    const huge = clipToNorm([1.7e308, 1.7e308], 1)
    expect(huge.norm).toBe(Number.POSITIVE_INFINITY)
    expect(l2Norm(huge.values)).toBeCloseTo(1, 14)
  })

  test('refuses what is no number, and a bound that is none', () => {
    expect(kindOf(() => clipToNorm([1, Number.NaN], 1))).toBe('not-finite')
    for (const bound of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(kindOf(() => clipToNorm([1], bound))).toBe('range')
    }
  })
})

describe('adaptive clipping', () => {
  const settings = { eta: 0.2, quantile: 0.5 }
  const trajectory = (start: number, rounds: number, norm = 1): number[] => {
    let bound = start
    return Array.from({ length: rounds }, () => (bound = nextBound(bound, norm <= bound ? 4 : 0, 4, settings)))
  }

  test('finds constant norms from below and from above; with the wrong sign it would run away', () => {
    const up = trajectory(0.1, 60)
    expect(up[9]).toBeCloseTo(0.271828, 6)
    expect(up[22]).toBeCloseTo(0.997418, 6)
    expect(Math.abs(Math.log(up.at(-1)!))).toBeLessThan(0.11)
    expect(Math.abs(Math.log(trajectory(10, 60).at(-1)!))).toBeLessThan(0.11)
  })

  test('counts a share of the members expected, and takes noise', () => {
    expect(nextBound(1, 5, 10, settings)).toBe(1)
    expect(nextBound(1, 5 - 5, 10, settings)).toBeCloseTo(Math.exp(0.1), 12)
    expect(kindOf(() => nextBound(1, 0, 0, settings))).toBe('empty')
    expect(kindOf(() => nextBound(1, Number.NaN, 3, settings))).toBe('not-finite')
    expect(kindOf(() => nextBound(1, 1, 3, { eta: 1, quantile: 2 }))).toBe('range')
  })

  test('splits its noise as published, and refuses a split that leaves none', () => {
    expect(splitNoise(1, 5)).toBeCloseTo(1.005037815, 9)
    expect(splitNoise(0.5, 0.5)).toBeCloseTo(0.577350269, 9)
    expect(splitNoise(4, 2.5)).toBeCloseTo(6.666666667, 9)
    expect(kindOf(() => splitNoise(1, 0.5))).toBe('range')
    expect(kindOf(() => splitNoise(0, 1))).toBe('range')
  })
})

describe('words under a key', () => {
  const seeded = (seed: string): Words => {
    const stream = nodePrimitives.chacha20(hash(seed), new Uint8Array(12))
    return keyedWords({ bytes: (length) => new Uint8Array(stream.next(length)) })
  }

  test('are AES-256 in counter mode, of another key after 4 MiB, and the same one by one and in blocks', () => {
    const keys: Uint8Array[] = []
    const stream = nodePrimitives.chacha20(hash('keys'), new Uint8Array(12))
    const random = {
      bytes: (length: number) => {
        keys.push(new Uint8Array(stream.next(length)))
        return keys.at(-1)!
      },
    }
    const source = keyedWords(random)
    const drawn = new Uint32Array(2 ** 20 + 7)
    fillWords(source, drawn)
    expect(keys.map(({ length }) => length)).toEqual([32, 32])
    const under = (key: Uint8Array, bytes: number): Uint32Array => {
      const cipher = createCipheriv('aes-256-ctr', key, new Uint8Array(16))
      return new Uint32Array(new Uint8Array(cipher.update(new Uint8Array(bytes))).buffer)
    }
    expect(Buffer.from(drawn.buffer, 0, 2 ** 22).equals(Buffer.from(under(keys[0]!, 2 ** 22).buffer))).toBe(true)
    expect(drawn.subarray(2 ** 20)).toEqual(under(keys[1]!, 28))
    const again = seeded('keys')
    expect(Array.from({ length: 50_000 }, () => again.next())).toEqual(Array.from(drawn.subarray(0, 50_000)))
    expect(keyedWords(systemRandom()).next()).not.toBe(keyedWords(systemRandom()).next())
  })
})
