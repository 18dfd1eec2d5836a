/** Quantiles by a histogram whose bins around each quantile are parted again in each further round. */
import type { StatisticOf } from '../plan/analysis-schema.ts'
import { binOf, equalEdges } from './bins.ts'
import { bySum } from './part.ts'
import type { Part } from './part.ts'

type Spec = StatisticOf<'quantiles'>

/**
 * Where a quantile lies: an interval, how many records are below it and in it. In the readings of a round each level has
 * these four numbers; behind them stands how many records there are.
 */
export interface Bracket {
  readonly low: number
  readonly high: number
  readonly below: number
  readonly within: number
}

const FIELDS = 4

export function bracketsOf({ at }: Spec, readings: ArrayLike<number>): { brackets: Bracket[]; total: number } {
  const brackets = at.map((_, level): Bracket => {
    const [low, high, below, within] = [0, 1, 2, 3].map((field) => readings[FIELDS * level + field]!)
    return { low: low!, high: high!, below: below!, within: within! }
  })
  return { brackets, total: readings[FIELDS * at.length]! }
}

/** Intervals that differ: levels that fell into one bin share it, and bins of one grid are disjoint. */
function intervals(brackets: readonly Bracket[]): [number, number][] {
  const distinct = new Map(brackets.map(({ low, high }) => [`${low} ${high}`, [low, high] as [number, number]]))
  return [...distinct.values()]
}

/** @param before readings of the round before; undefined in the first */
export function quantilesPart(spec: Spec, before: ArrayLike<number> | undefined): Part {
  const { column, bins, at } = spec
  const known = before === undefined ? undefined : bracketsOf(spec, before)
  const grids = (known === undefined ? [spec.range] : intervals(known.brackets)).map((range) => equalEdges(range, bins))
  // The first round counts what lies below and above as well.
  const extra = known === undefined ? 2 : 0
  const size = grids.length * bins + extra
  const place = (value: number): number | undefined => {
    for (const [index, edges] of grids.entries()) {
      const bin = binOf(edges, value)
      const isLast = value === edges[bins]
      // An inner bin is half open: its upper edge is the lower one of the next.
      if (bin >= 0 && bin < bins && !(isLast && edges[bins] !== spec.range[1])) return index * bins + bin
    }
    if (extra === 0) return undefined
    return value < spec.range[0] ? bins : bins + 1
  }
  return {
    size,
    wide: 0,
    columns: [column],
    ...bySum(1),
    tally: ({ scale }) => {
      const counts = new Float64Array(size)
      return {
        counts,
        wide: [],
        add(row) {
          const value = row.number(column)
          const found = value === undefined ? undefined : place(value)
          if (found !== undefined) counts[found]! += scale
        },
      }
    },
    read: (counts) => {
      const positive = counts.map((value) => Math.max(0, value))
      const total = known?.total ?? positive.reduce((sum, value) => sum + value, 0)
      const all = intervals(known?.brackets ?? [])
      const brackets = at.map((p, level): Bracket => {
        const target = p * total
        const bracket = known?.brackets[level]
        if (bracket === undefined) return located(grids[0]!, positive.subarray(0, bins), positive[bins]!, target)
        const grid = all.findIndex(([low, high]) => low === bracket.low && high === bracket.high)
        return located(grids[grid]!, positive.subarray(grid * bins, (grid + 1) * bins), bracket.below, target)
      })
      return [...brackets.flatMap(({ low, high, below, within }) => [low, high, below, within]), total]
    },
  }
}

/** The bin up to whose end `target` records lie; the nearest one where there is none. */
function located(edges: Float64Array, counts: Float64Array, before: number, target: number): Bracket {
  let below = before
  for (const [bin, within] of counts.entries()) {
    if (below + within >= target && within > 0) return { low: edges[bin]!, high: edges[bin + 1]!, below, within }
    below += within
  }
  // Noise, or values above the range: the last bin that has any.
  const last = Math.max(
    0,
    counts.findLastIndex((value) => value > 0),
  )
  return { low: edges[last]!, high: edges[last + 1]!, below: below - counts[last]!, within: counts[last]! }
}

/** By a straight line within its bin. */
export function interpolated({ low, high, below, within }: Bracket, target: number): number {
  const share = within > 0 ? Math.min(1, Math.max(0, (target - below) / within)) : 0.5
  return low + share * (high - low)
}
