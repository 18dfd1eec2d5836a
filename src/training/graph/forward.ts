/** The model of a plan as a graph: preprocessing, layers, and what it says. */
import { addPreprocessing, FIELD, inputCount } from '../data/index.ts'
import type { Examples, FeatureForm } from '../data/index.ts'
import { TrainedModelError } from '../errors.ts'
import { fileGraph } from '../foreign/forward.ts'
import type { Teacher } from '../foreign/teacher.ts'
import type { GraphPlan } from '../plan/schema.ts'
import { buildDecoder, buildPairModel, buildZooModel, isPairModel } from '../zoo/index.ts'
import type { InitSpec, ModelInput } from '../zoo/index.ts'
import type { Model } from '../../onnx/index.ts'
import { emptyModel, GraphMaker } from './graph-maker.ts'
import { OUTPUT } from './names.ts'
import { forwardOf, isTrainedHere } from './trained.ts'

/** What a graph has to know of the examples. */
export interface ExampleForm extends Pick<Examples, 'outputs' | 'length'> {
  readonly input: Pick<Examples['input'], 'type' | 'dims'>
  readonly features?: readonly FeatureForm[] | undefined
}

export interface Forward {
  /** Takes `x`, gives `scores` and, for classes, `probability`. */
  readonly model: Model
  /** Names of what is trained. */
  readonly parameters: readonly string[]
  /** What goes into the first layer: the target of an autoencoder. */
  readonly inputs: string
  /** Of the scores: one number an example, or so many. */
  readonly outputs: number
  /** Of a ranking, for training: the scores of what was not chosen; the graph takes `other` then. */
  readonly otherScores?: string
  /** For training by distillation: whose scores are learnt. */
  readonly teacher?: Teacher | undefined
}

/**
 * @param isTrained for training: with what only a loss needs
 * @param file of a model of kind `onnx`, read
 * @throws TrainedModelError
 */
export function buildForward(
  plan: GraphPlan,
  examples: ExampleForm,
  seed: number,
  isTrained: boolean,
  file?: Model,
): Forward {
  if (plan.model.kind === 'onnx' && file !== undefined) return fileForward(plan, plan.model, examples, file)
  const maker = new GraphMaker(emptyModel(plan.name ?? 'model'))
  const init: InitSpec = plan.init ?? { seed }
  if (isPairModel(plan.model)) return pairForward(maker, plan, examples, init, isTrained)
  if (plan.task === 'ranking') throw new TrainedModelError('a ranking takes matrix-factorisation or two-towers')
  return plan.task === 'language'
    ? languageForward(maker, plan, examples, init)
    : plainForward(maker, plan, examples, init)
}

function plainForward(maker: GraphMaker, plan: GraphPlan, examples: ExampleForm, init: InitSpec): Forward {
  const { type, dims } = examples.input
  maker.input(FIELD.input, type, ['batch', ...dims])
  const input = prepared(maker, examples)
  const size = input.dims.reduce((product, dim) => product * dim, 1)
  const outputs = plan.task === 'autoencoder' ? size : examples.outputs
  const bias = plan.task !== 'survival'
  const zoo = buildZooModel(maker, plan.model, { input, outputs, bias, init })
  addOutputs(maker, plan, zoo.scores, outputs)
  return { model: maker.model(), parameters: zoo.parameters, inputs: input.name, outputs }
}

function fileForward(
  plan: GraphPlan,
  spec: Extract<GraphPlan['model'], { kind: 'onnx' }>,
  examples: ExampleForm,
  file: Model,
): Forward {
  if (plan.task === 'language' || plan.task === 'ranking') {
    throw new TrainedModelError(`a model file is not trained for ${plan.task}`)
  }
  // One that was made here has its preprocessing inside: it takes examples as the data has them.
  const made = isTrainedHere(file) ? forwardOf(file) : undefined
  let inputs = made?.inputs ?? ''
  const { maker, scores, scoresShape, parameters, finish } = fileGraph(file, spec, (added) => {
    const { type, dims } = examples.input
    added.input(FIELD.input, type, ['batch', ...dims])
    if (made !== undefined) return FIELD.input
    inputs = prepared(added, examples).name
    return inputs
  })
  const last = scoresShape.at(-1)
  const isWide = plan.task === 'multiclass' || plan.task === 'autoencoder'
  const isFlat = scoresShape.length === 1 && !isWide
  const isOther = typeof last === 'number' && last !== examples.outputs && plan.task !== 'autoencoder'
  if (!isFlat && (scoresShape.length !== 2 || isOther)) {
    const wanted = `[batch, ${isWide ? examples.outputs : 1}]`
    throw new TrainedModelError(`its output is [${scoresShape.join(', ')}], and the task takes ${wanted}`)
  }
  const outputs = plan.task === 'autoencoder' && typeof last === 'number' ? last : examples.outputs
  addOutputs(maker, plan, isFlat ? maker.op('Unsqueeze', [scores, maker.int64s([1])]) : scores, outputs)
  return { model: finish(maker), parameters, inputs, outputs }
}

