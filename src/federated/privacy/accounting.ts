/**
 * What executed steps cost, by two accountants, each of which bounds the truth from above: Renyi divergences (rdp), and the distribution of
 * the privacy loss itself (pld). So the smaller of the two holds as well.
 */
import { ParameterRangeError } from '../errors.ts'
import { distributedRdp, INTEGER_ORDERS, noiseBounds } from './distributed.ts'
import { checkEvent } from './events.ts'
import type { GaussianEvent } from './events.ts'
import type { LedgerEvent } from './ledger-entries.ts'
import { composedEpsilon } from './loss-composition.ts'
import { composedRdp, DEFAULT_ORDERS, epsilonOfRdp } from './renyi.ts'

export type Accountant = 'rdp' | 'pld'

export interface Accounted {
  readonly epsilon: number
  /** Whose bound it is. */
  readonly accountant: Accountant
}

/**
 * The smaller bound.
 * @param enough where the first bound is at most this, the second is not looked for, nor made finer than that takes
 * @throws ParameterRangeError
 */
export function accountedEpsilon(events: readonly LedgerEvent[], delta: number, enough: number = 0): Accounted {
  const rdp: Accounted = { epsilon: rdpOf(events, delta), accountant: 'rdp' }
  if (rdp.epsilon <= enough) return rdp
  const pld = pldOf(events, delta, enough)
  return pld < rdp.epsilon ? { epsilon: pld, accountant: 'pld' } : rdp
}

/** All events together, by Renyi divergences. Discrete noise has bounds at integer orders only, and then all are taken there. */
export function rdpOf(events: readonly LedgerEvent[], delta: number): number {
  const orders = events.some(({ mechanism }) => mechanism === 'distributed') ? INTEGER_ORDERS : DEFAULT_ORDERS
  const total = orders.map(() => 0)
  for (const event of merged(events)) {
    const rdp =
      event.mechanism === 'gaussian'
        ? composedRdp([event], orders)
        : distributedRdp(event.noise, event.steps, event.q, orders)
    for (const [index, value] of rdp.entries()) total[index]! += value
  }
  return epsilonOfRdp(orders, total, delta).epsilon
}

/** Known results: status, join and charges ask for the same ones again. */
const known = new Map<string, number>()
const MOST_KNOWN = 256

/** The same by the loss itself; infinite where that is not bounded here. @param enough a bound of this size need not be made finer */
export function pldOf(events: readonly LedgerEvent[], delta: number, enough: number = 0): number {
  const together = merged(events)
  const key = JSON.stringify([together, delta, enough])
  const before = known.get(key)
  if (before !== undefined) return before
  const epsilon = composed(together, delta, enough)
  if (known.size >= MOST_KNOWN) known.clear()
  known.set(key, epsilon)
  return epsilon
}

function composed(events: readonly LedgerEvent[], delta: number, enough: number): number {
  const steps: GaussianEvent[] = []
  let distance = 0
  for (const event of events) {
    if (event.mechanism === 'gaussian') steps.push(event)
    else {
      const found = continuousOf(event)
      if (found === undefined) return Number.POSITIVE_INFINITY
      steps.push(found.event)
      distance += found.distance
    }
  }
  // Where the logarithm of each probability is off by `distance` at most, under either of two neighbouring data sets.
  const rest = delta * Math.exp(-distance)
  if (!(rest > 0)) return Number.POSITIVE_INFINITY
  try {
    return composedEpsilon(steps, rest, enough - 2 * distance) + 2 * distance
  } catch (error) {
    // Losses too large for any grid: the other accountant has a bound of its own.
    if (error instanceof ParameterRangeError) return Number.POSITIVE_INFINITY
    throw error
  }
}

/** Variance that continuous noise is rounded with, in integer units: below it sums over the lattice would show. */
const ROUNDING_VARIANCE = 4
/** With less in all, little would be left for the continuous noise, and the bound would be worth nothing. */
const LEAST_VARIANCE = 16 * ROUNDING_VARIANCE

/**
 * Continuous noise that a discrete one is at least as private as. A draw y of N(v, s^2 - h^2), v a whole vector, rounded to x with chance in
 * proportion to exp(-(x - y)^2 / 2 h^2), is a discrete Gaussian around v of variance s^2: that rounding knows nothing of v, so it costs
 * nothing. It is so but for sums over the lattice, which for h^2 = 4 are off by 2 e^(-2 pi^2 h^2) of themselves, about 1e-34, a
 * coordinate; and the sum of the shares is a discrete Gaussian but for tau a coordinate. Both are the `distance`, in logarithms.
 * @returns undefined: nothing is known of this noise
 */
function continuousOf({
  noise,
  q,
  steps,
}: Extract<LedgerEvent, { mechanism: 'distributed' }>):
  | { readonly event: GaussianEvent; readonly distance: number }
  | undefined {
  const { delta2, tau } = noiseBounds(noise)
  if (q === 0 || steps === 0) return { event: { q, sigma: 1, steps }, distance: 0 }
  const variance = noise.n * noise.shareSigma ** 2
  if (noise.mechanism !== 'gaussian' || variance < LEAST_VARIANCE) return undefined
  const lattice = 2.001 * Math.exp(-2 * Math.PI ** 2 * ROUNDING_VARIANCE)
  const each = tau + Math.log1p((2 * lattice) / (1 - lattice))
  return {
    event: { q, sigma: Math.sqrt(variance - ROUNDING_VARIANCE) / delta2, steps },
    distance: steps * noise.d * each,
  }
}

/** Rounds of one job are alike: their steps add up. */
function merged(events: readonly LedgerEvent[]): LedgerEvent[] {
  const alike = new Map<string, LedgerEvent>()
  for (const event of events) {
    if (event.mechanism === 'gaussian') checkEvent(event)
    const key = JSON.stringify({ ...event, steps: 0 })
    const before = alike.get(key)
    alike.set(key, before === undefined ? event : { ...event, steps: before.steps + event.steps })
  }
  return [...alike.values()]
}
