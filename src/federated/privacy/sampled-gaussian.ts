/**
 * Renyi divergence of one step of the Gaussian mechanism on a Poisson sample (Mironov, Talwar, Zhang, arXiv 1908.10530):
 * ln A / (a - 1), A = E[(1 - q + q r)^a], r = exp((2 z - 1) / 2 s^2), z ~ N(0, s^2). Both ways here compute A - 1 out of
 * terms of one sign, so that it is right to the last digits where A is 1 plus almost nothing.
 */
import { logAdd } from './normal.ts'

/** Values of one rate and noise; a ledger asks for the same ones again and again. */
const cache = new Map<string, number>()
const MAX_CACHE = 20_000
/** e^-45 of the peak is below the last digit of a sum of some thousand terms. */
const TAIL = 45
const MAX_POINTS = 60_000

/** @param order above 1 */
export function sampledGaussianRdp(q: number, sigma: number, order: number): number {
  if (q === 0) return 0
  if (sigma === 0) return Number.POSITIVE_INFINITY
  if (q === 1) return order / (2 * sigma * sigma)
  const key = `${q} ${sigma} ${order}`
  let value = cache.get(key)
  if (value === undefined) {
    const log = Number.isInteger(order) ? ofInteger(q, sigma, order) : ofReal(q, sigma, order)
    // ln A out of ln(A - 1)
    value = (log > 30 ? log : Math.log1p(Math.exp(log))) / (order - 1)
    if (cache.size >= MAX_CACHE) cache.clear()
    cache.set(key, value)
  }
  return value
}

/** ln(A - 1): sum over k of the binomial weights times e^(k (k - 1) / 2 s^2) - 1, which is 0 for k = 0 and 1. */
function ofInteger(q: number, sigma: number, order: number): number {
  let sum = Number.NEGATIVE_INFINITY
  let binomial = 0
  for (let k = 1; k <= order; k++) {
    binomial += Math.log((order - k + 1) / k)
    if (k < 2) continue
    const weight = binomial + k * Math.log(q) + (order - k) * Math.log1p(-q)
    sum = logAdd(sum, weight + logExpm1((k * (k - 1)) / (2 * sigma * sigma)))
  }
  return sum
}

/**
 * ln(A - 1) by the trapezoidal rule on E[f(q (r - 1))], f(t) = (1 + t)^a - 1 - a t >= 0 (E[r] is 1). The integrand is
 * analytic in a strip of half-width pi s^2, so that the rule converges faster than any power of its step.
 */
function ofReal(q: number, sigma: number, order: number): number {
  const reach = sigma * Math.sqrt(2 * (TAIL + order * Math.LN2))
  const [from, to] = [-reach, order + reach]
  const wanted = Math.min(sigma / 2, (sigma * sigma) / 2.5)
  const step = Math.max(wanted, (to - from) / MAX_POINTS)
  let sum = Number.NEGATIVE_INFINITY
  for (let z = from; z <= to; z += step) {
    const logRatio = (2 * z - 1) / (2 * sigma * sigma)
    sum = logAdd(sum, logExcess(q, logRatio, order) - (z * z) / (2 * sigma * sigma))
  }
  return sum + Math.log(step / (sigma * Math.sqrt(2 * Math.PI)))
}

/** ln f(q (r - 1)) out of ln r. */
function logExcess(q: number, logRatio: number, order: number): number {
  const t = q * Math.expm1(logRatio)
  if (Math.abs(t) < 1e-2) return logSeries(t, order)
  const power = order * (logRatio > 600 ? Math.log(q) + logRatio : Math.log1p(t))
  if (power > 34) return power
  return Math.log(Math.expm1(power) - order * t)
}

/** The same by the binomial series from its second term on: near 0 the closed form would lose its digits. */
function logSeries(t: number, order: number): number {
  let term = (order * (order - 1)) / 2
  let sum = term
  for (let k = 3; k < 40; k++) {
    term *= ((order - k + 1) / k) * t
    sum += term
    if (Math.abs(term) < Math.abs(sum) * 1e-17) break
  }
  return Math.log(sum) + 2 * Math.log(Math.abs(t))
}

function logExpm1(x: number): number {
  return x > 37 ? x : Math.log(Math.expm1(x))
}
