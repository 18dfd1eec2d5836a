/**
 * Epsilon by numeric composition of privacy losses. The masses are tilted towards the loss that matters before they are
 * transformed, so that rounding is relative to it and delta may be as small as it likes.
 */
import { ParameterRangeError } from '../errors.ts'
import { checkDelta, checkEvent, isSpending } from './events.ts'
import type { GaussianEvent } from './events.ts'
import { transform } from './fft.ts'
import { gaussianEpsilonOf } from './gaussian.ts'
import { lossGrid, MAX_CELLS } from './loss-distribution.ts'
import type { Direction, LossGrid } from './loss-distribution.ts'
import { composedRdp } from './renyi.ts'

/** This share of delta may be spent on losses beyond the grids. */
const TAIL_SHARE = 1e-4
/** Epsilon may be above the truth by this share for the sake of the grid. */
const GRID_ERROR = 3e-3
/** Finer grids are tried so often; each takes the error down to a quarter or less. */
const MAX_REFINEMENTS = 8
/** ln of the mass that may lie beyond the window of the composition. */
const WINDOW_TAIL = 45
/** Orders that may bound a tail: large epsilons need tilts far below those of the accountant. */
const TILTED_ORDERS: readonly number[] = Array.from({ length: 55 }, (_, index) => 1 + 2 ** ((index - 30) / 3))

/** One event with its loss: `tilted` sums to 1, `log` is ln of what it was divided by. */
interface TiltedLoss {
  readonly grid: LossGrid
  readonly steps: number
  readonly tilted: Float64Array
  readonly log: number
}

/**
 * Never below the true value, at most 1 % above it.
 * @param enough a bound that is at most this large is not made finer
 * @throws ParameterRangeError, also for noise so small that no grid holds its losses
 */
export function composedEpsilon(events: readonly GaussianEvent[], delta: number, enough: number = 0): number {
  checkDelta(delta)
  for (const [index, event] of events.entries()) checkEvent(event, events.length === 1 ? undefined : index)
  const spending = events.filter(isSpending)
  if (spending.length === 0) return 0
  if (spending.some(({ sigma }) => sigma === 0)) return Number.POSITIVE_INFINITY
  if (spending.every(({ q }) => q === 1)) {
    const precision = spending.reduce((sum, { sigma, steps }) => sum + steps / (sigma * sigma), 0)
    return gaussianEpsilonOf(1 / Math.sqrt(precision), delta)
  }
  const { tilt, bound } = chernoff(spending, delta)
  const steps = spending.reduce((sum, event) => sum + event.steps, 0)
  // The error of the grid in the exponent of Chernoff's bound, which is a fair guess of that in epsilon.
  const step = Math.sqrt((24 * GRID_ERROR * bound) / (steps * (tilt + 1)))
  const guess = { step, tilt, bound, enough }
  const removed = refined('remove', spending, delta, guess)
  // The other direction is hardly ever the worse one: a coarse bound on it shows that at once.
  const added = epsilonOf('add', spending, delta, guess)
  return added <= removed ? removed : Math.max(removed, refined('add', spending, delta, guess))
}

interface Guess {
  readonly step: number
  readonly tilt: number
  readonly bound: number
  readonly enough: number
}

/** The error goes with the square of the step: two grids tell it. */
function refined(direction: Direction, events: readonly GaussianEvent[], delta: number, guess: Guess): number {
  let { step } = guess
  let coarse = epsilonOf(direction, events, delta, { ...guess, step })
  for (let attempt = 0; attempt < MAX_REFINEMENTS && coarse > guess.enough; attempt++) {
    const finer = epsilonOf(direction, events, delta, { ...guess, step: step / 2 })
    const error = (coarse - finer) / 3
    if (finer === 0 || !(error > GRID_ERROR * finer)) return Math.min(coarse, finer)
    const wanted = Math.sqrt((GRID_ERROR * finer) / error)
    step /= wanted < 0.25 ? 8 : 2
    coarse = finer
  }
  return coarse
}

/** Where exp(tilt * loss) bounds the tail best, and the epsilon of that bound. */
function chernoff(events: readonly GaussianEvent[], delta: number): { tilt: number; bound: number } {
  const rdp = composedRdp(events, TILTED_ORDERS)
  let best = { tilt: 1, bound: Number.POSITIVE_INFINITY }
  for (const [index, order] of TILTED_ORDERS.entries()) {
    const bound = rdp[index]! - Math.log(delta) / (order - 1)
    if (bound < best.bound) best = { tilt: order - 1, bound }
  }
  return best
}

function epsilonOf(
  direction: Direction,
  events: readonly GaussianEvent[],
  delta: number,
  { step: wanted, tilt, bound }: Guess,
): number {
  const tail = (TAIL_SHARE * delta) / events.reduce((sum, event) => sum + event.steps, 0)
  // A grid that would be too large is made coarser: the bound stays a bound.
  for (let step = wanted; step < bound; step *= 2) {
    const losses = events.map((event) => tiltedLoss(direction, event, { step, tilt, tail }))
    if (!losses.every((loss) => loss !== undefined)) continue
    const window = windowOf(losses)
    const size = 2 ** Math.ceil(Math.log2((window.to - window.from) / step + 2))
    if (size > MAX_CELLS / 2) continue
    const start = Math.floor(window.from / step)
    return readEpsilon(compose(losses, size, start), losses, { delta, step, tilt, start })
  }
  throw new ParameterRangeError('the losses of these steps are too large to be composed; use the Renyi accountant')
}

