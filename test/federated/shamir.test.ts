import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { combine, FederatedError, split } from '../../src/federated/index.ts'
import type { Share } from '../../src/federated/index.ts'
import { hash } from './support/round.ts'

const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })

/** t, n, a secret and coefficients for it. */
const sharing = fc.integer({ min: 2, max: 9 }).chain((t) =>
  fc.record({
    t: fc.constant(t),
    n: fc.integer({ min: t, max: 14 }),
    secret: bytes(32),
    coefficients: fc.array(bytes(32), { minLength: t - 1, maxLength: t - 1 }),
    seed: fc.integer({ min: 0, max: 1 << 20 }),
  }),
)

function some(shares: readonly Share[], count: number, seed: number): Share[] {
  return shares
    .map((share, index) => ({ share, key: Math.imul(seed + 1, 2_654_435_761 * (index + 1)) >>> 0 }))
    .sort((one, other) => one.key - other.key)
    .slice(0, count)
    .map(({ share }) => share)
}

function kindOf(action: () => unknown): string | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    return error instanceof FederatedError ? error.kind : String(error)
  }
}

describe('secret sharing', () => {
  test('any t of n shares restore the secret, in any order', () => {
    fc.assert(
      fc.property(sharing, ({ t, n, secret, coefficients, seed }) => {
        const shares = split(secret, n, t, coefficients)
        expect(combine(some(shares, t, seed))).toEqual(secret)
        expect(combine(some(shares, n, seed + 1))).toEqual(secret)
      }),
      { numRuns: 60 },
    )
  })

  test('fewer than t shares go with every secret: there are coefficients that give the same shares', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 3, maxLength: 3 }), bytes(1), bytes(1), (first, secret, other) => {
        // Two of three shares of `secret`, and a polynomial through the same two points with another secret.
        const shares = split(secret, 3, 3, [first.subarray(0, 1), first.subarray(1, 2)]).slice(0, 2)
        const third = combineThrough(shares, other)
        expect(combine([...shares, third])).toEqual(other)
      }),
    )
  })

  test('is the published example', () => {
    const secret = hash('s3')
    const coefficients = [hash('coefS3/0'), hash('coefS3/1')]
    const shares = split(secret, 4, 3, coefficients)
    expect(shares.map(({ y }) => Buffer.from(y).toString('hex').slice(0, 16))).toEqual([
      'f06fe1ccd01e3f48',
      '2a25b8853a8e71a4',
      '9b6e72d644c6b438',
      'df4c666d26c69f63',
    ])
    expect(combine(shares.slice(0, 2))).not.toEqual(secret)
  })

  test('one wrong share gives another secret, or none would notice', () => {
    const shares = split(hash('a'), 5, 3, [hash('b'), hash('c')])
    const wrong = { ...shares[1]!, y: shares[1]!.y.map((byte, index) => (index === 0 ? byte ^ 1 : byte)) }
    expect(combine([shares[0]!, wrong, shares[2]!])).not.toEqual(hash('a'))
  })

  test.each<[string, () => unknown, string]>([
    ['a threshold of one', () => split(hash('a'), 3, 1, []), 'threshold'],
    ['more needed than there are', () => split(hash('a'), 3, 4, [hash('a'), hash('b'), hash('c')]), 'threshold'],
    ['more than 255', () => split(hash('a'), 256, 2, [hash('a')]), 'threshold'],
    ['too few coefficients', () => split(hash('a'), 3, 3, [hash('a')]), 'length'],
    ['a short coefficient', () => split(hash('a'), 3, 2, [new Uint8Array(3)]), 'length'],
    ['the place of the secret', () => combine([share(0), share(1)]), 'range'],
    ['a place past the field', () => combine([share(1), share(256)]), 'range'],
    ['one share twice', () => combine([share(1), share(2), share(1)]), 'duplicate-share'],
    ['shares of two lengths', () => combine([share(1), { x: 2, y: new Uint8Array(3) }]), 'length'],
    ['one share', () => combine([share(1)]), 'threshold'],
    ['no share', () => combine([]), 'threshold'],
  ])('refuses %s', (_, action, kind) => {
    expect(kindOf(action)).toBe(kind)
  })
})

function share(x: number): Share {
  return { x, y: hash(`share ${x}`) }
}

/** The share at 3 of the parabola through two shares and a secret of one byte, found by trying all. */
function combineThrough(shares: readonly Share[], secret: Uint8Array): Share {
  for (let y = 0; y < 256; y++) {
    const third = { x: 3, y: Uint8Array.of(y) }
    if (combine([...shares, third])[0] === secret[0]) return third
  }
  throw new Error('no byte fits: the field has holes')
}
