/** From node to node: the rule of each operator, subgraphs and functions inside, declared types where no rule knows. */
import type { Attribute, Dimension, Graph, Model, Node, OnnxFunction, TensorValue, ValueType } from '../ir/index.ts'
import type { Algebra } from './algebra.ts'
import { Call } from './call.ts'
import { knownConstant } from './constants.ts'
import { CONTROL } from './control.ts'
import type { BodyFacts, Fact, Walked } from './control.ts'
import { declaredType, settled } from './declared.ts'
import { functionKey } from './functions.ts'
import { runOrder } from './order.ts'
import { RULES } from './rules/index.ts'
import type { Scope } from './scope.ts'
import type { InnerScope, ReadConstant } from './types.ts'
import { knownOutputs } from './values/index.ts'

/** Subgraphs and functions inside one another; deeper values have no types. */
const MAX_DEPTH = 64
/** Nodes visited in bodies, beside those of the graph itself: functions that call functions multiply. */
const MOST_INNER_VISITS = 200_000

/** Known elements that are kept; what comes later is not known. Shapes have a handful each. */
const MOST_ELEMENTS = 2_000_000

export class Walk {
  readonly #algebra: Algebra
  readonly #bound: ReadonlyMap<string, number>
  readonly #functions: ReadonlyMap<string, OnnxFunction>
  readonly #read: ReadConstant | undefined
  #visits = MOST_INNER_VISITS
  #elements = MOST_ELEMENTS

  constructor(model: Model, algebra: Algebra, bound: ReadonlyMap<string, number>, read: ReadConstant | undefined) {
    this.#algebra = algebra
    this.#bound = bound
    this.#functions = new Map(model.functions.map((each) => [functionKey(each), each]))
    this.#read = read
  }

  initializers(graph: Graph, scope: Scope, constants: ReadonlySet<string>): void {
    for (const [name, value] of graph.initializers) {
      if (!constants.has(name)) continue
      scope.set(
        name,
        this.#settle({ kind: 'tensor', type: value.type, shape: value.dims }),
        knownConstant(value, this.#read),
      )
    }
    // The engine unpacks them: to all that read one it is an ordinary tensor.
    for (const [name, { values, dims }] of graph.sparseInitializers) {
      if (constants.has(name)) scope.set(name, this.#settle({ kind: 'tensor', type: values.type, shape: dims }))
    }
  }

  /** `declared`: the graph whose value_info and outputs are believed where nothing else is known. */
  nodes(nodes: readonly Node[], scope: Scope, declared: Graph | undefined): void {
    const believed = new Map<string, ValueType>()
    for (const info of [...(declared?.values.values() ?? []), ...(declared?.outputs ?? [])])
      if (info.type !== null) believed.set(info.name, info.type)
    for (const index of runOrder(nodes)) {
      if (scope.depth > 0 && --this.#visits < 0) return
      const node = scope.resolve(nodes[index]!)
      const { outputs, inner } = this.#visit(node, scope)
      if (inner.length > 0) scope.inner.set(index, inner)
      const assumed = node.inputs.some((name) => name !== '' && scope.isAssumed(name))
      for (const [output, name] of node.outputs.entries()) {
        if (name !== '') this.#note(scope, name, outputs[output] ?? {}, assumed, believed)
      }
    }
  }

  #note(scope: Scope, name: string, fact: Fact, assumed: boolean, believed: ReadonlyMap<string, ValueType>): void {
    const { type, known } = fact
    const declared = believed.get(name)
    const rests = assumed || fact.assumed === true
    const lacks = type === undefined || (type.kind === 'tensor' && type.shape === null)
    if (!lacks || declared === undefined) return scope.set(name, this.#settle(type), known, rests)
    const adopted = declaredType(declared, this.#algebra, this.#bound)
    // What a rule is sure of (the element type) decides whether the declaration is of this value at all.
    const fits =
      type === undefined || (adopted.kind === 'tensor' && type.kind === 'tensor' && adopted.type === type.type)
    const adds = fits && (type === undefined || (adopted.kind === 'tensor' && adopted.shape !== null))
    scope.set(name, adds ? adopted : this.#settle(type), known, rests || adds)
  }

  #settle(type: ValueType | undefined): ValueType | undefined {
    return type && settled(type, this.#algebra)
  }

  #visit(node: Node, scope: Scope): Walked {
    const body = this.#functions.size === 0 ? undefined : this.#functions.get(functionKey(node))
    const call = new Call(node, scope.opsets.get(node.domain) ?? 0, this.#algebra, scope, this.#read)
    if (body !== undefined) return this.#callFunction(body, call, scope)
    const control = node.domain === '' ? CONTROL.get(node.opType) : undefined
    if (control !== undefined)
      return control(call, (graph, inputs, times) => this.#walkBody(graph, scope, inputs, times))
    const rule = RULES.get(node.domain)?.get(node.opType)
    if (rule === undefined) return { outputs: [], inner: [] }
    const types = rule(call)
    const known = this.#elements > 0 ? knownOutputs(call, types) : []
    for (const each of known) this.#elements -= each?.elements.length ?? 0
    return { outputs: types.map((type, output) => ({ type, known: known[output] })), inner: [] }
  }

  #walkBody(graph: Graph, outer: Scope, inputs: readonly Fact[], times: Dimension): BodyFacts {
    const scope = outer.nested()
    if (scope.depth > MAX_DEPTH || this.#visits < 0) return { outputs: [], scope: innerOf(graph, scope, times) }
    const names = new Set([...graph.initializers.keys(), ...graph.sparseInitializers.keys()])
    for (const [at, input] of graph.inputs.entries()) {
      // What an input of a body is declared to be is not needed: the types come from outside.
      const { type, known, assumed } = inputs[at] ?? {}
      names.delete(input.name)
      scope.set(input.name, this.#settle(type), known, assumed === true)
    }
    this.initializers(graph, scope, names)
    this.nodes(graph.nodes, scope, graph)
    return { outputs: graph.outputs.map(({ name }) => factOf(scope, name)), scope: innerOf(graph, scope, times) }
  }

  #callFunction(body: OnnxFunction, call: Call, caller: Scope): Walked {
    const scope = caller.called(body.opsets, attributesOf(body, call.node))
    if (scope.depth > MAX_DEPTH || this.#visits < 0) return { outputs: [], inner: [] }
    for (const [at, name] of body.inputs.entries()) {
      const given = call.node.inputs[at] ?? ''
      scope.set(name, caller.type(given), caller.known(given), given !== '' && caller.isAssumed(given))
    }
    this.nodes(body.nodes, scope, undefined)
    return { outputs: body.outputs.map((name) => factOf(scope, name)), inner: [innerOf(body, scope, 1)] }
  }
}

function attributesOf(body: OnnxFunction, node: Node): ReadonlyMap<string, Attribute> {
  return body.defaults.size === 0 ? node.attributes : new Map([...body.defaults, ...node.attributes])
}

function factOf(scope: Scope, name: string): Fact {
  return { type: scope.type(name), known: scope.known(name), assumed: scope.isAssumed(name) }
}

function innerOf(body: Graph | OnnxFunction, scope: Scope, times: Dimension): InnerScope {
  const initializers = 'initializers' in body ? body.initializers : new Map<string, TensorValue>()
  return { nodes: body.nodes, initializers, types: scope.types, inner: scope.inner, times }
}
