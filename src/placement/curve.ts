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

/** Points of a curve that a device can tell: what is beyond is of no more use. */
export const MAX_BATCH_POINTS = 8
/** Sizes of a batch that are told: a stage runs no more sessions at once. */
const MOST_ROWS = 1_024
/** Rows together take no longer than one after the other, with so much for what is measured beside other work. */
const WORST = 1.5

/**
 * What was measured of a device, as far as it can be true: by rising rows, rising, no run shorter than one of a single row and
 * none longer than `WORST` times its rows one after the other. It comes out of records of anybody. Beyond its last point the
 * usual curve goes on from there.
 * @returns undefined where nothing of it can be
 */
export function soundCurve(measured: readonly BatchPoint[] = []): readonly BatchPoint[] | undefined {
  const points = measured
    .filter(({ rows, factor }) => Number.isInteger(rows) && rows >= 2 && rows <= MOST_ROWS && factor > 0)
    .toSorted((one, other) => one.rows - other.rows)
    .slice(0, MAX_BATCH_POINTS)
  const sound: BatchPoint[] = [{ rows: 1, factor: 1 }]
  for (const { rows, factor } of points) {
    const before = sound.at(-1)!
    if (rows > before.rows) sound.push({ rows, factor: Math.max(before.factor, Math.min(factor, WORST * rows)) })
  }
  const last = sound.at(-1)!
  if (last.rows === 1) return undefined
  const scale = last.factor / batchFactor(BATCH_CURVE, last.rows)
  const beyond = BATCH_CURVE.filter(({ rows }) => rows > last.rows)
  return [...sound, ...beyond.map(({ rows, factor }) => ({ rows, factor: factor * scale }))]
}
