/** Nodes of operator sets 7 to 17 in the form that set 18 has for them. */
import { inferShapes, withSubgraphs } from '../../onnx/index.ts'
import type { GraphForm, InferenceOptions, InferredGraph, Model, Node, ValueType } from '../../onnx/index.ts'
import { NotDifferentiableModelError } from './errors.ts'
import { float } from './node-builder.ts'
import { rewriteNodes } from './rewrite.ts'
import type { Rewrite, RewriteSite } from './rewrite.ts'

export const TARGET_OPSET = 18
/** Before it, operators stretched their inputs in another way than NumPy. */
const OLDEST_OPSET = 7
/** The first that knows operator set 18. */
const IR_VERSION = 8
/** From this version on, an initializer need not be an input too. */
const IR_WITHOUT_DEFAULTS = 4

/**
 * The same model in operator set 18, or as it is where that is newer already.
 * @throws NotDifferentiableModelError
 */
export function modernise(model: Model, options: InferenceOptions): Model {
  const opset = model.opsets.get('') ?? TARGET_OPSET
  if (opset >= TARGET_OPSET) return model
  if (opset < OLDEST_OPSET) {
    throw new NotDifferentiableModelError(`it has operator set ${opset}, and ${OLDEST_OPSET} is the oldest here`)
  }
  const types = typesEverywhere(inferShapes(model, options))
  const graph = moderniseGraph(model.graph, opset, types)
  // What the engine does not ask the caller for was a constant, and must stay one in the newer form.
  const inputs =
    model.irVersion < IR_WITHOUT_DEFAULTS
      ? graph.inputs.filter(({ name }) => !graph.initializers.has(name))
      : graph.inputs
  return {
    ...model,
    irVersion: Math.max(model.irVersion, IR_VERSION),
    opsets: new Map([...model.opsets, ['', TARGET_OPSET]]),
    graph: { ...graph, inputs },
  }
}

/** Of subgraphs too: names of inner values are taken as they come, for they only help to choose a shorter form. */
function typesEverywhere(inferred: InferredGraph): ReadonlyMap<string, ValueType> {
  return inferred.types
}

function moderniseGraph(graph: GraphForm, opset: number, types: ReadonlyMap<string, ValueType>): GraphForm {
  const nodes = graph.nodes.map((node) => withSubgraphs(node, (inner) => moderniseGraph(inner, opset, new Map())))
  const facts = { types, known: new Map(), floatType: 'float32' } as const
  return rewriteNodes({ ...graph, nodes }, facts, (node) => rewriteOf(node, opset))
}

function rewriteOf(node: Node, opset: number): Rewrite | undefined {
  if (node.domain !== '') return undefined
  const found = OLD_FORMS.filter(([before, operators]) => opset < before && operators.has(node.opType))
  return found[0]?.[2]
}

/** Lists that were attributes and are inputs now, from the second input on. */
function inputsFrom(...names: readonly string[]): Rewrite {
  return (site) => {
    const lists = names.map((name) => site.ints(name))
    if (site.node.inputs.length > 1) return site.keep()
    site.changed([site.input(0), ...lists.map((list) => (list === undefined ? undefined : site.int64s(list)))], names)
  }
}

const clip: Rewrite = (site) => {
  const type = site.floatType(site.input(0))
  const bound = (name: string): string | undefined => {
    const attribute = site.attribute(name)
    return attribute?.kind === 'float' ? site.builder.scalar(type, attribute.value) : undefined
  }
  site.changed([site.input(0), bound('min'), bound('max')], ['min', 'max'])
}

const pad: Rewrite = (site) => {
  const pads = site.ints('pads') ?? site.refuse('it has no pads')
  const value = site.float('value', 0)
  const filling = value === 0 ? undefined : site.number(value)
  site.changed([site.input(0), site.int64s(pads), filling], ['pads', 'value'])
}

