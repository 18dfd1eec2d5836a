/** Into which bin a value falls. */
import type { BinSpec } from '../plan/analysis-schema.ts'
import type { RecordRow } from './records.ts'

export function equalEdges([low, high]: readonly [number, number], bins: number): Float64Array {
  return Float64Array.from({ length: bins + 1 }, (_, index) =>
    index === bins ? high : low + ((high - low) * index) / bins,
  )
}

/** Of numbers. */
export function edgesOf({ edges, range, bins }: BinSpec): Float64Array {
  return edges === undefined ? equalEdges(range!, bins!) : Float64Array.from(edges)
}

/** How many edges lie at or below the value. */
function rank(edges: Float64Array, value: number): number {
  let [low, high] = [0, edges.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (edges[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low
}

/** Bin k is [edge k, edge k + 1), the last with its upper edge; -1 below, as many as there are bins above. */
export function binOf(edges: Float64Array, value: number): number {
  const bins = edges.length - 1
  if (value === edges[bins]) return bins - 1
  return rank(edges, value) - 1
}

/** Interval k is (edge k, edge k + 1], the first with its lower edge: what ends at a time is in the interval up to it. */
export function intervalOf(edges: Float64Array, value: number): number {
  const above = rank(edges, value)
  if (above === 0) return -1
  // At an edge the value closes the interval before it.
  const at = edges[above - 1] === value ? above - 2 : above - 1
  return Math.max(0, at)
}

/** Places of a histogram: its bins, then below, above and missing; or its values, then others and missing. */
export interface Binning {
  readonly column: string
  readonly size: number
  readonly place: (row: RecordRow) => number
}

export function binning(column: string, spec: BinSpec): Binning {
  const { values } = spec
  if (values !== undefined) {
    const size = values.length + 2
    return { column, size, place: (row) => row.place(column, values) ?? size - 1 }
  }
  const edges = edgesOf(spec)
  const bins = edges.length - 1
  return {
    column,
    size: bins + 3,
    place(row) {
      const value = row.number(column)
      if (value === undefined) return bins + 2
      const bin = binOf(edges, value)
      return bin < 0 ? bins : bin >= bins ? bins + 1 : bin
    },
  }
}
