/**
 * A set of peers and their order, with its cost where all blocks are alike: the way round, and the blocks to the
 * fastest of them. What it costs to change it is known without solving anew, so that a search can try many changes.
 */
import type { Problem } from './problem.ts'

export interface Rates {
  /** Milliseconds of a block of middling size on each peer. */
  readonly pace: Float64Array
  /** How many blocks of middling size each peer can hold. */
  readonly capacity: Int32Array
  /** Milliseconds from q to p at q * (n + 1) + p, for the boundary in the middle. */
  readonly hops: Float64Array
  readonly peers: number
  readonly blocks: number
  /** Places of the peers, the fastest first. */
  readonly ranks: Int32Array
}

export function ratesOf(problem: Problem): Rates {
  const { peers, blocks, spent, need, room, budget } = problem
  const each = need[blocks]! / blocks
  const pace = new Float64Array(peers)
  const capacity = new Int32Array(peers)
  for (let peer = 0; peer < peers; peer++) {
    pace[peer] = spent[peer * (blocks + 1) + blocks]! / blocks
    const byMemory = each > 0 ? room[peer]! / each : room[peer]! < 0 ? 0 : blocks
    const byTime = pace[peer]! > 0 ? budget[peer]! / pace[peer]! : budget[peer]! < 0 ? 0 : blocks
    // Sums of equal parts may fall short of their product by a rounding error.
    capacity[peer] = Math.max(0, Math.min(blocks, Math.floor(Math.min(byMemory, byTime) * (1 + 1e-12))))
  }
  const order = Array.from({ length: peers }, (_, peer) => peer)
  order.sort((left, right) => pace[left]! - pace[right]! || left - right)
  const ranks = new Int32Array(peers)
  for (const [rank, peer] of order.entries()) ranks[peer] = rank
  const hops = problem.hops[problem.boundary[blocks >> 1]!]!
  return { pace, capacity, hops, peers, blocks, ranks }
}

const NOBODY = -1

export class Tour {
  readonly rates: Rates
  /** In the order of the ring. */
  readonly order: number[] = []
  readonly used: Uint8Array
  /** The same peers, the fastest first. */
  readonly #fastest: number[] = []
  /** Milliseconds of one block on each of them. */
  #oneEach = 0

  constructor(rates: Rates) {
    this.rates = rates
    this.used = new Uint8Array(rates.peers)
  }

  static of(rates: Rates, order: readonly number[]): Tour {
    const tour = new Tour(rates)
    for (const peer of order) tour.insert(tour.order.length, peer)
    return tour
  }

  insert(place: number, peer: number): void {
    this.order.splice(place, 0, peer)
    this.used[peer] = 1
    const { ranks } = this.rates
    let at = 0
    while (at < this.#fastest.length && ranks[this.#fastest[at]!]! < ranks[peer]!) at++
    this.#fastest.splice(at, 0, peer)
    this.#sum()
  }

  remove(place: number): void {
    const [peer] = this.order.splice(place, 1)
    this.used[peer!] = 0
    this.#fastest.splice(this.#fastest.indexOf(peer!), 1)
    this.#sum()
  }

  #sum(): void {
    this.#oneEach = this.#fastest.reduce((sum, peer) => sum + this.rates.pace[peer]!, 0)
  }

  /** The peer at a place, the origin's side beyond both ends. */
  at(place: number): number {
    return place >= 0 && place < this.order.length ? this.order[place]! : this.rates.peers
  }

  hop(from: number, to: number): number {
    const { hops, peers } = this.rates
    return hops[from * (peers + 1) + to]!
  }

  /** Blocks that all of them together can hold; a tour that cannot hold all has no cost. */
  capacity(): number {
    return this.order.reduce((sum, peer) => sum + this.rates.capacity[peer]!, 0)
  }

  /** Milliseconds of the blocks, one more peer and one less if wanted; Infinity where they do not fit. */
  work(more: number = NOBODY, less: number = NOBODY): number {
    const { pace, capacity, blocks, ranks } = this.rates
    const fastest = this.#fastest
    // Each has a block; what is left goes to the fastest.
    let left = blocks - fastest.length
    let sum = this.#oneEach
    let pending = more
    if (more !== NOBODY) {
      left--
      sum += pace[more]!
    }
    if (less !== NOBODY) {
      left++
      sum -= pace[less]!
    }
    if (left < 0) return Infinity
    for (let place = 0; left > 0; place++) {
      let peer = fastest[place]
      if (pending !== NOBODY && (peer === undefined || ranks[pending]! < ranks[peer]!)) {
        peer = pending
        pending = NOBODY
        place--
      }
      if (peer === undefined) return Infinity
      if (peer === less) continue
      const extra = Math.min(capacity[peer]! - 1, left)
      sum += pace[peer]! * extra
      left -= extra
    }
    return sum
  }

  length(): number {
    let sum = 0
    for (let place = 0; place <= this.order.length; place++) sum += this.hop(this.at(place - 1), this.at(place))
    return sum
  }

  cost(): number {
    return this.order.length === 0 ? Infinity : this.length() + this.work()
  }

  /** What the way round grows by with this peer before `place`. */
  detour(place: number, peer: number): number {
    const [before, after] = [this.at(place - 1), this.at(place)]
    const direct = this.order.length === 0 ? 0 : this.hop(before, after)
    return this.hop(before, peer) + this.hop(peer, after) - direct
  }

  /** What the way round shrinks by without the peer at `place`. */
  shortcut(place: number): number {
    const [before, peer, after] = [this.at(place - 1), this.at(place), this.at(place + 1)]
    const direct = this.order.length === 1 ? 0 : this.hop(before, after)
    return this.hop(before, peer) + this.hop(peer, after) - direct
  }

  /** Where this peer costs least, and how much. */
  bestPlace(peer: number): { readonly place: number; readonly detour: number } {
    let place = 0
    let detour = Infinity
    for (let at = 0; at <= this.order.length; at++) {
      const cost = this.detour(at, peer)
      if (cost >= detour) continue
      detour = cost
      place = at
    }
    return { place, detour }
  }
}
