/** How good a score is, from histograms of it by class: area under the curve, and calibration. */
import type { StatisticOf } from '../plan/analysis-schema.ts'
import { fixedOf, realOf } from '../rounds/wide.ts'
import { binOf, equalEdges } from './bins.ts'
import { bySum, grouped, placing, roundedUnits } from './part.ts'
import type { Part } from './part.ts'
import type { RecordRow } from './records.ts'

const UNIT: [number, number] = [0, 1]

type ScoreSpec = StatisticOf<'auc'> | StatisticOf<'calibration'>

function gridOf({ range = UNIT, bins }: ScoreSpec): Float64Array {
  return equalEdges([range[0], range[1]], bins)
}

/** Bin of a score; one beyond the range is in the first or last. */
function binIn(edges: Float64Array, score: number): number {
  return Math.min(edges.length - 2, Math.max(0, binOf(edges, score)))
}

function columnsOf({ score, target }: ScoreSpec): string[] {
  return [score, target.column]
}

/** Readings: positives of each bin, then negatives. */
export function aucPart(spec: StatisticOf<'auc'>): Part {
  const edges = gridOf(spec)
  const { bins } = spec
  const tally = placing(2 * bins, (row) => {
    const bin = binIn(edges, row.required(spec.score))
    return row.label(spec.target) ? bin : bins + bin
  })
  const read = (counts: Float64Array): number[] => [...counts]
  return grouped({ size: 2 * bins, wide: 0, columns: columnsOf(spec), ...bySum(1), tally, read }, spec.by)
}

export interface Area {
  readonly positives: number
  readonly negatives: number
  /** Pairs within a bin count for a half; null where a class is empty. */
  readonly auc: number | null
  /** Whatever the order within the bins is, it lies between. */
  readonly low: number | null
  readonly high: number | null
}

export function areaOf({ bins }: StatisticOf<'auc'>, readings: ArrayLike<number>): Area {
  let [positives, negatives, right, tied] = [0, 0, 0, 0]
  for (let bin = 0; bin < bins; bin++) {
    const [p, n] = [Math.max(0, readings[bin]!), Math.max(0, readings[bins + bin]!)]
    right += p * negatives
    tied += p * n
    positives += p
    negatives += n
  }
  const pairs = positives * negatives
  if (!(pairs > 0)) return { positives, negatives, auc: null, low: null, high: null }
  const [low, high] = [right / pairs, (right + tied) / pairs]
  return { positives, negatives, auc: (low + high) / 2, low, high }
}

/** Readings: positives of each bin, negatives, and the mean score of each. */
export function calibrationPart(spec: StatisticOf<'calibration'>, isPrivate: boolean): Part {
  const edges = gridOf(spec)
  const { bins } = spec
  const half = (edges[1]! - edges[0]!) / 2
  const centre = (bin: number): number => (edges[bin]! + edges[bin + 1]!) / 2
  const part: Part = {
    size: isPrivate ? 3 * bins : 2 * bins,
    wide: isPrivate ? 0 : bins,
    columns: columnsOf(spec),
    // Under privacy a record is one count, and its place within the bin, in [-1, 1].
    ...bySum(isPrivate ? Math.SQRT2 : 1),
    tally: (needs) => {
      const counts = new Float64Array(isPrivate ? 3 * bins : 2 * bins)
      const wide = Array.from({ length: isPrivate ? 0 : bins }, () => 0n)
      return {
        counts,
        wide,
        add(row: RecordRow) {
          const score = row.required(spec.score)
          const bin = binIn(edges, score)
          counts[row.label(spec.target) ? bin : bins + bin]! += needs.scale
          if (isPrivate) {
            const u = Math.min(1, Math.max(-1, (score - centre(bin)) / half))
            counts[2 * bins + bin]! += roundedUnits(u, needs)
          } else wide[bin]! += fixedOf(score)
        },
      }
    },
    read: (counts, wide) => {
      const said = Array.from({ length: bins }, (_, bin) => {
        const n = Math.max(0, counts[bin]!) + Math.max(0, counts[bins + bin]!)
        if (!(n > 0)) return centre(bin)
        if (!isPrivate) return realOf(wide[bin]!) / n
        return centre(bin) + half * Math.min(1, Math.max(-1, counts[2 * bins + bin]! / n))
      })
      return [...counts.subarray(0, 2 * bins), ...said]
    },
  }
  return grouped(part, spec.by)
}

export interface CalibrationBin {
  readonly from: number
  readonly to: number
  readonly count: number
  readonly score: number | null
  readonly observed: number | null
}

export interface Calibration {
  readonly bins: readonly CalibrationBin[]
  /** Mean distance of score and observed share, by counts. */
  readonly error: number | null
}

export function calibrationOf(spec: StatisticOf<'calibration'>, readings: ArrayLike<number>): Calibration {
  const edges = gridOf(spec)
  const { bins } = spec
  let [total, distance] = [0, 0]
  const list = Array.from({ length: bins }, (_, bin): CalibrationBin => {
    const positives = Math.max(0, readings[bin]!)
    const count = positives + Math.max(0, readings[bins + bin]!)
    const [from, to] = [edges[bin]!, edges[bin + 1]!]
    if (!(count > 0)) return { from, to, count: 0, score: null, observed: null }
    const [score, observed] = [readings[2 * bins + bin]!, positives / count]
    total += count
    distance += count * Math.abs(score - observed)
    return { from, to, count, score, observed }
  })
  return { bins: list, error: total > 0 ? distance / total : null }
}
