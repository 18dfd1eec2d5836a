/** The graph of a model file, between the input of the examples and the scores that a loss takes. */
import { checkModel, freshNames, inferShapes, renameValues, shownList } from '../../onnx/index.ts'
import type { Dimension, Model, ValueInfo } from '../../onnx/index.ts'
import { TrainedModelError } from '../errors.ts'
import { GraphMaker } from '../graph/graph-maker.ts'
import { OUTPUT } from '../graph/names.ts'
import type { ModelSpec } from '../plan/schema.ts'

type FileSpec = Extract<ModelSpec, { kind: 'onnx' }>

export interface FileGraph {
  readonly maker: GraphMaker
  /** [batch, …] */
  readonly scores: string
  readonly scoresShape: readonly Dimension[]
  readonly parameters: readonly string[]
  /** Puts the graph together once more; what makes the model's input may have been added behind what reads it. */
  readonly finish: (maker: GraphMaker) => Model
}

/** What reads running means and variances: they are no parameters. */
const STATISTICS: Readonly<Record<string, readonly number[]>> = { BatchNormalization: [3, 4] }

/**
 * @param prepare adds what makes the model's input out of the examples, and returns its name
 * @throws TrainedModelError when inputs, output or shapes do not fit
 */
export function fileGraph(model: Model, spec: FileSpec, prepare: (maker: GraphMaker) => string): FileGraph {
  const graph = withoutOurNames(model.graph)
  const inputs = graph.inputs.filter(({ name }) => !graph.initializers.has(name))
  const input = chosen('input', spec.input, inputs)
  if (inputs.length > 1)
    throw new TrainedModelError(`it takes ${shownList(inputs.map(({ name }) => name))}, and one input is fed`)
  const at = model.graph.outputs.indexOf(chosen('output', spec.output, model.graph.outputs))
  const output = graph.outputs[at]!
  const parameters = parametersOf(model, spec)
  if (parameters.length === 0) throw new TrainedModelError('nothing of it is left to train')
  const shape = inferShapes({ ...model, graph }).types.get(output.name)
  const bare = { ...model, graph: { ...graph, inputs: [], outputs: [] } }
  const maker = new GraphMaker(bare, 'training')
  const prepared = prepare(maker)
  return {
    maker,
    scores: output.name,
    scoresShape: shape?.kind === 'tensor' ? (shape.shape ?? []) : [],
    parameters,
    finish: (full) => {
      const whole = full.model()
      const renamed = renameValues(whole.graph, new Map([[input.name, prepared]]))
      return checkModel({ ...whole, graph: renamed })
    },
  }
}

/** A model that was trained here has outputs of the names that the graph of a run gives again. */
function withoutOurNames(graph: Model['graph']): Model['graph'] {
  const fresh = freshNames(graph)
  const taken = Object.values(OUTPUT).map((name) => [name, fresh(`model/${name}`)] as const)
  return renameValues(graph, new Map(taken))
}

/** @throws TrainedModelError when there is none of that name, or several and no name */
export function chosen(what: string, wanted: string | undefined, values: readonly ValueInfo[]): ValueInfo {
  const found = wanted === undefined ? values[0] : values.find(({ name }) => name === wanted)
  if (found !== undefined && (wanted !== undefined || values.length === 1)) return found
  const names = shownList(values.map(({ name }) => name))
  throw new TrainedModelError(
    wanted === undefined ? `name one ${what} of ${names}` : `it has no ${what} ${wanted}, but ${names}`,
  )
}

/** float32 with more than one element, read by a node, and not frozen. */
function parametersOf({ graph }: Model, { freeze = [] }: FileSpec): readonly string[] {
  const statistics = new Set(
    graph.nodes.flatMap(({ opType, inputs }) => (STATISTICS[opType] ?? []).map((at) => inputs[at])),
  )
  const read = new Set(graph.nodes.flatMap(({ inputs }) => inputs))
  return [...graph.initializers.values()]
    .filter(
      ({ name, type, dims }) =>
        type === 'float32' && dims.reduce((product, size) => product * size, 1) > 1 && read.has(name),
    )
    .map(({ name }) => name)
    .filter((name) => !statistics.has(name) && !freeze.some((part) => name.includes(part)))
}
