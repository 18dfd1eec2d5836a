/** What a run holds whatever its batches are, against the memory that its plan allows. */
import { TrainingMemoryError } from '../errors.ts'
import type { Forward } from '../graph/forward.ts'
import type { TrainPlan } from '../plan/schema.ts'

export function countOf({ model, parameters }: Forward): number {
  return parameters.reduce((sum, name) => {
    const dims = model.graph.initializers.get(name)?.dims ?? []
    return sum + dims.reduce((product, size) => product * size, 1)
  }, 0)
}

/** Tensors of each optimizer for a parameter. */
const STATE_TENSORS = { sgd: 1, adam: 2, adamw: 2, adagrad: 1, lion: 1 } as const

/** Bytes of parameters before and after a step, gradients, state before and after, and a teacher: what no batch size makes smaller. */
export function fixedBytes(plan: TrainPlan, forward: Forward): number {
  const teacher = [...(forward.teacher?.model.graph.initializers.values() ?? [])]
  const held = teacher.reduce((sum, { data }) => sum + (data.kind === 'bytes' ? data.bytes.length : 0), 0)
  return held + 4 * countOf(forward) * (3 + 2 * STATE_TENSORS[plan.optimizer.kind])
}

/** @param budget bytes of the run. @throws TrainingMemoryError */
export function checkMemory(plan: TrainPlan, forward: Forward, budget: number): void {
  const needed = fixedBytes(plan, forward)
  if (needed > budget) throw new TrainingMemoryError(needed, budget)
}
