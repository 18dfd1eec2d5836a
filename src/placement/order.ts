/** The orders of the ring that the planner tries. The first is the usual one; the others are for blocks of odd sizes. */
import type { Figures } from './cost.ts'
import type { PlanPeer } from './types.ts'

/** 5! = 120 orders of 80 blocks take some milliseconds; above, four orders must do. */
const MAX_PERMUTED = 5

type Compare = (left: PlanPeer, right: PlanPeer) => number

/** Origin first (its embedding and first blocks are then one hop less), then by speed, then by id. */
export function usualOrder(peers: readonly PlanPeer[], origin: string, figures: Figures): PlanPeer[] {
  const isOrigin = (peer: PlanPeer): number => (peer.id === origin ? 1 : 0)
  return sorted(
    peers,
    (left, right) => isOrigin(right) - isOrigin(left),
    (left, right) => figures.rate(right) - figures.rate(left),
  )
}

export function* otherOrders(usual: readonly PlanPeer[], figures: Figures): Generator<PlanPeer[]> {
  const rising = sorted(usual, (left, right) => figures.room(left) - figures.room(right))
  yield rising
  yield [...rising].reverse()
  yield [...usual].reverse()
  if (usual.length <= MAX_PERMUTED) yield* permutations(usual)
}

function sorted(peers: readonly PlanPeer[], ...by: readonly Compare[]): PlanPeer[] {
  const byId: Compare = (left, right) => (left.id < right.id ? -1 : 1)
  return [...peers].sort((left, right) => {
    for (const compare of by) {
      const order = compare(left, right)
      if (order !== 0) return order
    }
    return byId(left, right)
  })
}

function* permutations<Item>(items: readonly Item[]): Generator<Item[]> {
  if (items.length <= 1) yield [...items]
  for (const [index, item] of items.entries()) {
    if (items.length <= 1) return
    for (const rest of permutations([...items.slice(0, index), ...items.slice(index + 1)])) yield [item, ...rest]
  }
}
