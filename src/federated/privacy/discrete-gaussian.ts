/**
 * Samples of the discrete Gaussian, exactly (Canonne, Kamath, Steinke 2020, arXiv 2004.00010): rejection from a discrete
 * Laplace, every coin decided by integers. Floating point only guesses; what is too near to call is computed in full.
 */
import { ParameterRangeError } from '../errors.ts'
import type { Words } from './words.ts'

/** Beyond it products of scale and coin no longer fit 53 bits. */
const MAX_SIGMA = 2 ** 40
/** A guess nearer than this to a coin's edge is no answer: far more than doubles err here. */
const DOUBT = 2 ** -40
const TWO53 = 2 ** 53

/** A probability, exactly. */
interface Rational {
  readonly numerator: bigint
  readonly denominator: bigint
}

/**
 * @param sigma its square is the parameter: P(x) ~ exp(-x^2 / 2 sigma^2), x an integer
 * @throws ParameterRangeError
 */
export function discreteGaussian(words: Words, sigma: number): () => number {
  if (!(sigma >= 0 && sigma <= MAX_SIGMA)) throw new ParameterRangeError(`sigma = ${sigma} is not within 0 and 2^40`)
  if (sigma === 0) return () => 0
  const scale = Math.floor(sigma) + 1
  const exact = rationalOf(sigma)
  const [shift, spread] = [(sigma * sigma) / scale, 2 * sigma * sigma]
  return () => {
    for (;;) {
      const y = discreteLaplace(words, scale)
      const guess = (Math.abs(y) - shift) ** 2 / spread
      if (expCoin(words, guess, () => exponentOf(Math.abs(y), scale, exact))) return y
    }
  }
}

/** P(x) ~ exp(-|x| / scale). */
function discreteLaplace(words: Words, scale: number): number {
  for (;;) {
    const offset = words.below(scale)
    if (!smallExpCoin((k) => words.below(scale * k) < offset)) continue
    let times = 0
    while (smallExpCoin((k) => words.below(k) < 1)) times++
    const size = offset + scale * times
    const negative = words.next() % 2 === 1
    if (!negative) return size
    // Zero has one sign.
    if (size > 0) return -size
  }
}

/** True with probability exp(-g), g in [0, 1], out of coins of probability g / k. */
function smallExpCoin(coin: (k: number) => boolean): boolean {
  let k = 1
  while (coin(k)) k++
  return k % 2 === 1
}

/** True with probability exp(-g); `guess` is g within a few digits of its last. */
function expCoin(words: Words, guess: number, exact: () => Rational): boolean {
  let whole = Math.floor(guess)
  let rest: Rational | undefined
  let restGuess = guess - whole
  if (restGuess < 1e-6 || restGuess > 1 - 1e-6 || guess > 2 ** 20) {
    const { numerator, denominator } = exact()
    whole = Number(numerator / denominator)
    rest = { numerator: numerator % denominator, denominator }
    restGuess = ratio(rest)
  }
  for (let index = 0; index < whole; index++) if (!smallExpCoin((k) => words.below(k) < 1)) return false
  const fraction = (): Rational => {
    if (rest !== undefined) return rest
    const { numerator, denominator } = exact()
    return (rest = { numerator: numerator - BigInt(whole) * denominator, denominator })
  }
  return smallExpCoin((k) => coin(words, restGuess / k, () => divided(fraction(), k)))
}

/** True with the probability. 53 bits decide, and as many more as it takes when they fall on the edge. */
export function coin(words: Words, guess: number, exact: () => Rational): boolean {
  const drawn = (words.next() >>> 11) * 2 ** 32 + words.next()
  const u = drawn / TWO53
  if (Math.abs(u - guess) > DOUBT) return u < guess
  const { numerator, denominator } = exact()
  let [prefix, bits] = [BigInt(drawn), 53n]
  for (;;) {
    const edge = numerator << bits
    if ((prefix + 1n) * denominator <= edge) return true
    if (prefix * denominator >= edge) return false
    prefix = (prefix << 32n) + BigInt(words.next())
    bits += 32n
  }
}

/** (|y| - s^2 / t)^2 / 2 s^2 */
function exponentOf(size: number, scale: number, { numerator, denominator }: Rational): Rational {
  const [variance, unit] = [numerator * numerator, denominator * denominator]
  const t = BigInt(scale)
  const difference = BigInt(size) * t * unit - variance
  return { numerator: difference * difference, denominator: 2n * variance * unit * t * t }
}

function divided({ numerator, denominator }: Rational, by: number): Rational {
  return { numerator, denominator: denominator * BigInt(by) }
}

/** A double is a whole number over a power of two. */
export function rationalOf(value: number): Rational {
  let denominator = 1n
  let scaled = value
  while (!Number.isInteger(scaled)) {
    scaled *= 2
    denominator *= 2n
  }
  return { numerator: BigInt(scaled), denominator }
}

function ratio({ numerator, denominator }: Rational): number {
  return Number((numerator << 60n) / denominator) / 2 ** 60
}
