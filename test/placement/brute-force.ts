/**
 * The best placement by trying every set, order and cut, with the formulas of docs/placement.md written out anew: what
 * the planner is held against. Nothing of the planner is used here.
 */
import type { BatchPoint, PlanBlock, PlanInput, PlanLink, PlanPeer } from '../../src/placement/index.ts'

const CURVE: readonly BatchPoint[] = [
  { rows: 1, factor: 1 },
  { rows: 2, factor: 1.08 },
  { rows: 4, factor: 1.2 },
  { rows: 8, factor: 1.4 },
  { rows: 16, factor: 1.8 },
  { rows: 32, factor: 3.2 },
  { rows: 64, factor: 6 },
]

export function rowsFactor(rows: number, curve: readonly BatchPoint[] = CURVE): number {
  const above = curve.findIndex((point) => point.rows >= rows)
  const last = curve.at(-1)!
  if (above === 0) return 1
  if (above < 0) return (last.factor * rows) / last.rows
  const [left, right] = [curve[above - 1]!, curve[above]!]
  return left.factor + ((right.factor - left.factor) * (rows - left.rows)) / (right.rows - left.rows)
}

function linkOf(links: readonly PlanLink[], from: string, to: string): PlanLink {
  const known = (one: PlanLink): boolean => one.from === from && one.to === to
  const back = (one: PlanLink): boolean => one.from === to && one.to === from
  return links.find(known) ?? links.find(back) ?? { from, to, rtt: 1, bandwidth: 100e6 }
}

/** Milliseconds in all, and those for which the line is busy. */
export function crossing(input: PlanInput, from: string, to: string, bytes: number): { all: number; wire: number } {
  if (from === to) return { all: 0, wire: 0 }
  const { rtt, bandwidth, jitter = 0, loss = 0 } = linkOf(input.links ?? [], from, to)
  const carried = loss > 0 && rtt > 0 ? Math.sqrt(1.5) * (1448 / (rtt / 1000)) * (1 / Math.sqrt(loss)) : Infinity
  const wire = (bytes / Math.min(bandwidth || 100e6, carried)) * 1000
  const lost = loss * (rtt + 4 * jitter + 25)
  return { all: (input.hopMs ?? 0.5) + rtt / 2 + wire + lost * (1 + bytes / 1448), wire }
}

export function ownMs(input: PlanInput, peer: PlanPeer, block: PlanBlock): number {
  if (block.kind === 'head' && peer.headMs !== undefined) return peer.headMs
  if (peer.blockMs !== undefined) {
    const decoders = input.blocks.filter(({ kind }) => kind === 'decoder')
    const mean = decoders.reduce((sum, { flops }) => sum + flops, 0) / decoders.length
    return peer.blockMs * (mean > 0 ? block.flops / mean : 1)
  }
  const arithmetic = (block.flops / 2 / (peer.speed * peer.threads)) * 1000
  return Math.max(arithmetic, peer.bandwidth === undefined ? 0 : (block.memory / peer.bandwidth) * 1000)
}

/** Time round, longest busy: neither better than all others in both. */
type Front = readonly (readonly [number, number])[]

function frontOf(points: readonly (readonly [number, number])[]): Front {
  const sorted = points.toSorted((left, right) => left[0] - right[0] || left[1] - right[1])
  const front: (readonly [number, number])[] = []
  for (const point of sorted) if (front.length === 0 || point[1] < front.at(-1)![1]) front.push(point)
  return front
}

/** All placements in which each peer has one range at most, as pairs of time round the ring and longest busy part. */
function everything(input: PlanInput, rows: number, ms: (peer: PlanPeer, block: PlanBlock) => number): Front {
  const decoders = input.blocks.filter(({ kind }) => kind === 'decoder')
  const outer = input.blocks.filter(({ kind }) => kind !== 'decoder')
  const needOf = (block: PlanBlock): number => block.memory + block.kv_bytes * input.context * input.concurrency
  const ends = outer.reduce((sum, block) => sum + needOf(block), 0)
  const origin = input.peers.find(({ id }) => id === input.origin)!
  if (origin.memory - origin.reserved < ends) return []
  const base = outer.reduce((sum, block) => sum + ms(origin, block), 0)
  const bytes = (at: number): number => {
    const before = input.blocks.indexOf(decoders[0]!) + at - 1
    return (input.blocks[before]?.boundaryBytes ?? 0) * rows
  }
  const known = new Map<string, Front>()
  const from = (used: number, last: PlanPeer | undefined, at: number): Front => {
    const key = `${used} ${last?.id} ${at}`
    const front = known.get(key)
    if (front !== undefined) return front
    const points: (readonly [number, number])[] = []
    if (at === decoders.length) {
      const { all, wire } = crossing(input, last?.id ?? input.origin, input.origin, bytes(at))
      points.push([all, wire])
    } else {
      for (const [index, peer] of input.peers.entries()) {
        if ((used & (1 << index)) !== 0) continue
        const hop = crossing(input, last?.id ?? input.origin, peer.id, bytes(at))
        const own = peer === origin ? ends : 0
        let [need, busy] = [0, 0]
        for (let end = at; end < decoders.length; end++) {
          need += needOf(decoders[end]!)
          busy += ms(peer, decoders[end]!)
          if (need > peer.memory - peer.reserved - own) break
          const most = Math.max(hop.wire, busy + (peer === origin ? base : 0))
          for (const [sum, longest] of from(used | (1 << index), peer, end + 1)) {
            points.push([hop.all + busy + sum, Math.max(most, longest)])
          }
        }
      }
    }
    const result = frontOf(points)
    known.set(key, result)
    return result
  }
  return from(0, undefined, 0).map(([sum, longest]) => [base + sum, Math.max(base, longest)])
}

export function bruteForce(input: PlanInput, what: 'latency' | 'first-token' | 'throughput'): number {
  if (what === 'latency') {
    const { tokens, rows } = input.guessing ?? { tokens: 1, rows: 1 }
    const step = (peer: PlanPeer, block: PlanBlock): number =>
      ownMs(input, peer, block) * rowsFactor(rows, peer.batchCurve)
    return Math.min(...everything(input, rows, step).map(([sum]) => sum)) / tokens
  }
  if (what === 'first-token') {
    const prompt = Math.min(input.prompt ?? 512, input.context)
    // A run costs as much as ten rows, beside these.
    const rows = Math.min(prompt, 128, Math.max(32, Math.round(Math.sqrt(10 * prompt) / 16) * 16))
    const chunks = Math.ceil(prompt / rows)
    const origin = input.peers.find(({ id }) => id === input.origin)!
    const head = input.blocks.find(({ kind }) => kind === 'head')
    const headMs = head === undefined ? 0 : ownMs(input, origin, head)
    const chunk = (peer: PlanPeer, block: PlanBlock): number => {
      if (block.kind === 'head') return 0
      return ownMs(input, peer, block) * rowsFactor(rows, peer.batchCurve)
    }
    return headMs + Math.min(...everything(input, rows, chunk).map(([sum, most]) => sum + (chunks - 1) * most))
  }
  let best = Infinity
  const sizes = [1, 2, 4, 8, 16, 32, 64].filter((rows) => rows < input.concurrency)
  for (const rows of [...sizes, input.concurrency]) {
    const front = everything(
      input,
      rows,
      (peer, block) => ownMs(input, peer, block) * rowsFactor(rows, peer.batchCurve),
    )
    for (const [sum, most] of front) best = Math.min(best, Math.max(sum / input.concurrency, most / rows))
  }
  return best
}
