/** Cuts a row of blocks into contiguous ranges over peers in a given order: exact, by dynamic programming. */

export interface Range {
  /** Place of the peer in the order. */
  readonly peer: number
  readonly from: number
  readonly to: number
}

export interface AssignInput {
  readonly blocks: number
  readonly peers: number
  /** May this peer take [from, to)? When it may not, it may not take more either. */
  readonly fits: (peer: number, from: number, to: number) => boolean
  readonly cost: (peer: number, from: number, to: number) => number
  /** Cost of handing over from one peer to the next; -1 stands for the origin before the first and after the last. */
  readonly hop: (from: number, to: number, block: number) => number
  /** `few`: the lowest cost, then the fewest peers. `many`: the most peers, then the lowest cost. */
  readonly prefer: 'few' | 'many'
}

interface Partial {
  readonly used: number
  readonly cost: number
  readonly range: Range
  readonly before: Partial | undefined
}

/**
 * Every block in one range, every peer in one range at most, ranges in the order of the peers; undefined when nothing
 * fits. O(peers^2 * blocks + peers * blocks^2).
 */
export function assign(input: AssignInput): readonly Range[] | undefined {
  /** Best way to give away the blocks [0, end), by the last peer used. */
  const best: (Partial | undefined)[][] = []
  for (let peer = 0; peer < input.peers; peer++) {
    const row = Array.from<Partial | undefined>({ length: input.blocks + 1 })
    for (let from = 0; from < input.blocks; from++) {
      const start = startAt(input, best, peer, from)
      if (start === undefined) continue
      for (let to = from + 1; to <= input.blocks && input.fits(peer, from, to); to++) {
        const cost = start.cost + input.cost(peer, from, to)
        const next = { used: start.used + 1, cost, range: { peer, from, to }, before: start.before }
        if (isBetter(next, row[to], input.prefer)) row[to] = next
      }
    }
    best.push(row)
  }
  let winner: Partial | undefined
  for (const row of best) {
    const whole = row[input.blocks]
    if (whole === undefined) continue
    const closed = { ...whole, cost: whole.cost + input.hop(whole.range.peer, -1, input.blocks) }
    if (isBetter(closed, winner, input.prefer)) winner = closed
  }
  return winner === undefined ? undefined : rangesOf(winner)
}

interface Start {
  readonly used: number
  readonly cost: number
  readonly before: Partial | undefined
}

/** The best way to have given away [0, from) before this peer takes its turn, the hop to it included. */
function startAt(
  input: AssignInput,
  best: readonly (readonly (Partial | undefined)[])[],
  peer: number,
  from: number,
): Start | undefined {
  if (from === 0) return { used: 0, cost: input.hop(-1, peer, 0), before: undefined }
  let start: Start | undefined
  for (const row of best) {
    const before = row[from]
    if (before === undefined) continue
    const cost = before.cost + input.hop(before.range.peer, peer, from)
    const candidate = { used: before.used, cost, before }
    if (isBetter(candidate, start, input.prefer)) start = candidate
  }
  return start
}

type Value = Pick<Partial, 'used' | 'cost'>

function isBetter(left: Value, right: Value | undefined, prefer: AssignInput['prefer']): boolean {
  if (right === undefined) return true
  if (prefer === 'many' && left.used !== right.used) return left.used > right.used
  if (left.cost !== right.cost) return left.cost < right.cost
  return left.used < right.used
}

function rangesOf(last: Partial): Range[] {
  const ranges: Range[] = []
  for (let at: Partial | undefined = last; at !== undefined; at = at.before) ranges.unshift(at.range)
  return ranges
}
