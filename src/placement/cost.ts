/** The figures behind a plan: memory, time of blocks, time of hops. All predictions, all from measured profiles. */
import { BATCH_CURVE, batchFactor } from './curve.ts'
import { linksOf } from './links.ts'
import type { Links } from './links.ts'
import type { PlanBlock, PlanInput, PlanPeer } from './types.ts'

/** When no peer has been measured, all count the same. */
const UNKNOWN_SPEED = 1e9
const PROMPT_TOKENS = 512

export interface Figures {
  /** Decoder blocks, and where they begin in the model. */
  readonly first: number
  readonly count: number
  /** Bytes of weights and KV of decoder blocks [from, to), counted from the first decoder block. */
  readonly need: (from: number, to: number) => number
  readonly weights: (from: number, to: number) => number
  /** Multiply-adds of one row. */
  readonly work: (from: number, to: number) => number
  /** Bytes of embedding and head, which the origin holds. */
  readonly ends: { readonly weights: number; readonly kv: number; readonly work: number }
  /** Bytes that the peer may still use, less the ends on the origin; below 0 when even these do not fit. */
  room(peer: PlanPeer): number
  /** Multiply-adds a second. */
  rate(peer: PlanPeer): number
  /** Milliseconds of this block on this peer, one row of one session. */
  blockMs(peer: PlanPeer, block: PlanBlock): number
  /** Milliseconds of this block for each row of a prefill chunk of so many rows. */
  prefillMs(peer: PlanPeer, block: PlanBlock, rows: number): number
  /** Whether reading the weights takes longer than the arithmetic. */
  memoryBound(peer: PlanPeer, block: PlanBlock): boolean
  /** Decoder block `index`. */
  decoder(index: number): PlanBlock
  /** Milliseconds of decoder blocks [from, to) on this peer, one row of one session. */
  partMs(peer: PlanPeer, from: number, to: number): number
  /** Bytes of one row that go to decoder block `block` from the one before. */
  boundary(block: number): number
  readonly links: Links
  /** Factor of a run of so many rows on this peer against one. */
  batch(peer: PlanPeer, rows: number): number
  readonly promptTokens: number
  /** Every speed has been measured. */
  readonly measured: boolean
  isMeasured(peer: PlanPeer): boolean
}

export function figuresOf(input: PlanInput): Figures {
  const { blocks } = input
  const first = blocks[0]?.kind === 'embedding' ? 1 : 0
  const end = blocks.length - (blocks.at(-1)?.kind === 'head' ? 1 : 0)
  const decoders = blocks.slice(first, end)
  const outer = [...blocks.slice(0, first), ...blocks.slice(end)]
  const kvOf = (block: PlanBlock): number => block.kv_bytes * input.context * input.concurrency
  const weights = between(decoders.map((block) => block.memory))
  const kv = between(decoders.map(kvOf))
  const speeds = speedsOf(input, decoders)
  const ends = {
    weights: sum(outer.map(({ memory }) => memory)),
    kv: sum(outer.map(kvOf)),
    work: sum(outer.map(workOf)),
  }
  return {
    first,
    count: decoders.length,
    weights,
    need: (from, to) => weights(from, to) + kv(from, to),
    work: between(decoders.map(workOf)),
    ends,
    room: (peer) => peer.memory - peer.reserved - (peer.id === input.origin ? ends.weights + ends.kv : 0),
    decoder: (index) => decoders[index]!,
    partMs: (peer, from, to) => sum(decoders.slice(from, to).map((block) => speeds.blockMs(peer, block))),
    boundary: (block) =>
      blocks[first + block - 1]?.boundaryBytes ?? (first + block === 0 ? (input.inputBytes ?? 0) : 0),
    links: linksOf(input),
    promptTokens: Math.max(1, Math.min(input.prompt ?? PROMPT_TOKENS, Math.max(1, input.context))),
    ...speeds,
  }
}

type Speeds = Pick<Figures, 'rate' | 'blockMs' | 'prefillMs' | 'memoryBound' | 'batch' | 'measured' | 'isMeasured'>

/**
 * A block takes what was measured of this model on this peer, scaled by its own arithmetic (the head has a measure of its own); else its arithmetic at the
 * peer's speed (corrected by what others of whom both are known show), and no less than reading its weights takes.
 */
function speedsOf(input: PlanInput, decoders: readonly PlanBlock[]): Speeds {
  const usual = median(input.peers.map(rawRate).filter((rate) => rate > 0)) ?? UNKNOWN_SPEED
  const rate = (peer: PlanPeer): number => rawRate(peer) || usual
  const meanWork = sum(decoders.map(workOf)) / (decoders.length || 1)
  const ratios = input.peers
    .filter((peer) => (peer.blockMs ?? 0) > 0 && rawRate(peer) > 0 && meanWork > 0)
    .map((peer) => peer.blockMs! / ((meanWork / rawRate(peer)) * 1000))
  const correction = median(ratios) ?? 1
  const usualBlock = median(input.peers.map(({ blockMs = 0 }) => blockMs).filter((ms) => ms > 0))
  const share = (block: PlanBlock): number => (meanWork > 0 ? workOf(block) / meanWork : 1)
  const arithmetic = (peer: PlanPeer, block: PlanBlock): number => {
    if (block.kind === 'head' && (peer.headMs ?? 0) > 0) return peer.headMs!
    if ((peer.blockMs ?? 0) > 0) return peer.blockMs! * share(block)
    if (rawRate(peer) === 0 && usualBlock !== undefined) return usualBlock * share(block)
    return (workOf(block) / rate(peer)) * 1000 * correction
  }
  const reading = ({ bandwidth = 0, blockMs = 0 }: PlanPeer, block: PlanBlock): number =>
    bandwidth > 0 && blockMs === 0 ? (block.memory / bandwidth) * 1000 : 0
  const blockMs = (peer: PlanPeer, block: PlanBlock): number => Math.max(arithmetic(peer, block), reading(peer, block))
  const usualCurve = input.batchCurve ?? BATCH_CURVE
  const batch = (peer: PlanPeer, rows: number): number => batchFactor(peer.batchCurve ?? usualCurve, rows)
  const isMeasured = (peer: PlanPeer): boolean => (peer.blockMs ?? 0) > 0 || rawRate(peer) > 0
  return {
    rate,
    blockMs,
    memoryBound: (peer, block) => reading(peer, block) > arithmetic(peer, block),
    prefillMs: (peer, block, rows) =>
      (peer.prefillMs ?? 0) > 0 ? peer.prefillMs! * share(block) : (blockMs(peer, block) * batch(peer, rows)) / rows,
    batch,
    measured: input.peers.every(isMeasured),
    isMeasured,
  }
}

function workOf(block: PlanBlock): number {
  return block.flops / 2
}

function rawRate({ speed, threads }: PlanPeer): number {
  return speed * threads
}

function between(values: readonly number[]): (from: number, to: number) => number {
  const sums = [0]
  for (const value of values) sums.push(sums.at(-1)! + value)
  return (from, to) => sums[to]! - sums[from]!
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function median(values: readonly number[]): number | undefined {
  return [...values].sort((left, right) => left - right)[values.length >> 1]
}
