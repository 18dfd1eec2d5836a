/** Which losses a task has, and the one of a plan that names none. */
import type { GraphPlan, TrainPlan } from '../plan/schema.ts'
import type { LossSpec } from './types.ts'

const DEFAULTS: Readonly<Record<TrainPlan['task'], LossSpec>> = {
  binary: { kind: 'binary-cross-entropy' },
  multiclass: { kind: 'cross-entropy' },
  regression: { kind: 'mse' },
  survival: { kind: 'cox' },
  autoencoder: { kind: 'mse' },
  ranking: { kind: 'bpr' },
  language: { kind: 'cross-entropy' },
}

/** Another would train, and learn something else, or meet labels of another form. */
export const LOSSES_OF: Readonly<Record<TrainPlan['task'], readonly LossSpec['kind'][]>> = {
  binary: ['binary-cross-entropy', 'distillation'],
  multiclass: ['cross-entropy', 'distillation'],
  regression: ['mse', 'huber'],
  survival: ['cox'],
  autoencoder: ['mse', 'huber'],
  ranking: ['bpr'],
  language: ['cross-entropy', 'distillation'],
}

/** By the labels: what models are compared by, and the rest of a distillation. */
export function hardLossOf(plan: GraphPlan): LossSpec {
  const loss = lossOf(plan)
  return loss.kind === 'distillation' ? DEFAULTS[plan.task] : loss
}

export function lossOf(plan: GraphPlan): LossSpec {
  return plan.loss ?? DEFAULTS[plan.task]
}
