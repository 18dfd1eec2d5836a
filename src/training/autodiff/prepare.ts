/** Brings a model into the form that rules know: one operator set, no functions, nothing fused where gradients flow. */
import { checkModel, inferShapes, inlineFunctions } from '../../onnx/index.ts'
import type { DataType, InferredGraph, Model, ValueType } from '../../onnx/index.ts'
import { activityOf } from './activity.ts'
import { loweringOf } from './lower/index.ts'
import { modernise } from './modernise.ts'
import { rewriteNodes } from './rewrite.ts'
import { isFloatType } from './site.ts'
import type { Facts } from './site.ts'
import type { DifferentiationRequest } from './types.ts'

export interface Prepared {
  readonly model: Model
  readonly facts: Facts
}

/** What is written out may hold what is written out again: an attention with rotary positions, say. */
const MOST_ROUNDS = 12

/** @throws NotDifferentiableModelError, NoGradientRuleError, and what checkModel throws */
export function prepare(model: Model, request: DifferentiationRequest, trained: ReadonlySet<string>): Prepared {
  let current = modernise(inlineFunctions(checkModel(model)), request)
  for (let round = 0; ; round++) {
    const facts = factsOf(current, inferShapes(current, request))
    const { graph } = current
    const live = new Set(activityOf(graph, facts, trained, request.loss).nodes)
    const next = rewriteNodes(graph, facts, (node) => (live.has(node) ? loweringOf(node) : undefined))
    if (next === graph || round === MOST_ROUNDS) return { model: current, facts }
    current = { ...current, graph: next }
  }
}

export function tensorType(type: ValueType | null | undefined): DataType | undefined {
  return type?.kind === 'tensor' ? type.type : undefined
}

function factsOf(model: Model, inferred: InferredGraph): Facts {
  const { initializers, inputs } = model.graph
  const floats = [...[...initializers.values()].map(({ type }) => type), ...inputs.map(({ type }) => tensorType(type))]
  return { types: inferred.types, known: inferred.known, floatType: floats.find(isFloatType) ?? 'float32' }
}
