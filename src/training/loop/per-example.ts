/**
 * The sum of the gradients of single examples, each clipped to a norm before it is added (Abadi et al., arXiv 1607.00133):
 * what differential privacy adds its noise to. One example a run of the graph, whatever the layers.
 */
import type { Tensor } from '../../onnx/index.ts'
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
  /** @param feeds a batch: each tensor has the axis of examples in front */
  clippedSum(parameters: Tensors, feeds: Tensors, clip: number): Promise<ClippedSum>
  close(): Promise<void>
}

/** @throws NoGradientRuleError, and the errors of the engine and the disk */
export async function createPerExample(needs: SessionNeeds, plan: TrainPlan, forward: Forward): Promise<PerExample> {
  const session = await openSession(needs, 'per-example', clippedGraph(plan, forward))
  const names = forward.parameters
  return {
    async clippedSum(parameters, feeds, clip) {
      let sums: Tensors = Object.fromEntries(names.map((name) => [summed(name), zeros(dimsOf(forward.model, name))]))
      const norms: number[] = []
      const count = Object.values(feeds)[0]?.dims[0] ?? 0
      for (let row = 0; row < count; row++) {
        const own = Object.entries(feeds).map(([name, tensor]) => [name, exampleOf(tensor, row)] as const)
        const results = await session.run({
          ...parameters,
          ...sums,
          ...Object.fromEntries(own),
          [CLIP]: scalarTensor(clip),
        })
        sums = Object.fromEntries(names.map((name) => [summed(name), results[next(summed(name))]!]))
        norms.push(Number(results[GRADIENT_NORM]!.data[0]))
      }
      return { sums: Object.fromEntries(names.map((name) => [name, sums[summed(name)]!])), norms }
    },
    close: () => session.close(),
  }
}

function exampleOf({ type, dims, data }: Tensor, row: number): Tensor {
  const size = data.length / dims[0]!
  return { type, dims: [1, ...dims.slice(1)], data: data.slice(row * size, (row + 1) * size) }
}

function zeros(dims: readonly number[]): Tensor {
  return { type: 'float32', dims, data: new Float32Array(dims.reduce((product, size) => product * size, 1)) }
}
