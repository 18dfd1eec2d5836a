/** Reals as integers mod 2^b, by stochastic rounding at 2^-f; nothing is clipped in silence. */
import { ModulusError, NotFiniteError, OutOfBoundError, ParameterRangeError } from '../errors.ts'
import { ThresholdError } from './errors.ts'

/** How a plan encodes: gamma = 2^-f, and |x| <= c for each coordinate. */
export interface Encoding {
  readonly f: number
  readonly c: number
}

/** Beyond it c 2^f is no integer that a double holds exactly. */
const MAX_F = 48
/** Standard deviations of noise that the modulus leaves room for: 2^-108 of a wrap. */
const NOISE_ROOM = 12

/** @throws ParameterRangeError */
export function checkEncoding({ f, c }: Encoding): void {
  if (!Number.isInteger(f) || f < 0 || f > MAX_F) throw new ParameterRangeError(`f = ${f} is not 0 to ${MAX_F}`)
  if (!(c > 0) || !Number.isFinite(c)) throw new ParameterRangeError(`the bound c = ${c} is no positive number`)
}

/** The largest |q| that an encoded coordinate has. */
export function integerBound({ f, c }: Encoding): number {
  return Math.ceil(c * 2 ** f)
}

/**
 * One coordinate: floor(v) or the integer above it, v = x 2^f, the latter with the probability of the fraction.
 * @param u uniform in [0, 1)
 * @throws NotFiniteError, OutOfBoundError (the real is tested, before it is rounded)
 */
export function roundStochastic(x: number, u: number, { f, c }: Encoding, index: number): number {
  if (!Number.isFinite(x)) throw new NotFiniteError(`coordinate ${index} is ${x}`, { index })
  if (Math.abs(x) > c) throw new OutOfBoundError(`coordinate ${index} is ${x}, beyond the bound ${c}`, { index })
  const scaled = x * 2 ** f
  const below = Math.floor(scaled)
  return u < scaled - below ? below + 1 : below
}

/** An integer that was rounded elsewhere. @throws NotFiniteError, OutOfBoundError */
export function checkInteger(q: number, bound: number, index: number): void {
  if (!Number.isFinite(q)) throw new NotFiniteError(`coordinate ${index} is ${q}`, { index })
  if (!Number.isInteger(q) || Math.abs(q) > bound) {
    throw new OutOfBoundError(`coordinate ${index} is ${q}, not an integer within ${bound}`, { index })
  }
}

/** A word mod 2^bits as a signed integer. */
export function signed(word: number, bits: number): number {
  return word >= 2 ** (bits - 1) ? word - 2 ** bits : word
}

/** @throws ParameterRangeError for a word that has more bits */
export function decodeWords(words: ArrayLike<number>, bits: number, f: number): Float64Array {
  const gamma = 2 ** -f
  return Float64Array.from(words, (word, index) => {
    if (!Number.isInteger(word) || word < 0 || word >= 2 ** bits) {
      throw new ParameterRangeError(`word ${index} has more than ${bits} bits`, { index })
    }
    return signed(word, bits) * gamma
  })
}

/** The room that a sum of n members takes, noise of standard deviation `noise` (integer units) included. */
function room(n: number, encoding: Encoding, noise: number): number {
  return 2 * (n * integerBound(encoding) + n + NOISE_ROOM * noise) + 1
}

/** Standard deviation of all noise, integer units, that a sum of n members leaves room for; below 0: not even without noise. */
export function noiseRoom(n: number, encoding: Encoding & { readonly bits: number }): number {
  return (2 ** encoding.bits - room(n, encoding, 0)) / (2 * NOISE_ROOM)
}

/** The least number of bits whose modulus holds any sum. @throws ModulusError over 32 */
export function leastBits(n: number, encoding: Encoding, noise: number): number {
  checkEncoding(encoding)
  if (!Number.isInteger(n) || n < 1) throw new ParameterRangeError(`${n} is no number of members`)
  if (!(noise >= 0) || !Number.isFinite(noise)) throw new ParameterRangeError(`noise_sd = ${noise} is not 0 or more`)
  const needed = room(n, encoding, noise)
  for (let bits = 1; bits <= 32; bits++) if (needed <= 2 ** bits) return bits
  throw new ModulusError(`a sum of ${n} members takes ${needed} values, more than 2^32`)
}

export interface SumParameters extends Encoding {
  /** Shares that restore a secret. */
  readonly t: number
  readonly bits: number
  /** Coordinates. */
  readonly d: number
}

/**
 * What must hold before anybody takes part.
 * @param n members that the plan lists
 * @param noise standard deviation of all noise in the sum, integer units
 * @param holders of the shares of one member, itself among them: more than half of them have to restore a secret, so that no two
 *   sets of them can give away both of its secrets
 * @throws ParameterRangeError, ModulusError, ThresholdError
 */
export function checkSum(parameters: SumParameters, n: number, noise = 0, holders = n): void {
  const { t, bits } = parameters
  checkEncoding(parameters)
  if (!(noise >= 0) || !Number.isFinite(noise)) throw new ParameterRangeError(`noise_sd = ${noise} is not 0 or more`)
  if (!Number.isInteger(bits) || bits < 1 || bits > 32 || room(n, parameters, noise) > 2 ** bits) {
    throw new ModulusError(`a sum of ${n} members does not fit ${bits} bits`)
  }
  if (n < 3 || !Number.isInteger(t) || !(t > holders / 2) || t > holders) {
    throw new ThresholdError(`a threshold of ${t} among ${holders} who hold shares is not allowed`)
  }
}