const slice: Rewrite = (site) => {
  const [starts, ends] = [site.ints('starts') ?? [], site.ints('ends') ?? []]
  const axes = site.ints('axes') ?? starts.map((_, axis) => axis)
  const lists = [starts, ends, axes].map((list) => site.int64s(list))
  site.changed([site.input(0), ...lists], ['starts', 'ends', 'axes'])
}

const split: Rewrite = (site) => {
  const sizes = site.ints('split')
  const list = site.given(1) ? site.input(1) : sizes === undefined ? undefined : site.int64s(sizes)
  const count = list === undefined ? { num_outputs: site.node.outputs.length } : {}
  site.changed([site.input(0), list], ['split'], count)
}

const topK: Rewrite = (site) => {
  site.changed([site.input(0), site.int64s([site.int('k', 1)])], ['k'])
}

/** Once over all dimensions from the axis on, taken as one. */
const overFlattened: Rewrite = (site) => {
  const axis = site.int('axis', 1)
  const rank = site.rank(site.input(0))
  if (rank !== undefined && (axis === rank - 1 || axis === -1))
    return site.changed([site.input(0)], ['axis'], { axis: -1 })
  const flat = site.op('Flatten', [site.input(0)], { axis })
  const result = site.op(site.node.opType, [flat], { axis: 1 })
  site.becomes('Reshape', [result, site.op('Shape', [site.input(0)])], { allowzero: 1 })
}

/** Never trains in these sets; the mask was of the data's type before set 10. */
const dropout: Rewrite = (site) => {
  site.builder.into('Identity', [site.input(0)], [site.output(0)])
  if (site.output(1) === '') return
  const ones = site.op('Equal', [site.input(0), site.input(0)])
  site.returns(1, ones)
}

/** More outputs than one meant training. */
const batchNormalization: Rewrite = (site) => {
  if (site.int('spatial', 1) === 0) site.refuse('it normalizes each place on its own (spatial = 0)')
  const extra = site.node.outputs.slice(1).some((name) => name !== '')
  const attributes = { epsilon: float(site.float('epsilon', 1e-5)), momentum: float(site.float('momentum', 0.9)) }
  const outputs = extra ? site.node.outputs.slice(0, 3) : site.node.outputs.slice(0, 1)
  const training_mode = extra ? 1 : 0
  site.builder.into('BatchNormalization', site.node.inputs, outputs, { ...attributes, training_mode })
}

/** Of the nearest place before, with coordinates that start at the corner. */
const upsample: Rewrite = (site) => {
  const scales = site.floats('scales')
  const list = scales === undefined ? site.input(1) : site.builder.constant('float32', [scales.length], scales)
  const attributes = { mode: site.text('mode', 'nearest'), coordinate_transformation_mode: 'asymmetric' }
  site.becomes('Resize', [site.input(0), undefined, list], { ...attributes, nearest_mode: 'floor' })
}

const scatter: Rewrite = (site) => {
  site.becomes('ScatterElements', site.node.inputs, { axis: site.int('axis', 0) })
}

const refuseScan: Rewrite = (site: RewriteSite) => site.refuse('a Scan of operator set 8 is not read')

const names = (list: string): ReadonlySet<string> => new Set(list.split(/\s+/))

/** Operators whose form changed with a set; the first one that fits holds. */
const OLD_FORMS: readonly (readonly [before: number, operators: ReadonlySet<string>, rewrite: Rewrite])[] = [
  [9, names('Scan'), refuseScan],
  [13, names('ReduceSum Squeeze Unsqueeze'), inputsFrom('axes')],
  [
    18,
    names('ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare'),
    inputsFrom('axes'),
  ],
  [13, names('Softmax LogSoftmax Hardmax'), overFlattened],
  [11, names('Clip'), clip],
  [11, names('Pad'), pad],
  [10, names('Slice'), slice],
  [18, names('Split'), split],
  [10, names('TopK'), topK],
  [12, names('Dropout'), dropout],
  [14, names('BatchNormalization'), batchNormalization],
  [11, names('Upsample Resize'), upsample],
  [11, names('Scatter'), scatter],
]
