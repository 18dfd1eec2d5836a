/** Metrics of two sessions: of weights in a file the engine makes products in another order than of those it is fed. */
import { expect } from 'vitest'

export function near(metrics: object): unknown {
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, expect.closeTo(Number(value), 6)]))
}
