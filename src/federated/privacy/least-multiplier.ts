/** From a budget to noise. */
import { accountedEpsilon } from './accounting.ts'
import type { LedgerEvent } from './ledger-entries.ts'

/** The least z, within 1e-6, whose epsilon is not above `epsilon`; undefined: none. */
export function leastMultiplier(epsilonAt: (z: number) => number, epsilon: number): number | undefined {
  let [low, high] = [0.05, 1]
  while (epsilonAt(high) > epsilon) {
    high *= 2
    if (high > 2 ** 20) return undefined
  }
  for (let step = 0; step < 40 && high - low > 1e-6 * high; step++) {
    const middle = (low + high) / 2
    if (epsilonAt(middle) > epsilon) low = middle
    else high = middle
  }
  return high
}

/** The smaller bound takes a composition each time: within this share of the least is near enough. */
const TIGHT_SHARE = 1e-4

/**
 * The same by the smaller of both accountants, within 1e-4.
 * @param enough a multiplier that keeps within epsilon: where one accountant is already satisfied, the other needs no more
 */
export function leastByBoth(
  eventsAt: (z: number) => readonly LedgerEvent[],
  { epsilon, delta }: { readonly epsilon: number; readonly delta: number },
  enough: number,
): number {
  const fits = (z: number): boolean => accountedEpsilon(eventsAt(z), delta, epsilon).epsilon <= epsilon
  let [low, high] = [enough / 2, enough]
  while (fits(low)) [low, high] = [low / 2, low]
  while (high - low > TIGHT_SHARE * high) {
    const middle = (low + high) / 2
    if (fits(middle)) high = middle
    else low = middle
  }
  return high
}
