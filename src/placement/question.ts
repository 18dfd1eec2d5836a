/** The decoder blocks of a model between the origin and the origin, ready for the search. */
import type { Figures } from './cost.ts'
import { groundOf, problemOf } from './search/problem.ts'
import type { Chain, Ground, Problem } from './search/problem.ts'
import { shortlist } from './shortlist.ts'
import type { PlanBlock, PlanInput, PlanPeer } from './types.ts'

export interface Question {
  readonly input: PlanInput
  readonly figures: Figures
  /** By id: the order of listing must not matter. */
  readonly peers: readonly PlanPeer[]
  readonly origin: number
  readonly decoders: readonly PlanBlock[]
  /** Embedding and head. */
  readonly ends: readonly PlanBlock[]
  readonly ground: Ground
}

export interface QuestionOptions {
  /** Peers that hold no decoder block. */
  readonly excluded?: ReadonlySet<string>
  /** The only peers that there are, beside the origin. */
  readonly only?: ReadonlySet<string>
}

export function questionOf(input: PlanInput, figures: Figures, { excluded, only }: QuestionOptions = {}): Question {
  const { first, count } = figures
  const isAble = (peer: PlanPeer): boolean => excluded?.has(peer.id) !== true && figures.room(peer) >= 0
  const peers = shortlist(
    input,
    figures,
    input.peers.filter((peer) => peer.id === input.origin || (only?.has(peer.id) ?? isAble(peer))),
  )
  const indexes = Array.from({ length: count }, (_, index) => index)
  const ground = groundOf(
    {
      peers,
      needs: indexes.map((index) => figures.need(index, index + 1)),
      rooms: peers.map((peer) => (excluded?.has(peer.id) === true ? -1 : figures.room(peer))),
      rowBytes: [...indexes, count].map((index) => figures.boundary(index)),
    },
    figures.links,
    input.origin,
    input.origin,
  )
  return {
    input,
    figures,
    peers,
    origin: peers.findIndex(({ id }) => id === input.origin),
    decoders: input.blocks.slice(first, first + count),
    ends: [...input.blocks.slice(0, first), ...input.blocks.slice(first + count)],
    ground,
  }
}

/** A way to run the ring: how many rows cross at once, and what that takes. */
export interface Mode {
  readonly rows: number
  readonly problem: Problem
  /** Milliseconds that each peer is busy beside its blocks: the ends, on the origin. */
  readonly base: Float64Array
}

/** One row of each of `rows` sessions, or so many rows of one: of guesses, in the mean of its steps. */
export function decodeMode({ figures, ground, peers, decoders, ends, origin }: Question, rows: number): Mode {
  const factors = peers.map((peer) => figures.batch(peer, rows))
  const busy = (peer: number, block: PlanBlock): number => figures.blockMs(peers[peer]!, block) * factors[peer]!
  const problem = problemOf(ground, { rows, ms: (peer, block) => busy(peer, decoders[block]!) })
  const base = new Float64Array(peers.length)
  base[origin] = ends.reduce((sum, block) => sum + busy(origin, block), 0)
  return { rows, problem, base }
}

/** A chunk of so many rows of one prompt; the head sees the last row alone, when all is done. */
export function prefillMode({ figures, ground, peers, decoders, ends, origin }: Question, rows: number): Mode {
  const busy = (peer: number, block: PlanBlock): number => figures.prefillMs(peers[peer]!, block, rows) * rows
  const problem = problemOf(ground, { rows, ms: (peer, block) => busy(peer, decoders[block]!) })
  const base = new Float64Array(peers.length)
  base[origin] = ends.reduce((sum, block) => sum + (block.kind === 'embedding' ? busy(origin, block) : 0), 0)
  return { rows, problem, base }
}

/** What stands in the way of the next batch or chunk: the peer or the line that is busy longest. */
export interface Bottleneck {
  readonly ms: number
  readonly peer: number
  /** Of a line: who receives. */
  readonly to?: number
}

export function bottleneckOf({ ground, origin }: Question, mode: Mode, { stages }: Pick<Chain, 'stages'>): Bottleneck {
  const { problem, base, rows } = mode
  const busy = base.slice()
  for (const { peer, from, to } of stages) {
    const row = peer * (problem.blocks + 1)
    busy[peer]! += problem.spent[row + to]! - problem.spent[row + from]!
  }
  let worst: Bottleneck = { ms: 0, peer: origin }
  for (const [peer, ms] of busy.entries()) if (ms > worst.ms) worst = { ms, peer }
  for (const [index, { peer, from }] of stages.entries()) {
    const sender = stages[index - 1]?.peer ?? origin
    worst = slower(worst, { ms: wireMs(ground, sender, peer, from, rows), peer: sender, to: peer })
  }
  const last = stages.at(-1)?.peer ?? origin
  return slower(worst, { ms: wireMs(ground, last, origin, problem.blocks, rows), peer: last, to: origin })
}

function slower(left: Bottleneck, right: Bottleneck): Bottleneck {
  return right.ms > left.ms ? right : left
}

function wireMs(
  { wirePerByte, rowBytes, peers }: Ground,
  from: number,
  to: number,
  block: number,
  rows: number,
): number {
  return from === to ? 0 : wirePerByte[from * (peers.length + 1) + to]! * rowBytes[block]! * rows
}

/** Milliseconds once round the ring, the ends on the origin included. */
export function ringMs(
  { ground, origin }: Question,
  { problem, base }: Mode,
  { stages }: Pick<Chain, 'stages'>,
): number {
  const width = ground.peers.length + 1
  let sum = base[origin]!
  let at = origin
  const hop = (to: number, block: number): number =>
    at === to ? 0 : problem.hops[problem.boundary[block]!]![at * width + to]!
  for (const { peer, from, to } of stages) {
    const row = peer * (problem.blocks + 1)
    sum += hop(peer, from) + problem.spent[row + to]! - problem.spent[row + from]!
    at = peer
  }
  return sum + hop(origin, problem.blocks)
}
