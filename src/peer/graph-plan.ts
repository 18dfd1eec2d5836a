/**
 * What the planner is asked of a graph: a row is a run of nominal sizes, all its blocks may go to anybody, and what
 * crosses is what its manifest says of each cut. Runs of one stage come one after the other: none is shorter for company.
 */
import { NOMINAL_SIZES, valueBytes } from '../onnx/index.ts'
import type { PlannedValue } from '../onnx/index.ts'
import type { GraphManifest } from '../models/index.ts'
import type { PlanBlock, PlanInput, Stage } from '../placement/index.ts'

/** Runs at a time that a throughput is planned for, where nobody says: a pipeline is full with a few more than its stages. */
const STREAM = 8

export type GraphAsked = Pick<
  PlanInput,
  'blocks' | 'batchCurve' | 'context' | 'concurrency' | 'inputBytes' | 'prompt' | 'unit'
>

export function graphAsked(
  { blocks, graph }: Pick<GraphManifest, 'blocks' | 'graph'>,
  {
    objective = 'latency',
    concurrency = objective === 'throughput' ? STREAM : 1,
  }: Partial<Pick<PlanInput, 'objective' | 'concurrency'>>,
): GraphAsked {
  return {
    blocks: blocks.map(({ memory, flops }, index): PlanBlock => {
      const boundaryBytes = blocks[index + 1]?.boundary_bytes ?? bytesOf(graph.outputs)
      return { kind: 'graph', memory, flops, kv_bytes: 0, boundaryBytes }
    }),
    inputBytes: bytesOf(graph.inputs),
    batchCurve: [{ rows: 1, factor: 1 }],
    context: 1,
    prompt: 1,
    concurrency,
    unit: 'run',
  }
}

function bytesOf(values: readonly PlannedValue[]): number {
  return values.reduce((sum, { type, shape }) => {
    const known = { kind: 'tensor', type: type as 'float32', shape } as const
    return sum + (type === 'unknown' ? 0 : (valueBytes(known, NOMINAL_SIZES) ?? 0))
  }, 0)
}

/** The same model with fewer places to cut: blocks between two of these are one. */
export function withCuts<Asked extends GraphAsked>(asked: Asked, cuts: readonly number[]): Asked {
  const ends = [...cuts, asked.blocks.length]
  let from = 0
  const blocks = ends.map((to): PlanBlock => {
    const own = asked.blocks.slice(from, to)
    from = to
    const total = (key: 'memory' | 'flops'): number => own.reduce((sum, block) => sum + block[key], 0)
    return { ...own.at(-1)!, memory: total('memory'), flops: total('flops') }
  })
  return { ...asked, blocks }
}

/** Stages over such blocks, as stages of the model. */
export function inAllBlocks(stages: readonly Stage[], cuts: readonly number[], blocks: number): Stage[] {
  const starts = [0, ...cuts, blocks]
  return stages.map(({ peer, from, to }) => ({ peer, from: starts[from]!, to: starts[to]! }))
}
