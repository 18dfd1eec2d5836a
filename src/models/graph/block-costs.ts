/** The blocks of a graph, numbered as its manifest has them, and what each costs. */
import { assignParts, blocksOf, inferShapes, nodeCosts, NOMINAL_SIZES } from '../../onnx/index.ts'
import type { factsOf, Model } from '../../onnx/index.ts'

export interface BlockCosts {
  /** Names of the initializers that it uses. */
  readonly initializers: ReadonlySet<string>
  /** With nominal sizes for free dimensions. */
  readonly flops: number
  /** Of all that crosses from the blocks before it; 0 for the first. */
  readonly boundaryBytes: number
}

type Facts = ReturnType<typeof factsOf>
type Blocks = ReturnType<typeof blocksOf>

/** As `weft split --cuts` counts them: blocks that keep whole what the engine fuses, where there are two of them. */
export function numberedBlocks(model: Model, facts: Facts): Blocks {
  const fused = blocksOf(model, facts, true)
  return fused.starts.length > 2 ? fused : blocksOf(model, facts, false)
}

export function blockCosts(model: Model, facts: Facts, blocks: Blocks): readonly BlockCosts[] {
  const costs = nodeCosts(model, inferShapes(model), NOMINAL_SIZES)
  const starts = blocks.starts.slice(1, -1).map((_, index) => index + 1)
  return assignParts(blocks, facts, starts).map((part, index): BlockCosts => {
    const flops = part.nodes.reduce((sum, node) => sum + finite(costs[node]?.flops ?? 0), 0)
    return {
      initializers: new Set(part.initializers),
      flops: Math.round(flops),
      boundaryBytes: Math.round(finite(blocks.crossing[index] ?? 0)),
    }
  })
}

function finite(value: number): number {
  return Number.isFinite(value) ? Math.min(value, Number.MAX_SAFE_INTEGER) : 0
}
