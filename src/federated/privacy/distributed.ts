/**
 * Noise that no one adds alone: n shares of discrete noise inside a secure sum (Kairouz, Liu, Steinke 2021, arXiv
 * 2102.06387; Agarwal, Kairouz, Liu 2021, arXiv 2110.04995). Rounding makes the sensitivity larger, and that is charged.
 */
import { ParameterRangeError } from '../errors.ts'
import { checkDelta } from './events.ts'
import type { Spending } from './events.ts'
import { logAdd } from './normal.ts'
import { checkOrders, epsilonOfRdp } from './renyi.ts'

/** What the rounding does to the norm c of a clipped update, in integer units. */
export type Rounding =
  /** The member rounds again until the norm fits: only then the smaller bound is true. */
  | 'conditional'
  /** One that rounds the sum of many records once: c + sqrt(d). */
  | 'worst'
  /** Nothing was rounded. */
  | 'none'

export interface DistributedNoise {
  /** Shares in the sum: those that surely survive, less those that collude. */
  readonly n: number
  /** Norm that an update is clipped to. */
  readonly clip: number
  /** The unit is 2^-f. */
  readonly f: number
  /** Coordinates. */
  readonly d: number
  /** Standard deviation of one share, integer units. */
  readonly shareSigma: number
  readonly mechanism: 'gaussian' | 'skellam'
  readonly rounding: Rounding
}

export interface NoiseBounds {
  /** Sensitivities in L2 and L1, integer units. */
  readonly delta2: number
  readonly delta1: number
  /** Distance of the sum of discrete Gaussians from a discrete Gaussian, a coordinate. */
  readonly tau: number
}

/** Orders at which the formulas hold. */
export const INTEGER_ORDERS: readonly number[] = [...Array.from({ length: 127 }, (_, index) => index + 2), 256]

/** The share of noise that gives the sum a noise multiplier of z. */
export function shareSigmaOf(z: number, clip: number, f: number, n: number): number {
  return (z * clip * 2 ** f) / Math.sqrt(n)
}

/** @throws ParameterRangeError */
export function noiseBounds(noise: DistributedNoise): NoiseBounds {
  checkNoise(noise)
  const { n, d, shareSigma } = noise
  const delta2 = sensitivity(noise)
  let tau = 0
  for (let k = 1; k < n; k++) {
    tau += Math.exp((-2 * Math.PI * Math.PI * shareSigma * shareSigma * k) / (k + 1))
  }
  return { delta2, delta1: delta2 * Math.min(Math.sqrt(d), delta2), tau: 10 * tau }
}

function sensitivity({ clip, f, d, rounding }: DistributedNoise): number {
  const c = clip * 2 ** f
  const worst = c + Math.sqrt(d)
  if (rounding === 'none') return c
  if (rounding === 'worst') return worst
  // beta = e^-1/2: half of all roundings fit, and 2 ln(1 / beta) is 1.
  return Math.min(worst, Math.sqrt(c * c + d / 4 + (c + Math.sqrt(d) / 2)))
}

/** Renyi divergence of one step at `order`, all members taking part. */
function stepRdp(noise: DistributedNoise, { delta2, delta1, tau }: NoiseBounds, order: number): number {
  const { n, d, shareSigma } = noise
  if (noise.mechanism === 'skellam') {
    const mu = n * shareSigma * shareSigma
    const rest = ((2 * order - 1) * delta2 * delta2 + 6 * delta1) / (4 * mu * mu)
    return (order * delta2 * delta2) / (2 * mu) + Math.min(rest, (3 * delta1) / (2 * mu))
  }
  const total = Math.sqrt(n) * shareSigma
  const [l2, l1] = [delta2 / total, delta1 / total]
  return Math.min(
    (order * l2 * l2) / 2 + tau * d,
    (order / 2) * (l2 * l2 + 2 * l1 * tau + tau * tau * d),
    (order / 2) * (l2 + Math.sqrt(d) * tau) ** 2,
  )
}

/**
 * The same on a Poisson sample: at an integer order the sum over the lattice equals the integral of the continuous
 * Gaussian, since shifts by integers leave theta sums as they are; tau pays for the sum of shares being none.
 */
function sampledRdp(
  { n, d, shareSigma }: DistributedNoise,
  { delta2, tau }: NoiseBounds,
  q: number,
  order: number,
): number {
  const l2 = delta2 / (Math.sqrt(n) * shareSigma)
  let sum = Number.NEGATIVE_INFINITY
  let binomial = 0
  for (let k = 0; k <= order; k++) {
    if (k > 0) binomial += Math.log((order - k + 1) / k)
    const weight = binomial + (order - k) * Math.log1p(-q) + k * Math.log(q)
    sum = logAdd(sum, weight + (k * (k - 1) * l2 * l2) / 2)
  }
  return Math.max(0, sum) / (order - 1) + (tau * d * (2 * order - 1)) / (order - 1)
}

/** Totals by order. @throws ParameterRangeError */
export function distributedRdp(
  noise: DistributedNoise,
  steps: number,
  q = 1,
  orders: readonly number[] = INTEGER_ORDERS,
): number[] {
  checkOrders(orders)
  if (!(q >= 0 && q <= 1)) throw new ParameterRangeError(`the sampling rate q = ${q} is not within 0 and 1`)
  if (!Number.isSafeInteger(steps) || steps < 0) throw new ParameterRangeError(`${steps} steps are no natural number`)
  const bounds = noiseBounds(noise)
  if (q === 0 || steps === 0) return orders.map(() => 0)
  if (q === 1) return orders.map((order) => steps * stepRdp(noise, bounds, order))
  if (noise.mechanism === 'skellam') {
    throw new ParameterRangeError('Skellam noise has no bound for sampled members: use the discrete Gaussian')
  }
  const broken = orders.find((order) => !Number.isInteger(order))
  if (broken !== undefined) throw new ParameterRangeError(`with sampling, orders are integers, not ${broken}`)
  return orders.map((order) => steps * sampledRdp(noise, bounds, q, order))
}

/** @throws ParameterRangeError */
export function distributedEpsilon(
  noise: DistributedNoise,
  steps: number,
  delta: number,
  q = 1,
  orders: readonly number[] = INTEGER_ORDERS,
): Spending {
  checkDelta(delta)
  return epsilonOfRdp(orders, distributedRdp(noise, steps, q, orders), delta)
}

function checkNoise({ n, clip, f, d, shareSigma }: DistributedNoise): void {
  const positive = (value: number, what: string): void => {
    if (!(value > 0) || !Number.isFinite(value)) throw new ParameterRangeError(`${what} = ${value} is not above 0`)
  }
  for (const [value, what] of [
    [n, 'n'],
    [d, 'd'],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new ParameterRangeError(`${what} = ${value} is no number from 1`)
  }
  if (!Number.isInteger(f) || f < 0) throw new ParameterRangeError(`f = ${f} is no natural number`)
  positive(clip, 'C')
  if (!(shareSigma >= 0) || !Number.isFinite(shareSigma)) {
    throw new ParameterRangeError(`sigma_i = ${shareSigma} is not 0 or more`)
  }
}
