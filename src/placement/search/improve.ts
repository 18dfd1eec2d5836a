/** Local search over sets and orders of peers: a change is made while one is found that makes the tour cheaper. */
import { Tour } from './tour.ts'

/** A gain below this is a rounding error. */
const LEAST_GAIN = 1e-9
/** Longest run of peers that is moved as one. */
const MAX_RUN = 3
/** No search needs as many; it ends because each change makes the tour cheaper. */
const MAX_CHANGES = 2_000

/** Adds the peer that costs least for each block that it takes, until all blocks have a place; false when they never do. */
export function fill(tour: Tour, candidates: readonly number[]): boolean {
  const { pace, capacity, blocks } = tour.rates
  let held = tour.capacity()
  while (held < blocks) {
    let [chosen, place, least] = [-1, 0, Infinity]
    for (const peer of candidates) {
      if (tour.used[peer] === 1 || capacity[peer] === 0) continue
      const taken = Math.min(capacity[peer]!, blocks - held)
      const best = tour.bestPlace(peer)
      const price = best.detour / taken + pace[peer]!
      if (price < least) [chosen, place, least] = [peer, best.place, price]
    }
    if (chosen < 0 || tour.order.length >= blocks) return false
    tour.insert(place, chosen)
    held += capacity[chosen]!
  }
  return true
}

/** `candidates`: who may come in. */
export function improve(tour: Tour, candidates: readonly number[]): void {
  for (let change = 0; change < MAX_CHANGES; change++) {
    if (changeSet(tour, candidates)) continue
    if (!changeOrder(tour)) return
  }
}

/** For each peer the best of: in beside the others, in for one of them, out. Each gain is taken as it is found. */
function changeSet(tour: Tour, candidates: readonly number[]): boolean {
  let changed = false
  for (const peer of candidates) {
    if (tour.used[peer] === 1) changed = leave(tour, peer) || changed
    else if (tour.rates.capacity[peer]! > 0) changed = enter(tour, peer) || changed
  }
  return changed
}

function leave(tour: Tour, peer: number): boolean {
  if (tour.order.length === 1) return false
  const place = tour.order.indexOf(peer)
  const gain = tour.shortcut(place) + tour.work() - tour.work(-1, peer)
  if (gain <= LEAST_GAIN) return false
  tour.remove(place)
  return true
}

function enter(tour: Tour, peer: number): boolean {
  const { pace, capacity } = tour.rates
  const { order } = tour
  const work = tour.work()
  const best = tour.bestPlace(peer)
  let gain = work - tour.work(peer) - best.detour
  let exchanged = -1
  for (let place = 0; place < order.length; place++) {
    const other = order[place]!
    const before = tour.at(place - 1)
    const after = tour.at(place + 1)
    const way = tour.hop(before, other) + tour.hop(other, after) - tour.hop(before, peer) - tour.hop(peer, after)
    // A slower peer with no more room saves no work.
    if (way <= gain && pace[peer]! >= pace[other]! && capacity[peer]! <= capacity[other]!) continue
    const saved = way + work - tour.work(peer, other)
    if (saved <= gain) continue
    gain = saved
    exchanged = place
  }
  if (gain <= LEAST_GAIN) return false
  if (exchanged < 0) tour.insert(best.place, peer)
  else {
    tour.remove(exchanged)
    tour.insert(exchanged, peer)
  }
  return true
}

/** The best of: a run of peers to another place, either way round; two peers for each other; a stretch reversed. */
function changeOrder(tour: Tour): boolean {
  const moved = bestMove(tour)
  const reversed = bestReversal(tour)
  const best = moved.gain >= reversed.gain ? moved : reversed
  if (best.gain <= LEAST_GAIN) return false
  tour.order.splice(0, tour.order.length, ...best.order())
  return true
}

interface Change {
  readonly gain: number
  readonly order: () => readonly number[]
}

