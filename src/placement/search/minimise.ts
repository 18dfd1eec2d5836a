/** The cheapest chain of peers for a row of blocks: exact for a few peers, searched for among many. */
import { alongOrder } from './along-order.ts'
import { byLabels } from './by-labels.ts'
import { fill, improve, shake } from './improve.ts'
import { mostSubsetPeers, overSubsets } from './over-subsets.ts'
import { FORBIDDEN_MS } from './problem.ts'
import type { Chain, Problem } from './problem.ts'
import { ratesOf, Tour } from './tour.ts'
import type { Rates } from './tour.ts'

/** Peers that labels look at: each block takes the square of them. */
const MAX_LABELLED = 56
/** Blocks that differ by less than this part of the middling one are alike to a search. */
const ODD = 0.01
const MAX_REORDERED = 14
const MAX_PASSES = 4
/** A gain below this is a rounding error. */
const LEAST_GAIN = 1e-9
/** Peers beside those of a tour that may come into its final cut. */
const EXTRA_PEERS = 8

export interface Effort {
  /** How often a search begins anew from its best tour. */
  readonly shakes: number
  /** A tour to begin with: that of a question much like this one. */
  readonly warm?: readonly number[] | undefined
}

/** Undefined when nothing was found that fits. */
export function minimise(problem: Problem, effort: Effort): Chain | undefined {
  const chain = cheapest(problem, effort)
  return chain !== undefined && chain.cost < FORBIDDEN_MS ? chain : undefined
}

function cheapest(problem: Problem, effort: Effort): Chain | undefined {
  if (problem.blocks === 0) return { cost: 0, stages: [] }
  const able = Array.from({ length: problem.peers }, (_, peer) => peer).filter((peer) => holdsSomething(problem, peer))
  if (able.length === 0) return undefined
  // A peer may come twice in labels, and nowhere else.
  if (able.length <= mostSubsetPeers(problem.blocks))
    return cheaper(overSubsets(problem, able), byLabels(problem, able))
  return search(problem, able, effort)
}

function search(problem: Problem, able: readonly number[], { shakes, warm }: Effort): Chain | undefined {
  const rates = ratesOf(problem)
  let chain: Chain | undefined
  let best: Tour | undefined
  const take = (order: readonly number[]): void => {
    const tour = Tour.of(rates, [...new Set(order)])
    if (!fill(tour, able)) return
    improve(tour, able)
    if (best === undefined || tour.cost() < best.cost()) best = tour
  }
  chain = byLabels(problem, likeliest(rates, able))
  if (chain !== undefined) take(chain.stages.map(({ peer }) => peer))
  if (warm === undefined) take([])
  else take(warm.filter((peer) => rates.capacity[peer]! > 0))
  if (best === undefined) return chain
  const tour = shakes > 0 ? shake(best, able, shakes) : best
  return polish(problem, tour, able, chain, warm === undefined)
}

/** From the tour, which knows blocks of middling size only, to ranges. */
function polish(
  problem: Problem,
  tour: Tour,
  candidates: readonly number[],
  known: Chain | undefined,
  exact: boolean,
): Chain | undefined {
  const extras = nearest(tour, candidates)
  const wide = Tour.of(tour.rates, tour.order)
  for (const peer of extras) wide.insert(wide.bestPlace(peer).place, peer)
  let chain = cheaper(known, alongOrder(problem, wide.order))
  if (exact && isOdd(problem)) chain = cheaper(chain, reorder(problem, wide.order))
  const most = mostSubsetPeers(problem.blocks)
  const core = [...tour.order, ...extras].slice(0, most)
  if (exact && tour.order.length <= most) chain = cheaper(chain, overSubsets(problem, core))
  return chain
}

/** Are there blocks that need more, or take longer, than others? */
function isOdd({ blocks, need, spent }: Problem): boolean {
  const differs = (sums: Float64Array): boolean => {
    const mean = sums[blocks]! / blocks
    for (let block = 0; block < blocks; block++) {
      if (Math.abs(sums[block + 1]! - sums[block]! - mean) > mean * ODD) return true
    }
    return false
  }
  return differs(need) || differs(spent.subarray(0, blocks + 1))
}

/** Moves one peer after the other to another place while a cut of the blocks along the new order is cheaper. */
function reorder(problem: Problem, first: readonly number[]): Chain | undefined {
  let order = [...first].slice(0, MAX_REORDERED)
  let chain = alongOrder(problem, order)
  for (let pass = 0, found = true; found && pass < MAX_PASSES; pass++) {
    found = false
    for (const peer of order) {
      for (let place = 0; place < order.length; place++) {
        const next = order.filter((one) => one !== peer)
        next.splice(place, 0, peer)
        const other = alongOrder(problem, next)
        if (other === undefined || (chain !== undefined && other.cost >= chain.cost - LEAST_GAIN)) continue
        chain = other
        order = next
        found = true
      }
    }
  }
  return chain
}

/** Peers that are not in the tour and would cost least in it. */
function nearest(tour: Tour, candidates: readonly number[]): number[] {
  const { pace, capacity } = tour.rates
  return candidates
    .filter((peer) => tour.used[peer] === 0 && capacity[peer]! > 0)
    .map((peer) => ({ peer, price: tour.bestPlace(peer).detour / capacity[peer]! + pace[peer]! }))
    .sort((left, right) => left.price - right.price || left.peer - right.peer)
    .slice(0, EXTRA_PEERS)
    .map(({ peer }) => peer)
}

function cheaper(left: Chain | undefined, right: Chain | undefined): Chain | undefined {
  if (left === undefined || right === undefined) return left ?? right
  return right.cost < left.cost ? right : left
}

function holdsSomething({ blocks, reach }: Problem, peer: number): boolean {
  for (let from = 0; from < blocks; from++) if (reach[peer * blocks + from]! > from) return true
  return false
}

/** Those with the least time for a block, the way from the origin and back shared over the blocks they can hold. */
function likeliest({ pace, capacity, hops, peers }: Rates, able: readonly number[]): readonly number[] {
  if (able.length <= MAX_LABELLED) return able
  const way = (peer: number): number => hops[peers * (peers + 1) + peer]! + hops[peer * (peers + 1) + peers]!
  const price = (peer: number): number => pace[peer]! + way(peer) / Math.max(1, capacity[peer]!)
  const sorted = [...able].sort((left, right) => price(left) - price(right) || left - right)
  return sorted.slice(0, MAX_LABELLED).sort((left, right) => left - right)
}
