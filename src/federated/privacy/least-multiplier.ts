/** From a budget to noise. */

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
