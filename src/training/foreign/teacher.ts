/**
 * A trained model that another learns from (Hinton et al., arXiv 1503.02531): its graph stands, frozen, in the graph of a step,
 * takes the same examples, and gives the scores that the loss compares with. Nothing of it is in what comes of the run.
 */
import { freshNames, inferShapes, renameValues } from '../../onnx/index.ts'
import type { Dimension, Model, ValueInfo } from '../../onnx/index.ts'
import { FIELD } from '../data/index.ts'
import type { Examples } from '../data/index.ts'
import { TrainedModelError } from '../errors.ts'
import type { GraphMaker } from '../graph/graph-maker.ts'
import { OUTPUT } from '../graph/names.ts'
import { isTrainedHere } from '../graph/trained.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { chosen } from './forward.ts'

export type TeacherSpec = NonNullable<TrainPlan['teacher']>

export interface Teacher {
  readonly model: Model
  readonly input: string
  readonly output: string
  /** It takes examples as the data has them; else what goes into the first layer of the model that is trained. */
  readonly takesRaw: boolean
}

/** Of these operators an older set means something else by the same attributes and inputs. */
const CHANGED: ReadonlySet<string> = new Set(['GroupNormalization'])

/** What they give is no logit any more: the loss would take a softmax of probabilities. */
const PROBABLE: ReadonlySet<string> = new Set(['Softmax', 'Sigmoid', 'HardSigmoid'])
/** The same numbers go through them. */
const PASSING: ReadonlySet<string> = new Set(['Identity', 'Cast', 'Squeeze', 'Unsqueeze', 'Reshape', 'Flatten'])

/**
 * @param outputs of the model that is trained
 * @throws TrainedModelError when it takes or gives something else than the model, or its input is not clear
 */
export function teacherOf(
  model: Model,
  spec: TeacherSpec,
  { input: examples }: Pick<Examples, 'input'>,
  outputs: number,
): Teacher {
  const { graph } = model
  const takesRaw = isTrainedHere(model)
  const names = takesRaw ? { input: FIELD.input, output: OUTPUT.scores } : { input: undefined, output: undefined }
  const inputs = graph.inputs.filter(({ name }) => !graph.initializers.has(name))
  if (inputs.length > 1) throw new TrainedModelError(`the teacher takes ${inputs.length} inputs, and one is fed`)
  const taken = chosen('input', spec.input ?? names.input, inputs)
  if (takesRaw) checkInput(taken, examples)
  const input = taken.name
  const output = chosen('output', spec.output ?? names.output, graph.outputs).name
  const odd = graph.nodes.find(({ domain, opType }) => domain === '' && CHANGED.has(opType))
  if (odd !== undefined && (model.opsets.get('') ?? 0) < 21) {
    throw new TrainedModelError(`the teacher has ${odd.opType} of an operator set before 21: export it anew`)
  }
  const by = makerOf(model, output)
  if (by !== undefined && PROBABLE.has(by)) {
    throw new TrainedModelError(
      `the teacher's output ${output} is of a ${by}: it has to give logits, as they are before it`,
    )
  }
  const type = inferShapes(model).types.get(output)
  const shape: readonly Dimension[] = type?.kind === 'tensor' ? (type.shape ?? []) : []
  const last = shape.length < 2 ? 1 : shape.at(-1)
  if (typeof last === 'number' && last !== outputs) {
    throw new TrainedModelError(`the teacher gives [${shape.join(', ')}], and the model has ${outputs} classes`)
  }
  return { model, input, output, takesRaw }
}

/** The operator that made the numbers of a value. */
function makerOf({ graph }: Model, value: string): string | undefined {
  const made = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)))
  let node = made.get(value)
  while (node !== undefined && PASSING.has(node.opType)) node = made.get(node.inputs[0] ?? '')
  return node?.opType
}

/** Sizes that both know. @throws TrainedModelError */
function checkInput({ type }: ValueInfo, { type: element, dims }: Examples['input']): void {
  const [, ...shape] = type?.kind === 'tensor' ? (type.shape ?? []) : []
  const isOther = shape.some((size, axis) => typeof size === 'number' && size !== dims[axis])
  if (type?.kind === 'tensor' && type.type === element && shape.length === dims.length && !isOther) return
  throw new TrainedModelError(
    `the teacher takes [${shape.join(', ')}], and an example is ${element} [${dims.join(', ')}]`,
  )
}

/** @param inputs what goes into the first layer of the model that is trained. @returns the teacher's scores */
export function addTeacher(maker: GraphMaker, { model, input, output, takesRaw }: Teacher, inputs: string): string {
  const { graph } = model
  const fresh = freshNames(maker.model().graph)
  const values = [...graph.initializers.keys(), ...graph.nodes.flatMap(({ outputs }) => outputs)].filter(
    (name) => name !== '',
  )
  const names = new Map(values.map((name) => [name, fresh(`teacher/${name}`)]))
  names.set(input, takesRaw ? FIELD.input : inputs)
  maker.graft({ ...model, graph: renameValues(graph, names) })
  return names.get(output)!
}
