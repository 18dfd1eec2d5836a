/** What is inferred of a model, as what cutting needs. */
import type { Dimension, Model, ValueType } from '../ir/index.ts'
import { inferShapes, nodeCosts, valueBytes } from '../shapes/index.ts'
import type { CutFacts } from './types.ts'

/** A nominal device: one core's float32 products, and what its memory moves. Only ratios matter for where to cut. */
const FLOPS_PER_SECOND = 20e9
const BYTES_PER_SECOND = 10e9
/** What the engine takes for a node that does nothing. */
const NODE_SECONDS = 2e-6

/** Sizes to count with for dimensions that are free. */
export type NominalSizes = (dimension: string | null) => number

/** One request; lengths and sides of a size that models are used with, and little where even the name is unknown. */
export const NOMINAL_SIZES: NominalSizes = (dimension) => {
  if (dimension === null || dimension.startsWith('?')) return 16
  return /batch|^n$|^b$/i.test(dimension) ? 1 : 128
}

export function factsOf(model: Model, sizes: NominalSizes = NOMINAL_SIZES): CutFacts {
  const inferred = inferShapes(model)
  const costs = nodeCosts(model, inferred, sizes)
  const types = new Map<string, ValueType>()
  for (const [name, type] of inferred.types) types.set(name, inferred.assumed.has(name) ? unsized(type) : type)
  const bytes = (name: string, bind: NominalSizes): number => {
    const type = inferred.types.get(name)
    return type === undefined ? 0 : finite(valueBytes(type, bind) ?? 0)
  }
  return {
    types,
    bytes: (name) => bytes(name, sizes),
    leastBytes: (name) => bytes(name, () => 1),
    seconds: (node) => {
      const cost = costs[node]
      if (cost === undefined) return NODE_SECONDS
      const moved = finite(cost.bytesRead) + finite(cost.bytesWritten)
      return NODE_SECONDS + Math.max(finite(cost.flops) / FLOPS_PER_SECOND, moved / BYTES_PER_SECOND)
    },
  }
}

/** Sizes that only the file claims may be stale; the rank is held by the engine. */
function unsized(type: ValueType): ValueType {
  if (type.kind !== 'tensor' || type.shape === null) return type
  return { ...type, shape: type.shape.map((): Dimension => null) }
}

/** Hostile sizes overflow. */
function finite(value: number): number {
  return Number.isFinite(value) && value > 0 ? Math.min(value, 1e18) : 0
}
