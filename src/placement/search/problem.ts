/** The planner's question in numbers: a row of blocks, peers with a cost for each, and what a change of peer costs. */
import type { Hop, Links } from '../links.ts'
import type { PlanPeer } from '../types.ts'

/** Numbers in the tables of hops: beyond, boundaries of different sizes count as their largest. */
const MAX_HOP_CELLS = 4_000_000
/** Less than any figure that is measured: of two equal chains the one with fewer stages is taken. */
const STAGE_BIAS = 1e-9

/** Of a hop that must not be: a number, so that sums and differences of tours stay numbers. */
export const FORBIDDEN_MS = 1e18

export interface Problem {
  /** How many peers and blocks: n and L below. */
  readonly peers: number
  readonly blocks: number
  /** Milliseconds of blocks [0, i) on peer p at p * (L + 1) + i. */
  readonly spent: Float64Array
  /** Bytes of blocks [0, i). */
  readonly need: Float64Array
  /** Bytes that each peer has for blocks. */
  readonly room: Float64Array
  /** Milliseconds that each peer may take for all of its blocks. */
  readonly budget: Float64Array
  /** Milliseconds from q to p at q * (n + 1) + p; place n is the peer before the first and after the last. */
  readonly hops: readonly Float64Array[]
  /** Which table of hops stands before block i, for i in [0, L]. */
  readonly boundary: Int32Array
  /** The farthest end of a range of peer p that begins at i, at p * L + i; i itself where it cannot hold the block. */
  readonly reach: Int32Array
}

export interface ChainStage {
  /** Place of the peer among those of the problem. */
  readonly peer: number
  readonly from: number
  readonly to: number
}

export interface Chain {
  readonly cost: number
  readonly stages: readonly ChainStage[]
}

/** What does not change with the objective. */
export interface Ground {
  readonly peers: readonly PlanPeer[]
  /** Bytes of each block. */
  readonly needs: readonly number[]
  readonly rooms: readonly number[]
  /** Bytes of one row before each block and after the last: L + 1 of them. */
  readonly rowBytes: readonly number[]
  readonly fixed: Float64Array
  readonly perByte: Float64Array
  readonly wirePerByte: Float64Array
}

/** `before` and `after`: ids of the peers on both sides of the blocks. */
export function groundOf(
  ground: Pick<Ground, 'peers' | 'needs' | 'rooms' | 'rowBytes'>,
  links: Links,
  before: string,
  after: string,
): Ground {
  const { peers } = ground
  const width = peers.length + 1
  const fixed = new Float64Array(width * width)
  const perByte = new Float64Array(width * width)
  const wirePerByte = new Float64Array(width * width)
  const senders = [...peers.map(({ id }) => id), before]
  const receivers = [...peers.map(({ id }) => id), after]
  let cell = 0
  for (const from of senders) {
    for (const to of receivers) {
      const hop: Hop = links.hop(from, to)
      fixed[cell] = hop.fixed + (from === to ? 0 : STAGE_BIAS)
      perByte[cell] = hop.perByte
      wirePerByte[cell] = hop.wirePerByte
      cell++
    }
  }
  return { ...ground, fixed, perByte, wirePerByte }
}

/** Rows that cross at once, and milliseconds of block i on a peer for all of them. */
export interface Load {
  readonly rows: number
  ms(peer: number, block: number): number
}

export function problemOf(ground: Ground, load: Load): Problem {
  const [peers, blocks] = [ground.peers.length, ground.needs.length]
  const spent = new Float64Array(peers * (blocks + 1))
  for (let peer = 0; peer < peers; peer++) {
    for (let block = 0; block < blocks; block++) {
      const at = peer * (blocks + 1) + block
      spent[at + 1] = spent[at]! + load.ms(peer, block)
    }
  }
  const need = new Float64Array(blocks + 1)
  for (const [block, bytes] of ground.needs.entries()) need[block + 1] = need[block]! + bytes
  const room = Float64Array.from(ground.rooms)
  const budget = new Float64Array(peers).fill(Infinity)
  const whole = { peers, blocks, spent, need, room, budget, ...hopTables(ground, load.rows) }
  return { ...whole, reach: reachOf(whole) }
}

function hopTables({ rowBytes, fixed, perByte }: Ground, rows: number): Pick<Problem, 'hops' | 'boundary'> {
  const sizes = [...new Set(rowBytes)]
  const few = sizes.length * fixed.length <= MAX_HOP_CELLS ? sizes : [Math.max(...sizes)]
  const hops = few.map((bytes) => fixed.map((ms, cell) => ms + bytes * rows * perByte[cell]!))
  return { hops, boundary: Int32Array.from(rowBytes, (bytes) => Math.max(0, few.indexOf(bytes))) }
}

/**
 * The same with no peer busy for more than `limit` milliseconds, of which it is busy for `base` anyway, and no line
 * that is busy for longer.
 */
export function bounded(problem: Problem, ground: Ground, rows: number, base: Float64Array, limit: number): Problem {
  const budget = base.map((busy) => limit - busy)
  const sizes = [...new Set(ground.rowBytes)]
  const most = Math.max(...sizes)
  const { wirePerByte } = ground
  const isFree = wirePerByte.every((ms) => ms * most * rows <= limit)
  const bytesOf = (table: number): number => (problem.hops.length === 1 ? most : sizes[table]!)
  const hops = isFree
    ? problem.hops
    : problem.hops.map((table, index) =>
        table.map((ms, cell) => (wirePerByte[cell]! * bytesOf(index) * rows <= limit ? ms : FORBIDDEN_MS)),
      )
  const tight = { ...problem, budget, hops }
  return { ...tight, reach: reachOf(tight) }
}

/** The same without some of the peers. */
export function without(problem: Problem, excluded: (peer: number) => boolean): Problem {
  const room = problem.room.map((bytes, peer) => (excluded(peer) ? -1 : bytes))
  const rest = { ...problem, room }
  return { ...rest, reach: reachOf(rest) }
}

function reachOf({ peers, blocks, spent, need, room, budget }: Omit<Problem, 'reach'>): Int32Array {
  const reach = new Int32Array(peers * blocks)
  for (let peer = 0; peer < peers; peer++) {
    const row = peer * (blocks + 1)
    let to = 0
    for (let from = 0; from < blocks; from++) {
      if (to < from) to = from
      while (
        to < blocks &&
        need[to + 1]! - need[from]! <= room[peer]! &&
        spent[row + to + 1]! - spent[row + from]! <= budget[peer]!
      ) {
        to++
      }
      reach[peer * blocks + from] = to
    }
  }
  return reach
}
