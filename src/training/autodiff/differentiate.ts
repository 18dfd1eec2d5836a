/** From a graph to the graph that also computes the gradients of its loss. */
import { freshNames } from '../../onnx/index.ts'
import type { GraphForm, Model } from '../../onnx/index.ts'
import { addBackward } from './backward.ts'
import { checkpoint } from './checkpoint.ts'
import {
  LossIsConstantError,
  LossNotFloatError,
  LossNotScalarError,
  UnknownLossError,
  UnknownParameterError,
} from './errors.ts'
import { GradientSite, NO_NODE, NOBODY } from './gradient-site.ts'
import { NodeBuilder } from './node-builder.ts'
import { gradientsLast } from './order.ts'
import { prepare, tensorType } from './prepare.ts'
import { isFloatType } from './site.ts'
import type { Facts } from './site.ts'
import type { DifferentiationRequest, DifferentiatedModel } from './types.ts'

/**
 * Adds to a graph the nodes that compute d loss / d name for each wanted name, in standard operators. The result keeps
 * the inputs and outputs of the model, and its operator set where that is 18 or newer; an older one becomes 18. Whether
 * a loss whose shape is not known before the graph runs has one element is for the caller to see: the gradients are
 * those of the sum of its elements.
 * @throws UnknownLossError, LossNotScalarError, LossNotFloatError, LossIsConstantError, UnknownParameterError,
 * NoGradientRuleError, NotDifferentiableModelError, MemoryBudgetError, and what checkModel throws
 */
export function differentiate(model: Model, request: DifferentiationRequest): DifferentiatedModel {
  const { between = [] } = request
  const names = [...wantedNames(model.graph, request.wrt), ...new Set(between)]
  const prepared = prepare(model, request, new Set(names))
  const { facts } = prepared
  const { graph } = prepared.model
  checkLoss(graph, facts, request.loss)
  const builder = new NodeBuilder(freshNames(graph))
  const { gradients, forward } = addBackward(graph, facts, builder, new Set(names), request.loss)
  if (!names.some((name) => gradients.has(name))) throw new LossIsConstantError(request.loss)
  const passes = { forward, backward: builder.nodes, inputs: new Set(graph.inputs.map(({ name }) => name)) }
  const kept =
    request.checkpoint === undefined
      ? { ...passes, recomputed: 0 }
      : checkpoint(passes, facts, builder, request.checkpoint)
  const outputs = new Map(names.map((name) => [name, builder.fresh(`gradient/${name}`)]))
  const finals = new NodeBuilder(builder.fresh)
  const site = new GradientSite(NO_NODE, facts, finals, NOBODY)
  for (const [name, output] of outputs) finals.into('Identity', [gradients.get(name) ?? site.zerosLike(name)], [output])
  const result: GraphForm = {
    ...graph,
    nodes: [...kept.forward, ...gradientsLast(kept.backward, finals.nodes)],
    initializers: new Map([...graph.initializers, ...builder.initializers, ...finals.initializers]),
    outputs: [
      ...graph.outputs,
      ...[...outputs].map(([name, gradient]) => ({ name: gradient, type: facts.types.get(name) ?? null })),
    ],
  }
  return { model: { ...prepared.model, graph: result }, gradients: outputs, recomputed: kept.recomputed }
}

/** A dimension that has a name is one of the caller's: it is not 1 for all of them. */
function checkLoss(graph: GraphForm, { types }: Facts, loss: string): void {
  const isThere =
    graph.initializers.has(loss) ||
    [...graph.inputs, ...graph.outputs].some(({ name }) => name === loss) ||
    graph.nodes.some(({ outputs }) => outputs.includes(loss))
  if (loss === '' || !isThere)
    throw new UnknownLossError(
      loss,
      graph.outputs.map(({ name }) => name),
    )
  const type = types.get(loss)
  if (type === undefined) return
  if (type.kind !== 'tensor') throw new LossNotFloatError(loss, type.kind)
  if (!isFloatType(type.type)) throw new LossNotFloatError(loss, type.type)
  const isMany = type.shape?.some((size) => size !== 1 && size !== null && !String(size).startsWith('?'))
  if (isMany === true) throw new LossNotScalarError(loss, type.shape ?? [])
}

/** In the order of the file. */
function wantedNames(graph: GraphForm, wanted: readonly string[] | undefined): readonly string[] {
  if (wanted === undefined) {
    return [...graph.initializers.values()].filter(({ type }) => isFloatType(type)).map(({ name }) => name)
  }
  const inputs = new Map(graph.inputs.map(({ name, type }) => [name, tensorType(type)]))
  for (const name of wanted) {
    const type = graph.initializers.get(name)?.type ?? inputs.get(name)
    if (!graph.initializers.has(name) && !inputs.has(name)) {
      throw new UnknownParameterError(name, 'it is no initializer and no input of the graph')
    }
    if (!isFloatType(type)) throw new UnknownParameterError(name, `it is of type ${type ?? 'unknown'}`)
  }
  return [...new Set(wanted)]
}
