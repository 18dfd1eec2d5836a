/** A chain over any peers in any order: the best label of each state (blocks given away, last peer), block by block. */
import { FORBIDDEN_MS } from './problem.ts'
import type { Chain, ChainStage, Problem } from './problem.ts'

/**
 * Each state keeps its cheapest chain, which goes on to any peer that still has room, so a peer may come twice. Not
 * exact: a chain that costs more now may leave better peers for later. O(peers^2 * blocks + peers * blocks^2).
 */
export function byLabels(problem: Problem, candidates: readonly number[]): Chain | undefined {
  return new Labels(problem, candidates).solve()
}

class Labels {
  readonly #problem: Problem
  readonly #candidates: readonly number[]
  /** Of the state (end, place) at end * count + place. */
  readonly #cost: Float64Array
  readonly #from: Int32Array
  readonly #before: Int32Array
  /** Places that the chain of a state uses, as bits. */
  readonly #used: Int32Array
  readonly #words: number

  constructor(problem: Problem, candidates: readonly number[]) {
    this.#problem = problem
    this.#candidates = candidates
    const states = (problem.blocks + 1) * candidates.length
    this.#words = (candidates.length + 31) >> 5
    this.#cost = new Float64Array(states).fill(Infinity)
    this.#from = new Int32Array(states)
    this.#before = new Int32Array(states)
    this.#used = new Int32Array(states * this.#words)
  }

  solve(): Chain | undefined {
    const { blocks, peers, hops, boundary, reach } = this.#problem
    const candidates = this.#candidates
    const count = candidates.length
    for (const [place, peer] of candidates.entries()) {
      this.#extend(place, 0, hops[boundary[0]!]![peers * (peers + 1) + peer]!, -1)
    }
    const known = this.#cost
    for (let from = 1; from < blocks; from++) {
      const table = hops[boundary[from]!]!
      const row = from * count
      const states = this.#statesAt(from)
      for (let place = 0; place < count; place++) {
        const peer = candidates[place]!
        if (reach[peer * blocks + from]! <= from) continue
        let least = Infinity
        let before = -1
        for (const other of states) {
          const cost = known[row + other]! + table[candidates[other]! * (peers + 1) + peer]!
          if (cost >= least || other === place || !this.#mayTake(place, from, row + other)) continue
          least = cost
          before = other
        }
        if (before >= 0) this.#extend(place, from, least, before)
      }
    }
    let [least, last] = [Infinity, -1]
    for (const [place, peer] of candidates.entries()) {
      const cost = this.#cost[blocks * count + place]! + hops[boundary[blocks]!]![peer * (peers + 1) + peers]!
      if (cost < least) [least, last] = [cost, place]
    }
    return last < 0 ? undefined : { cost: least, stages: this.#chain(blocks, last) }
  }

  #uses(state: number, place: number): boolean {
    return (this.#used[state * this.#words + (place >> 5)]! & (1 << (place & 31))) !== 0
  }

  /** Last peers of the chains that end here. */
  #statesAt(end: number): Int32Array {
    const count = this.#candidates.length
    const states = new Int32Array(count)
    let found = 0
    for (let place = 0; place < count; place++) {
      if (this.#cost[end * count + place]! < FORBIDDEN_MS) states[found++] = place
    }
    return states.subarray(0, found)
  }

  /** Has it room for the block after those it holds in this chain? */
  #mayTake(place: number, from: number, state: number): boolean {
    return !this.#uses(state, place) || this.#endOf(place, from, state) > from
  }

  /** The farthest end of a range from here on, with what the peer holds already in this chain. */
  #endOf(place: number, from: number, state: number): number {
    const { blocks, reach, need, spent, room, budget } = this.#problem
    const peer = this.#candidates[place]!
    const most = reach[peer * blocks + from]!
    if (state < 0 || !this.#uses(state, place)) return most
    const row = peer * (blocks + 1)
    const count = this.#candidates.length
    let bytes = room[peer]!
    let ms = budget[peer]!
    for (let at = state; at >= 0;) {
      const [to, last] = [Math.floor(at / count), at % count]
      const start = this.#from[at]!
      if (last === place) {
        bytes -= need[to]! - need[start]!
        ms -= spent[row + to]! - spent[row + start]!
      }
      const before = this.#before[at]!
      at = before < 0 ? -1 : start * count + before
    }
    let to = from
    while (to < most && need[to + 1]! - need[from]! <= bytes && spent[row + to + 1]! - spent[row + from]! <= ms) to++
    return to
  }

  #extend(place: number, from: number, start: number, before: number): void {
    const { blocks, spent } = this.#problem
    const count = this.#candidates.length
    const words = this.#words
    const row = this.#candidates[place]! * (blocks + 1)
    const state = before < 0 ? -1 : from * count + before
    const end = this.#endOf(place, from, state)
    for (let to = from + 1; to <= end; to++) {
      const cost = start + spent[row + to]! - spent[row + from]!
      const next = to * count + place
      if (cost >= this.#cost[next]!) continue
      this.#cost[next] = cost
      this.#from[next] = from
      this.#before[next] = before
      for (let word = 0; word < words; word++) {
        this.#used[next * words + word] = state < 0 ? 0 : this.#used[state * words + word]!
      }
      this.#used[next * words + (place >> 5)]! |= 1 << (place & 31)
    }
  }

  #chain(end: number, last: number): ChainStage[] {
    const count = this.#candidates.length
    const stages: ChainStage[] = []
    for (let [to, place] = [end, last]; place >= 0;) {
      const state = to * count + place
      const from = this.#from[state]!
      stages.unshift({ peer: this.#candidates[place]!, from, to })
      ;[to, place] = [from, this.#before[state]!]
    }
    return stages
  }
}
