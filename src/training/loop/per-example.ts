/**
 * The sum of the gradients of single examples, each clipped to a norm before it is added (Abadi et al., arXiv 1607.00133):
 * what differential privacy adds its noise to. A batch a run where the layers allow it (graph/ghost.ts), else an example.
 */
import { discardOutput, inferShapes } from '../../onnx/index.ts'
import type { Model, Tensor } from '../../onnx/index.ts'
import { ghostGraph } from '../graph/ghost.ts'
import { CLIP, clippedGraph, dimsOf, summed } from '../graph/step.ts'
import type { Forward } from '../graph/forward.ts'
import { GRADIENT_NORM, next } from '../optimizers/index.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { openSession, scalarTensor } from './sessions.ts'
import type { SessionNeeds } from './sessions.ts'
import type { Tensors } from './stepper.ts'

export interface ClippedSum {
  /** By parameter: sum of g min(1, clip / |g|), |g| the norm over all parameters. */
  readonly sums: Tensors
  /** Of each example, before it was clipped. */
  readonly norms: readonly number[]
}

export interface PerExample {
  /** Examples that a run of the graph takes. */
  readonly atOnce: number
  /** @param feeds a batch: each tensor has the axis of examples in front */
  clippedSum(parameters: Tensors, feeds: Tensors, clip: number): Promise<ClippedSum>
  close(): Promise<void>
}

/** Values of all nodes that may be in memory together: 64 MiB of them. */
const MOST_ELEMENTS = 1 << 24
const MOST_AT_ONCE = 1024
/** Where the graph does not say what an example takes: texts have any length. */
const AT_ONCE = 32

/** @throws NoGradientRuleError, and the errors of the engine and the disk */
export async function createPerExample(needs: SessionNeeds, plan: TrainPlan, forward: Forward): Promise<PerExample> {
  const ghost = ghostGraph(plan, forward)
  const atOnce = ghost === undefined ? 1 : examplesAtOnce(ghost)
  const session = await openSession(needs, 'per-example', ghost ?? clippedGraph(plan, forward))
  const names = forward.parameters
  const emptySums = (): Tensors =>
    Object.fromEntries(names.map((name) => [summed(name), zeros(dimsOf(forward.model, name))]))
  // What every sum begins with: a run changes none of its inputs.
  const nothing = emptySums()
  return {
    atOnce,
    async clippedSum(parameters, feeds, clip) {
      let sums = nothing
      const norms: number[] = []
      const count = Object.values(feeds)[0]?.dims[0] ?? 0
      for (let row = 0; row < count; row += atOnce) {
        const own = Object.entries(feeds).map(([name, tensor]) => [name, examplesOf(tensor, row, atOnce)] as const)
        const results = await session.run({
          ...parameters,
          ...sums,
          ...Object.fromEntries(own),
          [CLIP]: scalarTensor(clip),
        })
        // Those before were nobody's but ours: of many examples they would be more than all else.
        if (sums !== nothing) for (const tensor of Object.values(sums)) discardOutput(tensor)
        sums = Object.fromEntries(names.map((name) => [summed(name), results[next(summed(name))]!]))
        for (const norm of results[GRADIENT_NORM]!.data) norms.push(Number(norm))
      }
      const own = sums === nothing ? emptySums() : sums
      return { sums: Object.fromEntries(names.map((name) => [name, own[summed(name)]!])), norms }
    },
    close: () => session.close(),
  }
}

/** Each run takes and gives the sums of all parameters: the fewer runs, the less is copied. */
function examplesAtOnce(graph: Model): number {
  let elements = 0
  for (const type of inferShapes(graph).types.values()) {
    const shape = type.kind === 'tensor' ? type.shape : undefined
    if (shape === undefined || shape === null) return AT_ONCE
    const [first, ...rest] = shape
    if (first === undefined || typeof first === 'number') continue
    let own = 1
    for (const size of rest) own *= typeof size === 'number' ? size : Number.NaN
    if (Number.isNaN(own)) return AT_ONCE
    elements += own
  }
  return Math.max(1, Math.min(MOST_AT_ONCE, Math.floor(MOST_ELEMENTS / Math.max(1, elements))))
}

function examplesOf({ type, dims, data }: Tensor, row: number, most: number): Tensor {
  const size = data.length / dims[0]!
  const end = Math.min(row + most, dims[0]!)
  return { type, dims: [end - row, ...dims.slice(1)], data: data.slice(row * size, end * size) }
}

function zeros(dims: readonly number[]): Tensor {
  return { type: 'float32', dims, data: new Float32Array(dims.reduce((product, size) => product * size, 1)) }
}
