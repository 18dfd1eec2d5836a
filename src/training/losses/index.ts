/** One loss, by its kind. */
import type { GraphMaker } from '../graph/graph-maker.ts'
import { binaryCrossEntropy, crossEntropy, distillation } from './classification.ts'
import { bayesianRanking, coxPartialLikelihood, huber, meanSquares } from './regression.ts'
import type { LossInputs, LossSpec } from './types.ts'

export type { LossInputs, LossKind, LossSpec } from './types.ts'

/**
 * Adds the nodes of a loss and returns the name of its value, a float32 scalar.
 * @param classes of a cross-entropy
 * @param last of Cox with ties as Breslow has them: for each row the last one of its time
 */
export function addLoss(
  maker: GraphMaker,
  spec: LossSpec,
  inputs: LossInputs,
  { classes = 0, last }: { readonly classes?: number; readonly last?: string } = {},
): string {
  if (spec.kind === 'cross-entropy') return crossEntropy(maker, inputs, spec, classes)
  if (spec.kind === 'binary-cross-entropy') return binaryCrossEntropy(maker, inputs, spec)
  if (spec.kind === 'mse') return meanSquares(maker, inputs)
  if (spec.kind === 'huber') return huber(maker, inputs, spec)
  if (spec.kind === 'cox') return coxPartialLikelihood(maker, { scores: inputs.scores, event: inputs.target, last })
  return spec.kind === 'bpr' ? bayesianRanking(maker, inputs) : distillation(maker, inputs, spec)
}
