import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  addVector,
  checkSum,
  decodeWords,
  FederatedError,
  leastBits,
  pack,
  packedBytes,
  planHash,
  roundStochastic,
  uniformOf,
  unpack,
  updateOfIntegers,
  updateOfReals,
} from '../../src/federated/index.ts'

const words = fc
  .integer({ min: 1, max: 32 })
  .chain((bits) => fc.record({ bits: fc.constant(bits), words: fc.array(fc.integer({ min: 0, max: 2 ** bits - 1 })) }))

function refusal(action: () => unknown): Pick<FederatedError, 'kind' | 'index'> | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    if (!(error instanceof FederatedError)) throw error
    return { kind: error.kind, index: error.index }
  }
}

describe('packing', () => {
  test('comes back whole, in as many bytes as it takes', () => {
    fc.assert(
      fc.property(words, ({ bits, words: values }) => {
        const bytes = pack(Uint32Array.from(values), bits)
        expect(bytes.length).toBe(packedBytes(values.length, bits))
        expect([...unpack(bytes, bits, values.length)]).toEqual(values)
      }),
    )
  })

  test('puts value k into bits k b and on, from the low end', () => {
    fc.assert(
      fc.property(words, ({ bits, words: values }) => {
        const stream = values.reduce((sum, value, k) => sum | (BigInt(value) << BigInt(k * bits)), 0n)
        const bytes = pack(Uint32Array.from(values), bits)
        expect(bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)).toBe(stream)
      }),
    )
  })

  test('adds packed vectors in pieces as it adds whole ones', () => {
    const values = Uint32Array.from({ length: 40_000 }, (_, index) => (index * 7919) % 2 ** 22)
    const sum = new Uint32Array(values.length).fill(5)
    addVector(pack(values, 22), 22, sum)
    expect(sum.findIndex((value, index) => value !== values[index]! + 5)).toBe(-1)
  })

  test.each([
    ['a word that is too wide', () => pack(Uint32Array.of(1, 8), 3), { kind: 'range', index: 1 }],
    ['bytes too few', () => unpack(Uint8Array.of(1), 9, 1), { kind: 'length' }],
    ['bytes too many', () => unpack(Uint8Array.of(1, 0, 0), 9, 1), { kind: 'length' }],
    ['padding that is not zero', () => unpack(Uint8Array.of(1, 2), 9, 1), { kind: 'padding' }],
    ['33 bits', () => pack(Uint32Array.of(1), 33), { kind: 'range' }],
  ])('refuses 1c8f8816506a8ccbc55140d8a7bb70214a8942c7030fc0fc2914cec675cd1c15', (_, action, expected) => {
    expect(refusal(action)).toMatchObject(expected)
  })
})

describe('rounding', () => {
  test('is the published example, and right on average', () => {
    const encoding = { f: 0, c: 2 }
    const u = [0.24, 0.25, 0.8, 0.9, 0.9]
    const q = [0.25, 0.25, -0.25, 2, -2].map((x, index) => roundStochastic(x, u[index]!, encoding, index))
    expect(q).toEqual([1, 0, -1, 2, -2])
    const grid = Array.from({ length: 1000 }, (_, index) => roundStochastic(0.3, index / 1000, encoding, 0))
    expect(grid.reduce((sum, value) => sum + value, 0)).toBe(300)
  })

  test('tests the real before it rounds: a bound that is no integer may be passed by rounding, and by no more', () => {
    expect(roundStochastic(0.3, 0, { f: 2, c: 0.3 }, 0)).toBe(2)
    expect(refusal(() => roundStochastic(0.31, 0, { f: 2, c: 0.3 }, 7))).toEqual({ kind: 'out-of-range', index: 7 })
    expect(refusal(() => updateOfIntegers([1, 3], { f: 2, c: 0.3 }).read(0, new Uint32Array(2)))).toEqual({
      kind: 'out-of-range',
      index: 1,
    })
  })

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('refuses %d with its place', (value) => {
    const update = updateOfReals([0, 0, value], { f: 4, c: 1 }, () => 0.5)
    expect(refusal(() => update.read(0, new Uint32Array(3)))).toEqual({ kind: 'not-finite', index: 2 })
  })

  test('refuses uniform numbers that are none', () => {
    expect(refusal(() => uniformOf([0.5], 2))).toMatchObject({ kind: 'length' })
    expect(refusal(() => uniformOf([0.5, 1], 2)(1))).toEqual({ kind: 'range', index: 1 })
  })

  test('decodes two halves of the modulus as the two signs', () => {
    expect([...decodeWords([0, 1, 7, 8, 15], 4, 1)]).toEqual([0, 0.5, 3.5, -4, -0.5])
    expect(refusal(() => decodeWords([16], 4, 1))).toEqual({ kind: 'range', index: 0 })
  })
})

describe('the modulus', () => {
  test('has the published numbers of bits', () => {
    const noise = (f: number): number => 4 * 2 ** f
    expect([16, 12, 10, 8].map((f) => leastBits(10, { f, c: 1 }, noise(f)))).toEqual([23, 19, 17, 15])
    expect(leastBits(512, { f: 16, c: 1 }, 8 * 2 ** 16)).toBe(27)
  })

  test('is refused one bit below the least, and when no 32 bits hold the sum', () => {
    const sum = { t: 7, bits: 23, f: 16, c: 1, d: 3 }
    expect(refusal(() => checkSum(sum, 10, 262_144))).toBeUndefined()
    expect(refusal(() => checkSum({ ...sum, bits: 22 }, 10, 262_144))).toMatchObject({ kind: 'modulus' })
    expect(refusal(() => checkSum({ ...sum, bits: 33 }, 10, 0))).toMatchObject({ kind: 'modulus' })
    expect(refusal(() => leastBits(1000, { f: 30, c: 1 }, 0))).toMatchObject({ kind: 'modulus' })
  })

  test.each([
    [2, 2],
    [4, 2],
    [4, 5],
    [3, 1.5],
  ])('of %d members, a threshold of %d is refused', (n, t) => {
    expect(refusal(() => checkSum({ t, bits: 32, f: 8, c: 1, d: 1 }, n))).toMatchObject({ kind: 'threshold' })
  })
})

test('a plan has one hash, however its file is laid out', () => {
  const hex = (plan: unknown): string => Buffer.from(planHash(plan)).toString('hex')
  const plan = { schema: 'weft.fed-plan/1', name: 'heart', rounds: 20, local: { lr: 0.5, steps: 5 } }
  const moved = { local: { steps: 5, lr: 5e-1 }, rounds: 2e1, name: 'heart', schema: 'weft.fed-plan/1' }
  expect(hex(moved)).toBe(hex(plan))
  expect(hex({ ...plan, rounds: 21 })).not.toBe(hex(plan))
  expect(hex({ b: 1, a: [] })).toBe('1c8f8816506a8ccbc55140d8a7bb70214a8942c7030fc0fc2914cec675cd1c15')
})
