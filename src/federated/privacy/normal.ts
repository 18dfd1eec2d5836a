/** The normal distribution to the last digits, far tails included: what accountants rest on. */

const SQRT_PI = Math.sqrt(Math.PI)
/** Up to here the series of erf loses no more than two digits in 1 - erf; from here the fraction converges. */
const SERIES_UNTIL = 1.5
const MAX_TERMS = 400

/** exp(x^2) erfc(x) for x >= 0: stays finite where erfc underflows. */
function scaledErfc(x: number): number {
  return x < SERIES_UNTIL ? Math.exp(x * x) - series(x) : fraction(x)
}

/** exp(x^2) erf(x) = 2/sqrt(pi) sum 2^n x^(2n+1) / (2n+1)!!: all terms of one sign. */
function series(x: number): number {
  let term = x
  let sum = x
  for (let n = 1; n < MAX_TERMS && term > sum * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1)
    sum += term
  }
  return (2 / SQRT_PI) * sum
}

/** The continued fraction of Laplace, x + (1/2)/(x + (2/2)/(x + (3/2)/..)), by Lentz's method. */
function fraction(x: number): number {
  let value = x
  let c = x
  let d = 0
  for (let n = 1; n < MAX_TERMS; n++) {
    d = 1 / (x + (n / 2) * d)
    c = x + n / 2 / c
    const change = c * d
    value *= change
    if (Math.abs(change - 1) < 1e-16) break
  }
  return 1 / (SQRT_PI * value)
}

/** P(Z > x). */
export function normalTail(x: number): number {
  const z = x / Math.SQRT2
  if (z >= 0) return 0.5 * scaledErfc(z) * Math.exp(-z * z)
  return 1 - 0.5 * scaledErfc(-z) * Math.exp(-z * z)
}

/** ln P(Z > x). */
export function logNormalTail(x: number): number {
  const z = x / Math.SQRT2
  if (z >= 0) return Math.log(0.5 * scaledErfc(z)) - z * z
  return Math.log1p(-0.5 * scaledErfc(-z) * Math.exp(-z * z))
}

/** P(a < Z <= b), without the loss of subtracting two numbers near one. */
export function normalBetween(a: number, b: number): number {
  if (!(a < b)) return 0
  if (a > 0) return normalTail(a) - normalTail(b)
  if (b < 0) return normalTail(-b) - normalTail(-a)
  return 1 - normalTail(-a) - normalTail(b)
}

/** ln(e^a + e^b). */
export function logAdd(a: number, b: number): number {
  const [low, high] = a < b ? [a, b] : [b, a]
  return high === Number.NEGATIVE_INFINITY || high === Number.POSITIVE_INFINITY
    ? high
    : high + Math.log1p(Math.exp(low - high))
}

/** ln(e^a - e^b), a >= b. */
export function logSubtract(a: number, b: number): number {
  return b === Number.NEGATIVE_INFINITY ? a : a + Math.log(-Math.expm1(b - a))
}
