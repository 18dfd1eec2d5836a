/** Who masks with whom, and who holds whose shares. It follows from the plan and the session id; nobody is told it. */
import { ParameterRangeError } from '../errors.ts'
import type { Primitives } from './primitives.ts'
import { shuffledBySession } from './shuffle.ts'

/** `complete` for sites; `regular` for many devices, each with `degree` neighbours (reference/federated.md, 4.4). */
export type GraphChoice = { readonly kind: 'complete' } | { readonly kind: 'regular'; readonly degree: number }

export interface Graph {
  /** Neighbours of a member and itself, rising: they hold its shares; the one at rank r has x = r + 1. */
  holders(position: number): readonly number[]
}

export const COMPLETE: GraphChoice = { kind: 'complete' }

/** Who holds shares of a member, itself among them, in a roster of `n`. */
export function holdersOf(choice: GraphChoice, n: number): number {
  return choice.kind === 'complete' ? n : Math.min(n, choice.degree + 1)
}

/** Shares have 255 places. */
const MAX_HOLDERS = 255

/**
 * @param n members of the roster
 * @throws ParameterRangeError for a degree that is odd, too small, or not below n; for over 255 holders
 */
export function createGraph(crypto: Primitives, choice: GraphChoice, n: number, sid: Uint8Array): Graph {
  const holders = holdersOf(choice, n)
  if (holders > MAX_HOLDERS) {
    throw new ParameterRangeError(`${holders} members hold shares of one, ${MAX_HOLDERS} are the most`)
  }
  if (choice.kind === 'complete' || choice.degree >= n - 1) {
    const all = Array.from({ length: n }, (_, index) => index)
    return { holders: () => all }
  }
  return harary(shuffledBySession(crypto, sid, 'fl-secagg/1 graph', n), choice.degree)
}

/** A circle in the given order: each with its degree / 2 neighbours on both sides, which no smaller cut can part. */
function harary(order: readonly number[], degree: number): Graph {
  if (!Number.isInteger(degree) || degree < 2 || degree % 2 !== 0) {
    throw new ParameterRangeError(`a degree of ${degree} is no even number from 2`)
  }
  const n = order.length
  const placeOf = new Map(order.map((position, place) => [position, place]))
  const half = degree / 2
  const cache = new Map<number, readonly number[]>()
  return {
    holders(position) {
      let known = cache.get(position)
      if (known === undefined) {
        const place = placeOf.get(position)!
        const near = Array.from({ length: degree + 1 }, (_, step) => order[(place + step - half + n) % n]!)
        cache.set(position, (known = near.sort((left, right) => left - right)))
      }
      return known
    },
  }
}
