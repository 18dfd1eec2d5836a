/** What an accountant counts: steps of a mechanism that were executed. */
import { ParameterRangeError } from '../errors.ts'

/** Steps of the Gaussian mechanism on a Poisson sample. */
export interface GaussianEvent {
  /** Sampling rate, 0 to 1. */
  readonly q: number
  /** Noise multiplier: standard deviation over sensitivity. */
  readonly sigma: number
  readonly steps: number
}

export interface Spending {
  readonly epsilon: number
  /** The Renyi order that gave it; null where none had to be looked for. */
  readonly order: number | null
}

/** @throws ParameterRangeError */
export function checkEvent({ q, sigma, steps }: GaussianEvent, index?: number): void {
  const place = index === undefined ? {} : { index }
  if (!(q >= 0 && q <= 1)) throw new ParameterRangeError(`the sampling rate q = ${q} is not within 0 and 1`, place)
  if (!(sigma >= 0)) throw new ParameterRangeError(`the noise multiplier sigma = ${sigma} is not 0 or more`, place)
  if (!Number.isSafeInteger(steps) || steps < 0) {
    throw new ParameterRangeError(`${steps} steps are no natural number`, place)
  }
}

/** @throws ParameterRangeError */
export function checkDelta(delta: number): void {
  if (!(delta > 0 && delta < 1)) throw new ParameterRangeError(`delta = ${delta} is not between 0 and 1`)
}

/** Steps that touch data at all. */
export function isSpending({ q, steps, sigma }: GaussianEvent): boolean {
  return q > 0 && steps > 0 && sigma < Number.POSITIVE_INFINITY
}