/** x [batch, 2]: the numbers of two ids. */
function pairForward(
  maker: GraphMaker,
  plan: GraphPlan,
  { features = [] }: ExampleForm,
  init: InitSpec,
  isTrained: boolean,
): Forward {
  const [user, item, ...more] = features
  if (user?.kind !== 'id' || item?.kind !== 'id' || more.length > 0 || plan.task === 'multiclass') {
    throw new TrainedModelError(`${plan.model.kind} takes two features with "ids", and one number for each pair`)
  }
  maker.input(FIELD.input, 'float32', ['batch', 2])
  const sizes = { users: user.names.length, items: item.names.length }
  const { score, parameters } = buildPairModel(maker, plan.model, sizes, init)
  const column = (at: number): string => {
    const value = maker.op('Gather', [FIELD.input, maker.constant('int64', [], [at])], { axis: 1 })
    return maker.op('Cast', [value], { to: 7 })
  }
  const who = column(0)
  addOutputs(maker, plan, score(who, column(1)), 1)
  const forward = { parameters, inputs: FIELD.input, outputs: 1 }
  if (plan.task !== 'ranking' || !isTrained) return { ...forward, model: maker.model() }
  const other = maker.input(FIELD.other, 'int64', ['batch'])
  const otherScores = maker.op('Squeeze', [score(who, other), maker.int64s([1])])
  return { ...forward, model: maker.model(), otherScores }
}

/** x int64 [batch, length] */
function languageForward(maker: GraphMaker, plan: GraphPlan, examples: ExampleForm, init: InitSpec): Forward {
  maker.input(FIELD.input, 'int64', ['batch', 'length'])
  const { outputs: vocabulary, length } = examples
  const { scores, parameters } = buildDecoder(maker, plan.model, FIELD.input, { vocabulary, length }, init)
  maker.output(OUTPUT.scores, 'float32', ['batch', 'length', vocabulary], scores)
  return { model: maker.model(), parameters, inputs: FIELD.input, outputs: vocabulary }
}

/** float32: a table standardised, bytes of images in [0, 1]. */
function prepared(maker: GraphMaker, { input, features }: ExampleForm): ModelInput {
  if (features?.some(({ kind }) => kind === 'id') === true) {
    throw new TrainedModelError('features with "ids" are for matrix-factorisation and two-towers')
  }
  if (features !== undefined) {
    return { name: addPreprocessing(maker, FIELD.input, features), dims: [inputCount(features)] }
  }
  const { type, dims } = input
  if (type === 'float32') return { name: FIELD.input, dims }
  maker.named('preprocess')
  const cast = maker.op('Cast', [FIELD.input], { to: 1 })
  return { name: type === 'uint8' ? maker.op('Mul', [cast, maker.scalar(1 / 255)]) : cast, dims }
}

function addOutputs(maker: GraphMaker, { task }: GraphPlan, scores: string, outputs: number): void {
  maker.named('output')
  if (task === 'multiclass') {
    maker.output(OUTPUT.scores, 'float32', ['batch', outputs], scores)
    maker.output(OUTPUT.probability, 'float32', ['batch', outputs], maker.op('Softmax', [scores], { axis: -1 }))
    return
  }
  if (task === 'autoencoder') {
    maker.output(OUTPUT.scores, 'float32', ['batch', outputs], scores)
    return
  }
  const flat = maker.op('Squeeze', [scores, maker.int64s([1])])
  maker.output(OUTPUT.scores, 'float32', ['batch'], flat)
  if (task === 'binary') maker.output(OUTPUT.probability, 'float32', ['batch'], maker.op('Sigmoid', [flat]))
}
