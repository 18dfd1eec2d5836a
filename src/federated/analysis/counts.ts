/** Counts and histograms. */
import type { StatisticOf } from '../plan/analysis-schema.ts'
import { binning } from './bins.ts'
import { bySum, grouped, placing } from './part.ts'
import type { Part } from './part.ts'

export function countPart({ by }: StatisticOf<'count'>): Part {
  const read = (counts: Float64Array): number[] => [...counts]
  return grouped({ size: 1, wide: 0, columns: [], ...bySum(1), tally: placing(1, () => 0), read }, by)
}

/** Readings are the counts, in the order of `Binning`. */
export function histogramPart(spec: StatisticOf<'histogram'>): Part {
  const { size, place, column } = binning(spec.column, spec)
  const read = (counts: Float64Array): number[] => [...counts]
  return grouped({ size, wide: 0, columns: [column], ...bySum(1), tally: placing(size, place), read }, spec.by)
}
