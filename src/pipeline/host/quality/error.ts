/** How far rows lie from what they should be. */

/** Digits of a measured figure that count: what lies behind them differs from processor to processor. */
const DIGITS = 3

/** What is no number, or has no bound, is the largest one: it crosses as JSON. */
export function rounded(value: number, digits = DIGITS): number {
  return Number.isFinite(value) ? Number(value.toPrecision(digits)) : Number.MAX_VALUE
}

/**
 * Mean over the rows of |got - wanted| / |wanted - base|: relative to what a layer adds to its input `base`, since that
 * input may have elements of any size that no later norm lets through.
 */
export function relativeError(got: Float32Array, wanted: Float32Array, base: Float32Array, width: number): number {
  const rows = wanted.length / width
  let sum = 0
  for (let row = 0; row < rows; row++) {
    let [error, size] = [0, 0]
    for (let at = row * width; at < (row + 1) * width; at++) {
      error += (got[at]! - wanted[at]!) ** 2
      size += (wanted[at]! - base[at]!) ** 2
    }
    sum += size === 0 ? (error === 0 ? 0 : Number.MAX_VALUE) : Math.sqrt(error / size)
  }
  return rounded(sum / rows)
}
