/** The graphs of a run: one step of training, its halves where gradients are summed up first, and evaluation. */
import type { Model } from '../../onnx/index.ts'
import { differentiate } from '../autodiff/differentiate.ts'
import type { Checkpointing } from '../autodiff/types.ts'
import { FIELD } from '../data/index.ts'
import { addTeacher } from '../foreign/teacher.ts'
import { hardLossOf, lossOf } from '../losses/default.ts'
import { addLoss } from '../losses/index.ts'
import type { LossSpec } from '../losses/index.ts'
import { addUpdate, GRADIENT_NORM, next } from '../optimizers/index.ts'
import type { StateTensor, Trained } from '../optimizers/index.ts'
import type { GraphPlan, TrainPlan } from '../plan/schema.ts'
import { normOf, squaresOf, wide } from './exact-norm.ts'
import { OUTPUT } from './names.ts'
import type { Forward } from './forward.ts'
import { emptyModel, GraphMaker } from './graph-maker.ts'
import { pruned } from './prune.ts'

/** Input of Cox's loss with ties together: for each row the last one of its time. */
export const LAST_OF_TIME = 'last_of_time'
/** Share of a step's examples that a batch has, where several make a step. */
export const SHARE = 'share'
/** The norm to which the gradient of one example is clipped; above 0. */
export const CLIP = 'clip'
export const summed = (name: string): string => `sum/${name}`

export interface StepGraph {
  readonly model: Model
  /** Tensors of the optimizer. */
  readonly state: readonly StateTensor[]
}

/** Forward and loss, parameters as inputs: gives `scores` and `loss`; of a ranking the scores alone. */
export function evaluationGraph(plan: TrainPlan, forward: Forward): Model {
  const maker = new GraphMaker(plan.task === 'ranking' ? forward.model : withLoss(plan, forward))
  maker.demote(forward.parameters)
  maker.dropOutputs(new Set([OUTPUT.probability]))
  return maker.model()
}

/**
 * Batch, parameters, state in; loss, new parameters, new state out.
 * @param activations what those may take that the backward pass needs
 * @throws NoGradientRuleError, MemoryBudgetError
 */
export function stepGraph(plan: TrainPlan, forward: Forward, activations?: Checkpointing): StepGraph {
  const { maker, trained } = backward(plan, forward, activations)
  const { state } = addUpdate(maker, plan.optimizer, trained)
  return { model: pruned(maker.model()), state }
}

/** Batch, parameters, sums in; loss, sums with this batch's share of the gradient out. */
export function gradientGraph(plan: GraphPlan, forward: Forward, activations?: Checkpointing): Model {
  const { maker, trained } = backward(plan, forward, activations)
  maker.input(SHARE, 'float32', [])
  maker.named('sum')
  for (const { name, dims, gradient } of trained) {
    const before = maker.input(summed(name), 'float32', dims)
    const after = maker.op('Add', [before, maker.op('Mul', [gradient, SHARE])])
    maker.output(next(summed(name)), 'float32', dims, after)
  }
  return pruned(maker.model())
}

/** One example, parameters, sums in; sums with its clipped gradient, and the gradient's norm, out. */
export function clippedGraph(plan: TrainPlan, forward: Forward): Model {
  const { maker, trained } = backward(plan, forward)
  maker.input(CLIP, 'float32', [])
  maker.named('clip')
  const norm = normOf(
    maker,
    trained.map(({ gradient }) => squaresOf(maker, wide(maker, gradient))),
  )
  maker.output(GRADIENT_NORM, 'float32', [], norm)
  const scale = maker.op('Div', [CLIP, maker.op('Max', [norm, CLIP])])
  for (const { name, dims, gradient } of trained) {
    const before = maker.input(summed(name), 'float32', dims)
    const after = maker.op('Add', [before, maker.op('Mul', [gradient, scale])])
    maker.output(next(summed(name)), 'float32', dims, after)
  }
  return maker.model()
}

