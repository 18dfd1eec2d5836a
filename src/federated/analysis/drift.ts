/**
 * Whether sites are alike, without seeing one: first the histogram of all together, then each site counts itself in the
 * bin of its own distance from the others. Of a column of labels it is their skew.
 */
import type { StatisticOf } from '../plan/analysis-schema.ts'
import { binning } from './bins.ts'
import { bySum, placing } from './part.ts'
import type { Part } from './part.ts'

type Spec = StatisticOf<'drift'>

const DISTANCES: readonly number[] = [0.05, 0.1, 0.2, 0.4]

/** Edges of the distances, 0 and 1 with them. */
export function distanceEdges({ distances }: Spec): number[] {
  return [0, ...(distances ?? DISTANCES).toSorted((left, right) => left - right), 1]
}

/** Readings: the histogram of all sites, in the order of `Binning`. */
export function poolPart(spec: Spec): Part {
  const { size, place, column } = binning(spec.column, spec)
  const read = (counts: Float64Array): number[] => [...counts]
  return { size, wide: 0, columns: [column], ...bySum(1), tally: placing(size, place), read }
}

/** Half the sum of differences of shares, of one site and of all others: 0 alike, 1 nothing in common; null: no others. */
export function distanceFromOthers(pool: ArrayLike<number>, own: ArrayLike<number>): number | null {
  const others = Array.from(pool, (value, index) => Math.max(0, value - own[index]!))
  const [all, mine] = [others, Array.from(own)].map((list) => list.reduce((sum, value) => sum + value, 0))
  if (!(all! > 0) || !(mine! > 0)) return null
  return others.reduce((sum, value, index) => sum + Math.abs(value / all! - own[index]! / mine!), 0) / 2
}

/**
 * Readings: how many sites are in each bin of the distances. One record moves its site from one bin to another at most;
 * a site is one count, however many records it has.
 * @param pool readings of the first round
 */
export function distancePart(spec: Spec, pool: ArrayLike<number>): Part {
  const { size, place, column } = binning(spec.column, spec)
  const edges = distanceEdges(spec)
  const bins = edges.length - 1
  return {
    size: bins,
    wide: 0,
    columns: [column],
    ofRecord: Math.SQRT2,
    ofSite: () => 1,
    most: () => 1,
    tally: ({ scale }) => {
      const counts = new Float64Array(bins)
      const own = new Float64Array(size)
      return {
        counts,
        wide: [],
        add(row) {
          own[place(row)]! += 1
        },
        end() {
          const distance = distanceFromOthers(pool, own)
          if (distance === null) return
          const found = edges.findLastIndex((edge) => edge <= distance)
          counts[Math.min(bins - 1, found)] = scale
        },
      }
    },
    read: (counts) => [...counts],
  }
}
