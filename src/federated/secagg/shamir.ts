/**
 * Shamir's secret sharing, bytewise over GF(2^8) with the polynomial 0x11b: any t of n shares restore the secret, fewer
 * say nothing about it. Tables are indexed by secret bytes: whoever can time this process's cache sees more than shares.
 */
import { EmptyInputError, ParameterRangeError, VectorLengthError } from '../errors.ts'
import { DuplicateShareError, ThresholdError } from './errors.ts'

export interface Share {
  /** Place of the holder, 1 to 255; the secret lies at 0. */
  readonly x: number
  /** As long as the secret. */
  readonly y: Uint8Array
}

const MAX_SHARES = 255

/** Powers of the generator 3, twice over, and their logarithms. */
const { EXP, LOG } = tables()

function tables(): { EXP: Uint8Array; LOG: Uint8Array } {
  const [exp, log] = [new Uint8Array(510), new Uint8Array(256)]
  let power = 1
  for (let exponent = 0; exponent < 255; exponent++) {
    exp[exponent] = exp[exponent + 255] = power
    log[power] = exponent
    const doubled = (power << 1) ^ (power & 0x80 ? 0x11b : 0)
    power ^= doubled
  }
  return { EXP: exp, LOG: log }
}

function multiply(left: number, right: number): number {
  return left === 0 || right === 0 ? 0 : EXP[LOG[left]! + LOG[right]!]!
}

function divide(left: number, right: number): number {
  return left === 0 ? 0 : EXP[LOG[left]! + 255 - LOG[right]!]!
}

/**
 * @param coefficients of x^1 .. x^(t-1), each as long as the secret: uniform and secret, or nothing is hidden
 * @returns shares for x = 1 .. n
 * @throws ThresholdError unless 2 <= t <= n <= 255; EmptyInputError; VectorLengthError
 */
export function split(secret: Uint8Array, n: number, t: number, coefficients: readonly Uint8Array[]): Share[] {
  if (!Number.isInteger(n) || !Number.isInteger(t) || t < 2 || t > n || n > MAX_SHARES) {
    throw new ThresholdError(`${t} of ${n} shares are not 2 <= t <= n <= ${MAX_SHARES}`)
  }
  if (secret.length === 0) throw new EmptyInputError('the secret has no byte')
  if (coefficients.length !== t - 1 || coefficients.some(({ length }) => length !== secret.length)) {
    throw new VectorLengthError(`${t} shares take ${t - 1} coefficients of ${secret.length} bytes`)
  }
  return Array.from({ length: n }, (_, place) => {
    const x = place + 1
    const y = new Uint8Array(secret.length)
    for (const coefficient of [secret, ...coefficients].reverse()) {
      for (let byte = 0; byte < y.length; byte++) y[byte] = multiply(y[byte]!, x) ^ coefficient[byte]!
    }
    return { x, y }
  })
}

/** The value at 0 of the polynomial through all shares given. @throws what `checkShares` throws */
export function combine(shares: readonly Share[]): Uint8Array {
  checkShares(shares)
  return interpolate(shares, 0)
}

/** @throws ThresholdError for fewer than two, ParameterRangeError, DuplicateShareError, VectorLengthError */
export function checkShares(shares: readonly Share[]): void {
  if (shares.length < 2) throw new ThresholdError(`${shares.length} shares restore nothing`)
  const seen = new Set<number>()
  for (const [index, { x, y }] of shares.entries()) {
    if (!Number.isInteger(x) || x < 1 || x > MAX_SHARES) {
      throw new ParameterRangeError(`share ${index} has place ${x}, not 1 to ${MAX_SHARES}`, { index })
    }
    if (seen.has(x)) throw new DuplicateShareError(`two shares have place ${x}`, { index })
    if (y.length !== shares[0]!.y.length) throw new VectorLengthError(`share ${index} has another length`, { index })
    seen.add(x)
  }
}

/** The polynomial through distinct shares, at `x`. */
export function interpolate(shares: readonly Share[], x: number): Uint8Array {
  const out = new Uint8Array(shares[0]!.y.length)
  for (const one of shares) {
    let weight = 1
    for (const other of shares) {
      if (other.x !== one.x) weight = multiply(weight, divide(other.x ^ x, other.x ^ one.x))
    }
    if (weight === 0) continue
    for (let byte = 0; byte < out.length; byte++) out[byte]! ^= multiply(weight, one.y[byte]!)
  }
  return out
}
