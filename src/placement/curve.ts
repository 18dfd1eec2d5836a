/** How much longer a run of many rows takes than a run of one. */
import type { BatchPoint } from './types.ts'

/**
 * Measured on one thread: int8 weights take 1.2 times as long for 16 rows as for one, 4-bit weights 3.4 times at most;
 * a model has both, and the sessions of a batch have an attention each.
 */
export const BATCH_CURVE: readonly BatchPoint[] = [
  { rows: 1, factor: 1 },
  { rows: 2, factor: 1.08 },
  { rows: 4, factor: 1.2 },
  { rows: 8, factor: 1.4 },
  { rows: 16, factor: 1.8 },
  { rows: 32, factor: 3.2 },
  { rows: 64, factor: 6 },
]

/** The factor for so many rows: linear between points, beyond the last in proportion to the rows. */
export function batchFactor(curve: readonly BatchPoint[], rows: number): number {
  let before: BatchPoint = { rows: 1, factor: 1 }
  for (const point of curve) {
    if (rows <= point.rows) {
      const width = point.rows - before.rows
      if (width <= 0) return point.factor
      return before.factor + ((point.factor - before.factor) * (rows - before.rows)) / width
    }
    before = point
  }
  return (before.factor * rows) / before.rows
}
