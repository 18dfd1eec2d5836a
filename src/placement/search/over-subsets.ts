/** The best chain over every subset and every order of a few peers: Held and Karp 1962, over blocks. */
import { createWindow } from './along-order.ts'
import type { Chain, ChainStage, Problem } from './problem.ts'

/** 2^7 sets x 7 last peers x 80 blocks x 7 peers before: half a million steps. A constant, whatever the mesh. */
const MAX_PEERS = 7
/** More peers are taken where there are so few blocks that it takes no longer. */
const MAX_STEPS = 600_000

/** How many peers every subset and order can be tried of. */
export function mostSubsetPeers(blocks: number): number {
  let peers = MAX_PEERS
  while (2 ** (peers + 1) * (peers + 1) ** 2 * blocks <= MAX_STEPS) peers++
  return peers
}

/** Each of `candidates` once at most. O(2^c * c^2 * blocks). */
export function overSubsets(problem: Problem, candidates: readonly number[]): Chain | undefined {
  const { blocks, peers, hops, boundary } = problem
  const count = candidates.length
  const width = blocks + 1
  const cells = (1 << count) * count * width
  const best = new Float64Array(cells).fill(Infinity)
  const fromOf = new Int32Array(cells)
  const beforeOf = new Int8Array(cells).fill(-1)
  const start = new Float64Array(blocks)
  const before = new Int8Array(blocks)
  const window = createWindow(blocks)
  const at = (set: number, last: number): number => (set * count + last) * width
  for (let set = 1; set < 1 << count; set++) {
    for (let last = 0; last < count; last++) {
      if ((set & (1 << last)) === 0) continue
      const peer = candidates[last]!
      const rest = set & ~(1 << last)
      start.fill(Infinity)
      before.fill(-1)
      if (rest === 0) start[0] = hops[boundary[0]!]![peers * (peers + 1) + peer]!
      for (let other = 0; other < count; other++) {
        if ((rest & (1 << other)) === 0) continue
        const cell = candidates[other]! * (peers + 1) + peer
        const row = at(rest, other)
        const same = hops.length === 1 ? hops[0]![cell]! : undefined
        for (let from = 1; from < blocks; from++) {
          const cost = best[row + from]! + (same ?? hops[boundary[from]!]![cell]!)
          if (cost >= start[from]!) continue
          start[from] = cost
          before[from] = other
        }
      }
      const row = at(set, last)
      window(problem, peer, start, (to, from, cost) => {
        best[row + to] = cost
        fromOf[row + to] = from
        beforeOf[row + to] = before[from]!
      })
    }
  }
  let [bestSet, bestLast, least] = [0, -1, Infinity]
  for (let set = 1; set < 1 << count; set++) {
    for (let last = 0; last < count; last++) {
      const out = hops[boundary[blocks]!]![candidates[last]! * (peers + 1) + peers]!
      const cost = best[at(set, last) + blocks]! + out
      if (cost < least) [bestSet, bestLast, least] = [set, last, cost]
    }
  }
  if (bestLast < 0) return undefined
  const stages: ChainStage[] = []
  for (let [set, last, to] = [bestSet, bestLast, blocks]; last >= 0;) {
    const cell = at(set, last) + to
    const from = fromOf[cell]!
    stages.unshift({ peer: candidates[last]!, from, to })
    ;[set, last, to] = [set & ~(1 << last), beforeOf[cell]!, from]
  }
  return { cost: least, stages }
}