function bestMove(tour: Tour): Change {
  const { order } = tour
  let best: Change = { gain: 0, order: () => order }
  for (let length = 1; length <= Math.min(MAX_RUN, order.length - 1); length++) {
    for (let from = 0; from + length <= order.length; from++) {
      const [first, last] = [order[from]!, order[from + length - 1]!]
      const [before, after] = [tour.at(from - 1), tour.at(from + length)]
      const freed = tour.hop(before, first) + tour.hop(last, after) - tour.hop(before, after)
      if (freed <= best.gain) continue
      const inner = runLength(tour, from, length)
      for (let to = 0; to <= order.length; to++) {
        if (to >= from && to <= from + length) continue
        const [left, right] = [tour.at(to - 1), tour.at(to)]
        const gap = tour.hop(left, right)
        const straight = freed + gap - tour.hop(left, first) - tour.hop(last, right)
        const turned = freed + gap - tour.hop(left, last) - tour.hop(first, right) + inner
        if (straight > best.gain) best = { gain: straight, order: () => moveRun(order, from, length, to, false) }
        if (length > 1 && turned > best.gain) {
          best = { gain: turned, order: () => moveRun(order, from, length, to, true) }
        }
      }
    }
  }
  return best
}

/** What a run is shorter by when it is walked the other way. */
function runLength(tour: Tour, from: number, length: number): number {
  let sum = 0
  for (let place = from; place < from + length - 1; place++) {
    sum += tour.hop(tour.at(place), tour.at(place + 1)) - tour.hop(tour.at(place + 1), tour.at(place))
  }
  return sum
}

function moveRun(order: readonly number[], from: number, length: number, to: number, turned: boolean): number[] {
  const run = order.slice(from, from + length)
  if (turned) run.reverse()
  const rest = [...order.slice(0, from), ...order.slice(from + length)]
  rest.splice(to > from ? to - length : to, 0, ...run)
  return rest
}

function bestReversal(tour: Tour): Change {
  const { order } = tour
  let best: Change = { gain: 0, order: () => order }
  for (let from = 0; from < order.length - 1; from++) {
    /** What the inside is shorter by when it is walked the other way. */
    let inner = 0
    for (let to = from + 1; to < order.length; to++) {
      inner += tour.hop(order[to - 1]!, order[to]!) - tour.hop(order[to]!, order[to - 1]!)
      const [before, after] = [tour.at(from - 1), tour.at(to + 1)]
      const was = tour.hop(before, order[from]!) + tour.hop(order[to]!, after)
      const gain = was - tour.hop(before, order[to]!) - tour.hop(order[from]!, after) + inner
      if (gain <= best.gain) continue
      best = {
        gain,
        order: () => [...order.slice(0, from), ...order.slice(from, to + 1).reverse(), ...order.slice(to + 1)],
      }
    }
  }
  return best
}

/** Numbers that look random and are the same each time (Park and Miller 1988): a plan must not depend on luck. */
function createSequence(): (below: number) => number {
  let state = 1
  return (below) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

/**
 * Takes some peers out, fills up again and improves, so many times; keeps what is cheaper (iterated local search,
 * Lourenço, Martin and Stützle 2003). The tour is the best one afterwards.
 */
export function shake(tour: Tour, candidates: readonly number[], times: number): Tour {
  const random = createSequence()
  let best = tour
  for (let time = 0; time < times; time++) {
    const next = Tour.of(best.rates, best.order)
    const wanted = 1 + random(Math.max(1, Math.ceil(next.order.length / 3)))
    const first = random(next.order.length)
    // Every other time neighbours go together: another part of the mesh may serve better as a whole.
    for (let index = 0; index < wanted && next.order.length > 0; index++) {
      next.remove((time % 2 === 0 ? first : random(next.order.length)) % next.order.length)
    }
    const others = candidates.filter((peer) => random(4) > 0 || best.used[peer] === 1)
    if (!fill(next, others) && !fill(next, candidates)) continue
    improve(next, candidates)
    if (next.cost() < best.cost() - LEAST_GAIN) best = next
  }
  return best
}
