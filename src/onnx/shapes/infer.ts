/** The walk over a model that gives every value what is known of it. */
import type { Graph, Model, ValueInfo, ValueType } from '../ir/index.ts'
import { Algebra } from './algebra.ts'
import { smallCount } from './constants.ts'
import { bindNames, declaredType } from './declared.ts'
import { provenance } from './provenance.ts'
import { Scope } from './scope.ts'
import type { InferenceOptions, InferredGraph, KnownTensor } from './types.ts'
import { Walk } from './walk.ts'

/**
 * Types and shapes of the values of a model, by rules for operators; names of dimensions are kept and calculated with.
 * What no rule is certain of is left open. Shapes that the file declares for anything but its inputs are believed only
 * where no rule knows the value at all, and such values are listed (`assumed`). Never throws: what makes no sense (wrong
 * arity, contradicting sizes, cycles, sizes beyond 2^53, nests beyond 64) has no type.
 */
export function inferShapes(model: Model, options: InferenceOptions = {}): InferredGraph {
  const algebra = new Algebra()
  const scope = Scope.ofModel(model.opsets)
  const shapes = options.inputs ?? new Map<string, readonly number[]>()
  const bound = bindNames(model.graph, shapes)
  const walk = new Walk(model, algebra, bound, options.read)
  const { graph } = model
  const constants = constantNames(model)
  walk.initializers(graph, scope, constants)
  for (const input of graph.inputs) {
    if (constants.has(input.name)) continue
    const type = inputType(graph, input, shapes.get(input.name), algebra, bound)
    scope.set(input.name, type, givenElements(type, options.elements?.get(input.name)))
  }
  walk.nodes(graph.nodes, scope, graph)
  const { constantOnly, shapeOnly } = provenance(model, constants)
  return {
    nodes: graph.nodes,
    initializers: graph.initializers,
    types: scope.types,
    inner: scope.inner,
    known: scope.values,
    assumed: scope.assumed,
    constantOnly,
    shapeOnly,
  }
}

/** In old files (IR 3) every initializer is an input too; later, one that is an input may be overridden by callers. */
function constantNames({ graph, irVersion }: Model): ReadonlySet<string> {
  const names = new Set([...graph.initializers.keys(), ...graph.sparseInitializers.keys()])
  if (irVersion >= 4) for (const { name } of graph.inputs) names.delete(name)
  return names
}

/** Only where they are as many as the shape says. */
function givenElements(type: ValueType | undefined, elements: readonly number[] | undefined): KnownTensor | undefined {
  if (elements === undefined || type?.kind !== 'tensor' || type.shape === null) return undefined
  const dims = type.shape.filter((size) => typeof size === 'number')
  if (dims.length !== type.shape.length || smallCount(dims) !== elements.length) return undefined
  return { dims, elements }
}

function inputType(
  graph: Graph,
  { name, type }: ValueInfo,
  sizes: readonly number[] | undefined,
  algebra: Algebra,
  bound: ReadonlyMap<string, number>,
): ValueType | undefined {
  const initializer = graph.initializers.get(name)
  const declared = type ?? (initializer === undefined ? undefined : initializerType(initializer))
  if (declared === undefined) return undefined
  if (sizes === undefined || declared.kind !== 'tensor') return declaredType(declared, algebra, bound)
  return declaredType({ ...declared, shape: sizes }, algebra, bound)
}

function initializerType({
  type,
  dims,
}: {
  type: Extract<ValueType, { kind: 'tensor' }>['type']
  dims: readonly number[]
}): ValueType {
  return { kind: 'tensor', type, shape: dims.map(() => null) }
}
