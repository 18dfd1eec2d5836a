/**
 * The planner of now: contiguous ranges of decoder blocks by free memory and measured speed; embedding and head stay with
 * the origin, so that nobody else is handed token ids (DESIGN decision 6).
 */
import { assign } from './assign.ts'
import type { AssignInput, Assignment, Range } from './assign.ts'
import { figuresOf } from './cost.ts'
import type { Figures } from './cost.ts'
import { explainFit, explainNoFit } from './explain.ts'
import { checkPlanInput } from './input.ts'
import { otherOrders, usualOrder } from './order.ts'
import { ORIGIN } from './types.ts'
import type { PeerShare, Plan, PlanInput, PlanPeer, Stage } from './types.ts'

/** @throws PlanInputError */
export function planPlacement(input: PlanInput): Plan {
  checkPlanInput(input)
  const figures = figuresOf(input)
  const { ends } = figures
  const needBytes = figures.need(0, figures.count) + ends.weights + ends.kv
  const haveBytes = input.peers.reduce((total, peer) => total + Math.max(0, peer.memory - peer.reserved), 0)
  const found = findAssignment(input, figures)
  if (found === undefined) {
    const why = explainNoFit(input, figures, needBytes, haveBytes, (smaller) => fits(smaller))
    return { verdict: 'no-fit', stages: [], perPeer: [], why, needBytes, haveBytes, msPerToken: null }
  }
  return {
    verdict: found.ranges.length > 1 ? 'split' : 'do-not-split',
    stages: stagesOf(input, figures, found),
    perPeer: sharesOf(input, figures, found),
    why: explainFit(input, figures, found),
    needBytes,
    haveBytes,
    msPerToken: figures.measured ? latencyOf(input, figures, found) : null,
  }
}

function fits(input: PlanInput): boolean {
  return findAssignment(input, figuresOf(input)) !== undefined
}

function findAssignment(input: PlanInput, figures: Figures): Assignment | undefined {
  const origin = input.peers.find((peer) => peer.id === input.origin)!
  if (figures.room(origin) < 0) return undefined
  if (figures.count === 0) return { order: [origin], ranges: [] }
  const usual = usualOrder(input.peers, input.origin, figures)
  const ranges = assignIn(usual, input, figures)
  if (ranges !== undefined) return { order: usual, ranges }
  // Total room below the need: no order helps, and trying them all would be waste.
  const room = usual.reduce((total, peer) => total + Math.max(0, figures.room(peer)), 0)
  if (room < figures.need(0, figures.count)) return undefined
  for (const order of otherOrders(usual, figures)) {
    const other = assignIn(order, input, figures)
    if (other !== undefined) return { order, ranges: other }
  }
  return undefined
}

function assignIn(order: readonly PlanPeer[], input: PlanInput, figures: Figures): readonly Range[] | undefined {
  const rooms = order.map((peer) => figures.room(peer))
  const rates = order.map((peer) => figures.rate(peer))
  const id = (index: number): string => (index < 0 ? input.origin : order[index]!.id)
  const common = {
    blocks: figures.count,
    peers: order.length,
    fits: (peer: number, from: number, to: number) => figures.need(from, to) <= rooms[peer]!,
  }
  const free: AssignInput['hop'] = () => 0
  if (input.objective === 'latency') {
    return assign({
      ...common,
      cost: (peer, from, to) => (figures.work(from, to) / rates[peer]!) * 1000,
      hop: (from, to, block) => figures.hop(id(from), id(to), block),
      prefer: 'few',
    })
  }
  // The squares over the weights are least where shares are in proportion to the weights, to the nearest whole block.
  const load = input.objective === 'spread' ? figures.work : figures.need
  const weights = input.objective === 'spread' ? rates : rooms
  const scale = load(0, figures.count) || 1
  const total = weights.reduce((sum, weight) => sum + Math.max(0, weight), 0) || 1
  const cost: AssignInput['cost'] = (peer, from, to) => (load(from, to) / scale) ** 2 / (weights[peer]! / total || 1e-9)
  return assign({ ...common, cost, hop: free, prefer: 'many' })
}

function stagesOf(input: PlanInput, figures: Figures, { order, ranges }: Assignment): Stage[] {
  const { first, count } = figures
  const end = first + count
  const stages: Stage[] = []
  if (count === 0) return [{ peer: ORIGIN, from: 0, to: input.blocks.length }]
  if (first > 0) stages.push({ peer: ORIGIN, from: 0, to: first })
  for (const { peer, from, to } of ranges) {
    stages.push({ peer: order[peer]!.id, from: first + from, to: first + to })
  }
  if (end < input.blocks.length) stages.push({ peer: ORIGIN, from: end, to: input.blocks.length })
  return stages
}

function sharesOf(input: PlanInput, figures: Figures, { order, ranges }: Assignment): PeerShare[] {
  const ends = input.blocks.length - figures.count
  const shares = new Map<string, PeerShare>()
  if (ends > 0) {
    const { weights, kv } = figures.ends
    shares.set(input.origin, { peer: input.origin, blocks: ends, bytes: weights, kvBytes: kv })
  }
  for (const { peer, from, to } of ranges) {
    const { id } = order[peer]!
    const before = shares.get(id) ?? { peer: id, blocks: 0, bytes: 0, kvBytes: 0 }
    const bytes = figures.weights(from, to)
    shares.set(id, {
      peer: id,
      blocks: before.blocks + to - from,
      bytes: before.bytes + bytes,
      kvBytes: before.kvBytes + figures.need(from, to) - bytes,
    })
  }
  return [...shares.values()]
}

/** Milliseconds of one token of one session: every block and every hop, one after the other. */
function latencyOf(input: PlanInput, figures: Figures, { order, ranges }: Assignment): number {
  const origin = input.peers.find((peer) => peer.id === input.origin)!
  let total = (figures.ends.work / figures.rate(origin)) * 1000
  let at = input.origin
  for (const { peer, from, to } of ranges) {
    const next = order[peer]!
    total += figures.hop(at, next.id, from) + (figures.work(from, to) / figures.rate(next)) * 1000
    at = next.id
  }
  return total + figures.hop(at, input.origin, figures.count)
}
