/** Bounding what one member or record can do: norms, and the bound that finds itself (Andrew et al., arXiv 1905.03871). */
import { EmptyInputError, NotFiniteError, ParameterRangeError } from '../errors.ts'

export interface Clipped {
  readonly norm: number
  /** min(1, C / norm), 1 at norm 0. */
  readonly factor: number
  /** Whether the norm was within C: what adaptive clipping counts. */
  readonly fits: boolean
  readonly values: Float64Array
}

/** The Euclidean norm, right for values whose squares overflow or vanish. @throws NotFiniteError */
export function l2Norm(values: ArrayLike<number>): number {
  const { most, root } = scaledNorm(values)
  return most * root
}

/** The norm is most * root. */
function scaledNorm(values: ArrayLike<number>): { most: number; root: number } {
  let most = 0
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!
    if (!Number.isFinite(value)) throw new NotFiniteError(`coordinate ${index} is ${value}`, { index })
    most = Math.max(most, Math.abs(value))
  }
  if (most === 0) return { most: 0, root: 0 }
  let sum = 0
  for (let index = 0; index < values.length; index++) sum += (values[index]! / most) ** 2
  return { most, root: Math.sqrt(sum) }
}

/** @throws NotFiniteError; ParameterRangeError unless C is above 0 */
export function clipToNorm(values: ArrayLike<number>, bound: number): Clipped {
  checkBound(bound)
  const { most, root } = scaledNorm(values)
  const norm = most * root
  const factor = norm <= bound ? 1 : bound / most / root
  return { norm, factor, fits: norm <= bound, values: Float64Array.from(values, (value) => value * factor) }
}

export interface AdaptiveClipping {
  /** Learning rate of ln C. */
  readonly eta: number
  /** The share of updates whose norm shall be within C. */
  readonly quantile: number
}

/**
 * The next bound: it shrinks when more than the wanted share fits, and grows when fewer do.
 * @param fitting how many norms were within C, with its noise
 * @param expected the number of members that this is a share of: under privacy the expected one, not the actual
 * @throws ParameterRangeError, EmptyInputError
 */
export function nextBound(
  bound: number,
  fitting: number,
  expected: number,
  { eta, quantile }: AdaptiveClipping,
): number {
  checkBound(bound)
  if (expected === 0) throw new EmptyInputError('nobody has a norm')
  if (!(expected > 0) || !Number.isFinite(expected)) throw new ParameterRangeError(`${expected} members are expected`)
  if (!(eta >= 0) || !Number.isFinite(eta)) throw new ParameterRangeError(`eta = ${eta} is not 0 or more`)
  if (!(quantile >= 0 && quantile <= 1)) throw new ParameterRangeError(`the quantile ${quantile} is not within 0 and 1`)
  if (!Number.isFinite(fitting)) throw new NotFiniteError(`the noisy count is ${fitting}`)
  return bound * Math.exp(-eta * (fitting / expected - quantile))
}

/**
 * The noise multiplier of the update when the count of fitting norms has standard deviation `countSigma`, so that both
 * together cost what z does.
 * @throws ParameterRangeError unless 0 < z < 2 countSigma
 */
export function splitNoise(z: number, countSigma: number): number {
  if (!(z > 0 && z < 2 * countSigma)) {
    throw new ParameterRangeError(`z = ${z} is not between 0 and 2 sigma_b = ${2 * countSigma}`)
  }
  return (z ** -2 - (2 * countSigma) ** -2) ** -0.5
}

function checkBound(bound: number): void {
  if (!(bound > 0) || !Number.isFinite(bound)) throw new ParameterRangeError(`the bound C = ${bound} is not above 0`)
}
