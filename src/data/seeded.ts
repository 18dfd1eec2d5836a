/**
 * Random numbers from a seed: xoshiro128** (Blackman and Vigna, arXiv 1805.01407), started from SHA-256 of the seed and
 * of what the numbers are for, so that each purpose has a stream of its own and a resumed run draws what it would have.
 */
import { createHash } from 'node:crypto'

export interface Seeded {
  /** In [0, 2^32). */
  uint32(): number
  /** In [0, 1), 24 bits: the same as a float32. */
  uniform(): number
  /** In [0, below), without bias. */
  below(below: number): number
  /** Of mean 0 and deviation 1 (Box and Muller 1958). */
  normal(): number
}

/** Equal arguments, equal numbers, on every machine. */
export function createSeeded(seed: number, ...purpose: readonly (string | number)[]): Seeded {
  const digest = createHash('sha256')
    .update(JSON.stringify([seed, ...purpose]))
    .digest()
  let [a, b, c, d] = [0, 4, 8, 12].map((at) => digest.readUInt32LE(at)) as [number, number, number, number]
  const uint32 = (): number => {
    const result = Math.imul(rotated(Math.imul(b, 5), 7), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotated(d, 11)
    return result
  }
  const uniform = (): number => (uint32() >>> 8) / 2 ** 24
  return {
    uint32,
    uniform,
    below: (below) => {
      const most = Math.floor(2 ** 32 / below) * below
      let drawn = uint32()
      while (drawn >= most) drawn = uint32()
      return drawn % below
    },
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  }
}

function rotated(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by))
}

/** 0..count-1 in an order of chance (Fisher and Yates), or the given ones. */
export function shuffled(rows: number | Uint32Array, seeded: Seeded): Uint32Array {
  const order = typeof rows === 'number' ? Uint32Array.from({ length: rows }, (_, index) => index) : rows.slice()
  for (let last = order.length - 1; last > 0; last--) {
    const other = seeded.below(last + 1)
    const kept = order[last]!
    order[last] = order[other]!
    order[other] = kept
  }
  return order
}
