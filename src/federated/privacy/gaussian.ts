/** The exact curve of the Gaussian mechanism without sampling (Balle and Wang, arXiv 1805.06530): T steps are one. */
import { ParameterRangeError } from '../errors.ts'
import { checkDelta, checkEvent } from './events.ts'
import { logNormalTail, logSubtract } from './normal.ts'

/** ln delta at epsilon, for a noise multiplier s: Phi(1/2s - e s) - e^e Phi(-1/2s - e s). */
function logDelta(epsilon: number, sigma: number): number {
  const [half, shift] = [1 / (2 * sigma), epsilon * sigma]
  const upper = logNormalTail(shift - half)
  const lower = epsilon + logNormalTail(shift + half)
  return lower >= upper ? Number.NEGATIVE_INFINITY : logSubtract(upper, lower)
}

/**
 * The least epsilon at which `steps` releases with noise multiplier sigma are (epsilon, delta)-private.
 * @throws ParameterRangeError
 */
export function gaussianEpsilon(sigma: number, steps: number, delta: number): number {
  checkEvent({ q: 1, sigma, steps })
  checkDelta(delta)
  if (steps === 0 || sigma === Number.POSITIVE_INFINITY) return 0
  if (sigma === 0) return Number.POSITIVE_INFINITY
  return gaussianEpsilonOf(sigma / Math.sqrt(steps), delta)
}

/** Of one release. */
export function gaussianEpsilonOf(sigma: number, delta: number): number {
  const wanted = Math.log(delta)
  if (logDelta(0, sigma) <= wanted) return 0
  let high = 1
  while (logDelta(high, sigma) > wanted) {
    high *= 2
    if (high === Number.POSITIVE_INFINITY) throw new ParameterRangeError(`sigma = ${sigma} is too small to account for`)
  }
  let low = 0
  for (let round = 0; round < 200 && high - low > high * 1e-16; round++) {
    const middle = (low + high) / 2
    if (logDelta(middle, sigma) > wanted) low = middle
    else high = middle
  }
  // Rounded up, never down.
  return high
}
