/** Renyi differential privacy: orders, composition, and the way back to epsilon (Balle et al. 2020, arXiv 1905.09982). */
import { ParameterRangeError } from '../errors.ts'
import { checkDelta, checkEvent, isSpending } from './events.ts'
import type { GaussianEvent, Spending } from './events.ts'
import { sampledGaussianRdp } from './sampled-gaussian.ts'

/** 1.1 to 10.9 in steps of 0.1, 12 to 64, 128 and 256 (reference/federated.md, 5.1). */
export const DEFAULT_ORDERS: readonly number[] = [
  ...Array.from({ length: 99 }, (_, index) => (11 + index) / 10),
  ...Array.from({ length: 53 }, (_, index) => 12 + index),
  128,
  256,
]

/** @throws ParameterRangeError for an order of 1 or less */
export function checkOrders(orders: readonly number[]): void {
  if (orders.length === 0) throw new ParameterRangeError('there is no order')
  for (const [index, order] of orders.entries()) {
    if (!(order > 1) || !Number.isFinite(order)) {
      throw new ParameterRangeError(`the order ${order} is not above 1`, { index })
    }
  }
}

/**
 * The least epsilon over all orders, at least 0.
 * @param rdp the total of each order
 * @throws ParameterRangeError
 */
export function epsilonOfRdp(orders: readonly number[], rdp: readonly number[], delta: number): Spending {
  checkDelta(delta)
  if (rdp.every((value) => value === 0)) return { epsilon: 0, order: null }
  let best: Spending = { epsilon: Number.POSITIVE_INFINITY, order: null }
  for (const [index, order] of orders.entries()) {
    const log = (Math.log(delta) + Math.log(order)) / (order - 1)
    const epsilon = Math.max(0, rdp[index]! - log + Math.log1p(-1 / order))
    if (epsilon < best.epsilon) best = { epsilon, order }
  }
  return best
}

/** The total of each order. @throws ParameterRangeError */
export function composedRdp(events: readonly GaussianEvent[], orders: readonly number[] = DEFAULT_ORDERS): number[] {
  checkOrders(orders)
  const total = orders.map(() => 0)
  for (const [index, event] of events.entries()) {
    checkEvent(event, events.length === 1 ? undefined : index)
    if (!isSpending(event)) continue
    for (const [at, order] of orders.entries()) {
      total[at]! += event.steps * sampledGaussianRdp(event.q, event.sigma, order)
    }
  }
  return total
}

/** What these steps cost, all together. @throws ParameterRangeError */
export function rdpEpsilon(
  events: readonly GaussianEvent[],
  delta: number,
  orders: readonly number[] = DEFAULT_ORDERS,
): Spending {
  checkDelta(delta)
  return epsilonOfRdp(orders, composedRdp(events, orders), delta)
}
