/**
 * The privacy loss of one step, as masses on a grid. Each cell's mass goes to its two ends so that the masses under both
 * neighbouring data sets are kept (connecting the dots, Doroshenko et al., arXiv 2207.04380): the result is never
 * below the truth, and above it by the square of the grid only.
 */
import { normalBetween, normalTail } from './normal.ts'

/** Which of two neighbouring data sets has the record. */
export type Direction = 'remove' | 'add'

export interface LossGrid {
  /** Index of the first mass: its loss is `first * step`. */
  readonly first: number
  readonly step: number
  readonly masses: Float64Array
  /** Mass of losses beyond the grid. */
  readonly infinite: number
}

/** Cells narrower than this, in standard deviations, are integrated at three points. */
const NARROW = 0.05
/** Gauss-Legendre, three points. */
const NODE = Math.sqrt(3 / 5)
/** A grid is at most some tens of megabytes. */
export const MAX_CELLS = 1 << 22

/**
 * @param q above 0, at most 1
 * @param tail mass that may lie beyond each end: above it counts as infinite loss, below it as the least loss of the grid
 * @returns undefined when the grid would have over `MAX_CELLS`
 */
export function lossGrid(
  direction: Direction,
  q: number,
  sigma: number,
  step: number,
  tail: number,
): LossGrid | undefined {
  const variance = sigma * sigma
  /** ln of the likelihood ratio of the mixture, rising in z, and its inverse. */
  const ratio = (z: number): number => logMixture(q, (2 * z - 1) / (2 * variance))
  const place = (loss: number): number => {
    // where e^loss overflows, the part without the record has no weight
    const excess = loss > 600 ? loss : Math.log(Math.expm1(loss) + q)
    return Number.isNaN(excess) ? Number.NEGATIVE_INFINITY : variance * (excess - Math.log(q)) + 0.5
  }
  const up = direction === 'remove'
  // Under the data set whose losses these are: the mixture, or N(0, s^2).
  const [low, high] = [-reachOf(0, sigma, tail), reachOf(up ? q : 0, sigma, tail)]
  const [least, most] = up ? [ratio(low), ratio(high)] : [-ratio(high), -ratio(low)]
  const first = Math.floor(least / step)
  const cells = Math.ceil(most / step) - first
  if (cells > MAX_CELLS) return undefined
  const masses = new Float64Array(cells + 1)
  const mixed = (from: number, to: number): [without: number, mixture: number] => massesOf(q, sigma, from, to)
  const at = (index: number): number => place(up ? index * step : -index * step)
  const share = -1 / Math.expm1(-step)
  let edge = at(first)
  for (let cell = 0; cell < cells; cell++) {
    const index = first + cell
    const next = at(index + 1)
    const [without, mixture] = up ? mixed(edge, next) : mixed(next, edge)
    const [own, other] = up ? [mixture, without] : [without, mixture]
    const upper = Math.min(own, Math.max(0, (own - other * Math.exp(index * step)) * share))
    masses[cell]! += own - upper
    masses[cell + 1]! += upper
    edge = next
  }
  const [start, end] = [at(first), edge]
  const below = up ? mixed(Number.NEGATIVE_INFINITY, start)[1] : mixed(start, Number.POSITIVE_INFINITY)[0]
  const above = up ? mixed(end, Number.POSITIVE_INFINITY)[1] : mixed(Number.NEGATIVE_INFINITY, end)[0]
  masses[0]! += below
  return { first, step, masses, infinite: above }
}

/** Where the upper tail of (1 - q) N(0, s^2) + q N(1, s^2) has the given mass, rounded up. */
function reachOf(q: number, sigma: number, tail: number): number {
  const mass = (z: number): number => (1 - q) * normalTail(z / sigma) + q * normalTail((z - 1) / sigma)
  let [low, high] = [0, 1 + 40 * sigma]
  for (let round = 0; round < 60; round++) {
    const middle = (low + high) / 2
    if (mass(middle) > tail) low = middle
    else high = middle
  }
  return high
}

/** ln(1 - q + q e^x). */
function logMixture(q: number, x: number): number {
  return x > 600 ? Math.log(q) + x : Math.log1p(q * Math.expm1(x))
}

/** Mass of a cell under N(0, s^2), and under the mixture with N(1, s^2). */
function massesOf(q: number, sigma: number, from: number, to: number): [without: number, mixture: number] {
  const width = (to - from) / sigma
  if (!(width < NARROW)) {
    const between = (shift: number): number => cellMass((from - shift) / sigma, (to - shift) / sigma)
    const without = between(0)
    return [without, (1 - q) * without + q * between(1)]
  }
  const [centre, half] = [(from + to) / 2, (to - from) / 2]
  const density = (shift: number): number => {
    const at = (node: number): number => {
      const z = (centre + node * half - shift) / sigma
      return Math.exp((-z * z) / 2)
    }
    return (5 * at(-NODE) + 8 * at(0) + 5 * at(NODE)) / 9
  }
  const scale = half / (sigma * Math.sqrt(2 * Math.PI))
  const without = scale * density(0)
  return [without, (1 - q) * without + q * scale * density(1)]
}

function cellMass(a: number, b: number): number {
  if (!(a < b)) return 0
  if (a === Number.NEGATIVE_INFINITY) return b === Number.POSITIVE_INFINITY ? 1 : normalTail(-b)
  if (b === Number.POSITIVE_INFINITY) return normalTail(a)
  return normalBetween(a, b)
}
