/** Seeds that people give become the seeds that we count with. */

/** Ours are whole numbers that a double holds. */
const SEED_BITS = 53

/**
 * OpenAI's seeds are 64-bit and may be negative: what is beyond ours is folded into them, so that equal seeds stay equal,
 * on the command line and over HTTP alike. Undefined: no whole number of 64 bits.
 */
export function foldSeed(value: number): number | undefined {
  if (!Number.isInteger(value) || Math.abs(value) > 2 ** 63) return undefined
  return Number(BigInt.asUintN(SEED_BITS, BigInt(value)))
}