/** Parameters, state, sums in; new parameters, new state out. */
export function updateGraph(plan: TrainPlan, forward: Forward): StepGraph {
  const maker = new GraphMaker(emptyModel('update'))
  const trained = forward.parameters.map((name): Trained => {
    const dims = dimsOf(forward.model, name)
    maker.input(name, 'float32', dims)
    return { name, dims, gradient: maker.input(summed(name), 'float32', dims) }
  })
  const { state } = addUpdate(maker, plan.optimizer, trained)
  return { model: maker.model(), state }
}

export function dimsOf({ graph }: Model, parameter: string): readonly number[] {
  return graph.initializers.get(parameter)?.dims ?? []
}

function backward(
  plan: GraphPlan,
  forward: Forward,
  activations?: Checkpointing,
): { readonly maker: GraphMaker; readonly trained: Trained[] } {
  const request = { loss: OUTPUT.loss, wrt: forward.parameters }
  const checkpoint = activations === undefined ? {} : { checkpoint: activations }
  const { model, gradients } = differentiate(withLoss(plan, forward), { ...request, ...checkpoint })
  const trained = forward.parameters.map((name): Trained => ({
    name,
    dims: dimsOf(model, name),
    gradient: gradients.get(name)!,
  }))
  const maker = new GraphMaker(model)
  maker.dropOutputs(new Set([OUTPUT.scores, OUTPUT.probability, ...gradients.values()]))
  maker.demote(forward.parameters)
  return { maker, trained }
}

/** @returns the model with its loss as an output, and what that needs as inputs */
export function withLoss(plan: GraphPlan, { model, inputs, outputs, otherScores, teacher }: Forward): Model {
  const maker = new GraphMaker(model, 'loss')
  const spec = hardLossOf(plan)
  const scores = OUTPUT.scores
  if (plan.task === 'autoencoder') {
    maker.output(OUTPUT.loss, 'float32', [], addLoss(maker, spec, { scores, target: inputs }))
    return maker.model()
  }
  if (otherScores !== undefined) {
    maker.output(OUTPUT.loss, 'float32', [], addLoss(maker, spec, { scores, target: otherScores }))
    return maker.model()
  }
  const isText = plan.task === 'language'
  const isClass = plan.task === 'multiclass' || isText
  const target = maker.input(FIELD.target, isClass ? 'int64' : 'float32', isText ? ['batch', 'length'] : ['batch'])
  const isTied = spec.kind === 'cox' && spec.ties === 'breslow'
  const options = { classes: outputs, ...(isTied ? { last: maker.input(LAST_OF_TIME, 'int64', ['batch']) } : {}) }
  const hard = addLoss(maker, spec, { scores, target }, options)
  const soft = lossOf(plan)
  const isSoft = soft.kind === 'distillation' && teacher !== undefined
  const loss = isSoft ? softLoss(maker, plan, soft, addTeacher(maker, teacher, inputs), hard) : hard
  maker.output(OUTPUT.loss, 'float32', [], loss)
  return maker.model()
}

/** `share` of the divergence from the teacher, and the rest of what the labels say. */
function softLoss(
  maker: GraphMaker,
  { task }: GraphPlan,
  spec: Extract<LossSpec, { kind: 'distillation' }>,
  target: string,
  hard: string,
): string {
  // Of one logit: the classes 0 and 1, of which the first has the score 0.
  const wide = (value: string): string => {
    if (task !== 'binary') return value
    const column = maker.op('Reshape', [value, maker.int64s([-1, 1])])
    return maker.op('Concat', [maker.op('Mul', [column, maker.scalar(0)]), column], { axis: 1 })
  }
  const soft = addLoss(maker, spec, { scores: wide(OUTPUT.scores), target: wide(target) })
  const { share = 1 } = spec
  if (share === 1) return soft
  const parts = [maker.op('Mul', [soft, maker.scalar(share)]), maker.op('Mul', [hard, maker.scalar(1 - share)])]
  return maker.op('Add', parts)
}
