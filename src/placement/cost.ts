/** The figures behind a plan: memory, time of blocks, time of hops. All predictions, all from measured profiles. */
import type { PlanBlock, PlanInput, PlanPeer } from './types.ts'

/** What a hop costs beside the wire: measured from stage host to stage host on loopback. */
const HOP_MS = 0.5
/** A wired LAN; for pairs that nobody has measured. */
const UNKNOWN_RTT_MS = 1
const UNKNOWN_BANDWIDTH = 100e6
/** When no peer has been measured, all count the same. */
const UNKNOWN_SPEED = 1e9

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
  /** Milliseconds to hand one row from the block before `block` over to another peer. */
  hop(from: string, to: string, block: number): number
  /** Every speed has been measured. */
  readonly measured: boolean
}

export function figuresOf(input: PlanInput): Figures {
  const { blocks } = input
  const first = blocks[0]?.kind === 'embedding' ? 1 : 0
  const end = blocks.length - (blocks.at(-1)?.kind === 'head' ? 1 : 0)
  const decoders = blocks.slice(first, end)
  const outer = [...blocks.slice(0, first), ...blocks.slice(end)]
  const kvOf = (block: PlanBlock): number => block.kv_bytes * input.context * input.concurrency
  const workOf = (block: PlanBlock): number => block.flops / 2
  const weights = prefixSums(decoders.map((block) => block.memory))
  const kv = prefixSums(decoders.map(kvOf))
  const work = prefixSums(decoders.map(workOf))
  const ends = {
    weights: sum(outer.map((block) => block.memory)),
    kv: sum(outer.map(kvOf)),
    work: sum(outer.map(workOf)),
  }
  const measuredRates = input.peers.map(({ speed, threads }) => speed * threads).filter((rate) => rate > 0)
  const usual = median(measuredRates) ?? UNKNOWN_SPEED
  const links = linkTable(input)
  return {
    first,
    count: decoders.length,
    weights: between(weights),
    need: (from, to) => between(weights)(from, to) + between(kv)(from, to),
    work: between(work),
    ends,
    room: (peer) => peer.memory - peer.reserved - (peer.id === input.origin ? ends.weights + ends.kv : 0),
    rate: ({ speed, threads }) => (speed * threads > 0 ? speed * threads : usual),
    hop: (from, to, block) => {
      if (from === to) return 0
      const link = links.get(`${from} ${to}`) ?? links.get(`${to} ${from}`)
      const bytes = blocks[first + block - 1]?.boundaryBytes ?? 0
      const bandwidth = link === undefined || link.bandwidth === 0 ? UNKNOWN_BANDWIDTH : link.bandwidth
      return HOP_MS + (link?.rtt ?? UNKNOWN_RTT_MS) / 2 + (bytes / bandwidth) * 1000
    },
    measured: measuredRates.length === input.peers.length,
  }
}

/** The slowest of several measurements of one direction stands, so that the order of listing does not matter. */
function linkTable(input: PlanInput): Map<string, { rtt: number; bandwidth: number }> {
  const table = new Map<string, { rtt: number; bandwidth: number }>()
  for (const { from, to, rtt, bandwidth } of input.links ?? []) {
    const other = table.get(`${from} ${to}`)
    if (other !== undefined && other.rtt > rtt) continue
    const slower = other !== undefined && other.rtt === rtt ? Math.min(other.bandwidth, bandwidth) : bandwidth
    table.set(`${from} ${to}`, { rtt, bandwidth: slower })
  }
  return table
}

function prefixSums(values: readonly number[]): number[] {
  const sums = [0]
  for (const value of values) sums.push(sums.at(-1)! + value)
  return sums
}

function between(sums: readonly number[]): (from: number, to: number) => number {
  return (from, to) => sums[to]! - sums[from]!
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function median(values: readonly number[]): number | undefined {
  return [...values].sort((left, right) => left - right)[values.length >> 1]
}
