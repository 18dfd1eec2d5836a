/** Divides the blocks among all peers in proportion: to their speed, or to their free memory. */
import { assign } from './assign.ts'
import type { AssignInput, Range } from './assign.ts'
import type { Figures } from './cost.ts'
import { otherOrders, usualOrder } from './order.ts'
import type { PlanInput, PlanPeer, Stage } from './types.ts'

const MAX_PEERS = 160

/** For the objectives `spread` and `memory`. Ranges of decoder blocks; undefined when nothing fits. */
export function shareOut(input: PlanInput, figures: Figures): Stage[] | undefined {
  const usual = usualOrder(strongest(input, figures), input.origin, figures)
  const named = (order: readonly PlanPeer[], ranges: readonly Range[]): Stage[] =>
    ranges.map(({ peer, from, to }) => ({ peer: order[peer]!.id, from, to }))
  const ranges = assignIn(usual, input, figures)
  if (ranges !== undefined) return named(usual, ranges)
  for (const order of otherOrders(usual, figures)) {
    const other = assignIn(order, input, figures)
    if (other !== undefined) return named(order, other)
  }
  return undefined
}

/** Of a large mesh those with most to give; there are no more stages than blocks anyway. */
function strongest({ peers, objective }: PlanInput, figures: Figures): readonly PlanPeer[] {
  if (peers.length <= MAX_PEERS) return peers
  const weight = (peer: PlanPeer): number => (objective === 'spread' ? figures.rate(peer) : figures.room(peer))
  return [...peers]
    .sort((left, right) => weight(right) - weight(left) || (left.id < right.id ? -1 : 1))
    .slice(0, MAX_PEERS)
}

function assignIn(order: readonly PlanPeer[], input: PlanInput, figures: Figures): readonly Range[] | undefined {
  const rooms = order.map((peer) => figures.room(peer))
  const rates = order.map((peer) => figures.rate(peer))
  // The squares over the weights are least where shares are in proportion to the weights, to the nearest whole block.
  const load = input.objective === 'spread' ? figures.work : figures.need
  const weights = input.objective === 'spread' ? rates : rooms
  const scale = load(0, figures.count) || 1
  const total = weights.reduce((sum, weight) => sum + Math.max(0, weight), 0) || 1
  const cost: AssignInput['cost'] = (peer, from, to) => (load(from, to) / scale) ** 2 / (weights[peer]! / total || 1e-9)
  return assign({
    blocks: figures.count,
    peers: order.length,
    fits: (peer, from, to) => figures.need(from, to) <= rooms[peer]!,
    cost,
    hop: () => 0,
    prefer: 'many',
  })
}