function tiltedLoss(
  direction: Direction,
  { q, sigma, steps }: GaussianEvent,
  { step, tilt, tail }: { readonly step: number; readonly tilt: number; readonly tail: number },
): TiltedLoss | undefined {
  const grid = lossGrid(direction, q, sigma, step, tail)
  if (grid === undefined) return undefined
  const log = logMoment(grid, tilt)
  const tilted = grid.masses.map((mass, cell) => mass * Math.exp(tilt * (grid.first + cell) * step - log))
  return { grid, steps, tilted, log }
}

/** ln E[exp(tilt * loss)] over the finite losses. */
function logMoment({ masses, first, step }: LossGrid, tilt: number): number {
  let most = Number.NEGATIVE_INFINITY
  for (let cell = 0; cell < masses.length; cell++) {
    if (masses[cell]! > 0) most = Math.max(most, Math.log(masses[cell]!) + tilt * (first + cell) * step)
  }
  let sum = 0
  for (let cell = 0; cell < masses.length; cell++) {
    if (masses[cell]! > 0) sum += Math.exp(Math.log(masses[cell]!) + tilt * (first + cell) * step - most)
  }
  return most + Math.log(sum)
}

/** Losses between which all but e^-45 of the tilted composition lies, by Chernoff's bound to both sides. */
function windowOf(losses: readonly TiltedLoss[]): { from: number; to: number } {
  let [mean, variance] = [0, 0]
  for (const { grid, steps, tilted } of losses) {
    let [first, second] = [0, 0]
    for (let cell = 0; cell < tilted.length; cell++) {
      const loss = (grid.first + cell) * grid.step
      first += tilted[cell]! * loss
      second += tilted[cell]! * loss * loss
    }
    mean += steps * first
    variance += steps * Math.max(0, second - first * first)
  }
  const natural = Math.sqrt((2 * WINDOW_TAIL) / Math.max(variance, 1e-300))
  const extreme = Math.max(
    ...losses.map(({ grid }) => Math.max(-grid.first, grid.first + grid.masses.length) * grid.step),
  )
  const most = Math.min(natural, 600 / extreme)
  const reach = (side: number): number => {
    let best = Number.POSITIVE_INFINITY
    for (let halving = 0; halving < 6; halving++) {
      const t = (side * most) / 2 ** halving
      const growth = losses.reduce((sum, loss) => sum + loss.steps * logGrowth(loss, t), 0)
      best = Math.min(best, (growth - t * mean + WINDOW_TAIL) / Math.abs(t))
    }
    return best
  }
  return { from: mean - reach(-1), to: mean + reach(1) }
}

/** ln E[exp(t * loss)] of a tilted loss; infinite where it overflows, and then another t is the better bound. */
function logGrowth({ grid, tilted }: TiltedLoss, t: number): number {
  const ratio = Math.exp(t * grid.step)
  let weight = Math.exp(t * grid.first * grid.step)
  let sum = 0
  for (let cell = 0; cell < tilted.length; cell++) {
    sum += tilted[cell]! * weight
    weight *= ratio
  }
  return Number.isNaN(sum) ? Number.POSITIVE_INFINITY : Math.log(sum)
}

/** The tilted masses of the sum of all losses, from index `start` on. */
function compose(losses: readonly TiltedLoss[], size: number, start: number): Float64Array {
  const logs = new Float64Array(size)
  const angles = new Float64Array(size)
  for (const { grid, steps, tilted } of losses) {
    const real = new Float64Array(size)
    const imaginary = new Float64Array(size)
    for (let cell = 0; cell < tilted.length; cell++) real[modulo(grid.first + cell, size)]! += tilted[cell]!
    transform(real, imaginary)
    for (let k = 0; k < size; k++) {
      logs[k]! += steps * Math.log(Math.hypot(real[k]!, imaginary[k]!))
      angles[k]! += steps * Math.atan2(imaginary[k]!, real[k]!)
    }
  }
  const real = new Float64Array(size)
  const imaginary = new Float64Array(size)
  for (let k = 0; k < size; k++) {
    const length = Math.exp(logs[k]!) / size
    real[k] = length * Math.cos(angles[k]!)
    imaginary[k] = length * Math.sin(angles[k]!)
  }
  transform(real, imaginary, true)
  return Float64Array.from(real, (_, index) => real[modulo(start + index, size)]!)
}

function modulo(value: number, size: number): number {
  return ((value % size) + size) % size
}

/** The least epsilon whose delta(epsilon) = sum over losses l > epsilon of mass (1 - e^(epsilon - l)) is small enough. */
function readEpsilon(
  composed: Float64Array,
  losses: readonly TiltedLoss[],
  at: { delta: number; step: number; tilt: number; start: number },
): number {
  const log = losses.reduce((sum, loss) => sum + loss.steps * loss.log, 0)
  const infinite = losses.reduce((sum, { grid, steps }) => sum + steps * grid.infinite, 0)
  if (infinite >= at.delta) return Number.POSITIVE_INFINITY
  const wanted = at.delta - infinite
  // `weighted` is relative to the loss at hand, so that nothing overflows however large the losses are.
  const fading = Math.exp(-at.step)
  let [mass, weighted] = [0, 0]
  for (let index = composed.length - 1; index >= 0; index--) {
    const loss = (at.start + index) * at.step
    weighted *= fading
    if (mass - weighted >= wanted) return Math.max(0, loss + Math.log((mass - wanted) / weighted))
    if (loss <= 0) return 0
    const own = Math.max(0, composed[index]!) * Math.exp(log - at.tilt * loss)
    mass += own
    weighted += own
  }
  // Epsilon lies below the window: its start is no less.
  return Number.isNaN(mass) ? Number.POSITIVE_INFINITY : Math.max(0, at.start * at.step)
}
