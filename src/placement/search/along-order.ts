/** Cuts the blocks into ranges over peers in a given order: exact, by dynamic programming. */
import type { Chain, ChainStage, Problem } from './problem.ts'

/**
 * The cheapest chain that takes its peers from `order` in that order, each once at most; undefined when nothing fits.
 * O(peers^2 * blocks): the ranges of one peer that end at a block are a window that only moves on.
 */
export function alongOrder(problem: Problem, order: readonly number[]): Chain | undefined {
  const { blocks, peers, hops, boundary } = problem
  const width = blocks + 1
  const best = new Float64Array(order.length * width).fill(Infinity)
  const fromOf = new Int32Array(order.length * width)
  const beforeOf = new Int32Array(order.length * width).fill(-1)
  const start = new Float64Array(blocks)
  const window = createWindow(blocks)
  for (const [place, peer] of order.entries()) {
    start.fill(Infinity)
    start[0] = hops[boundary[0]!]![peers * (peers + 1) + peer]!
    for (let earlier = 0; earlier < place; earlier++) {
      const cell = order[earlier]! * (peers + 1) + peer
      const row = earlier * width
      const same = hops.length === 1 ? hops[0]![cell]! : undefined
      for (let from = 1; from < blocks; from++) {
        const cost = best[row + from]! + (same ?? hops[boundary[from]!]![cell]!)
        if (cost < start[from]!) {
          start[from] = cost
          beforeOf[place * width + from] = earlier
        }
      }
    }
    window(problem, peer, start, (to, from, cost) => {
      best[place * width + to] = cost
      fromOf[place * width + to] = from
    })
  }
  let last = -1
  let least = Infinity
  for (const [place, peer] of order.entries()) {
    const cost = best[place * width + blocks]! + hops[boundary[blocks]!]![peer * (peers + 1) + peers]!
    if (cost < least) [least, last] = [cost, place]
  }
  if (last < 0) return undefined
  const stages: ChainStage[] = []
  for (let [place, to] = [last, blocks]; place >= 0;) {
    const from = fromOf[place * width + to]!
    stages.unshift({ peer: order[place]!, from, to })
    ;[place, to] = [beforeOf[place * width + from]!, from]
  }
  return { cost: least, stages }
}

export type Found = (to: number, from: number, cost: number) => void

/** For each end of a range of this peer the start from which it costs least, given what being at a start costs. */
export function createWindow(
  blocks: number,
): (problem: Problem, peer: number, start: Float64Array, found: Found) => void {
  /** Starts by rising block and rising value; the first is the best of the window. */
  const queue = new Int32Array(blocks)
  const values = new Float64Array(blocks)
  return ({ spent, reach }, peer, start, found) => {
    let [head, tail] = [0, 0]
    const row = peer * (blocks + 1)
    for (let to = 1; to <= blocks; to++) {
      const from = to - 1
      if (start[from]! < Infinity && reach[peer * blocks + from]! > from) {
        const value = start[from]! - spent[row + from]!
        while (tail > head && values[tail - 1]! >= value) tail--
        queue[tail] = from
        values[tail++] = value
      }
      while (tail > head && reach[peer * blocks + queue[head]!]! < to) head++
      if (tail > head) found(to, queue[head]!, values[head]! + spent[row + to]!)
    }
  }
}
