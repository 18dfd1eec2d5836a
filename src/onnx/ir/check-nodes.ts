/** The rules for the nodes of one graph and of those inside it. */
import { CyclicGraphError, DanglingValueError, DuplicateDefinitionError } from './errors.ts'
import { shown } from './shown.ts'
import { sortNodes } from './sort-nodes.ts'
import { NO_ENTRIES } from './types.ts'
import type { Attribute, Graph, Node, ValueInfo } from './types.ts'

/** What differs between the graph of a model and the body of a function. */
export interface Rules {
  /** Called for each node, also in subgraphs. */
  readonly checkNode: (node: Node) => void
}

/** Values that can be read where we are: grows as the nodes are walked. */
interface Scope {
  readonly outer: Scope | undefined
  readonly names: Set<string>
  /** Of the outermost graph: the engine takes these even where an initializer of a subgraph has the name. */
  readonly inputs: ReadonlySet<string>
}

/** The graph with its nodes in order and with names of their own; the same object if nothing had to be done. */
export function checkNodes(graph: Graph, outer: Scope | undefined, rules: Rules): Graph {
  const scope = { outer, names: sources(graph, outer), inputs: outer?.inputs ?? new Set(graph.inputs.map(nameOf)) }
  const sorted = sortNodes(graph.nodes, makersOf(graph, scope))
  if (sorted.kind === 'cycle') throw new CyclicGraphError(graph.name, sorted.values)
  const nodes = withOwnNames(sorted.nodes.map((node) => checkNode(graph, scope, rules, node)))
  const isChanged = nodes.length !== graph.nodes.length || nodes.some((node, index) => node !== graph.nodes[index])
  return checkOutputs(isChanged ? { ...graph, nodes } : graph, scope)
}

const nameOf = ({ name }: ValueInfo): string => name

const whereIn = (graph: Graph): string => `graph ${shown(graph.name)}`

/** Inputs and initializers. An initializer may also be an input: its default. */
function sources(graph: Graph, outer: Scope | undefined): Set<string> {
  const names = new Set<string>()
  for (const { name } of graph.inputs) {
    if (name === '' || names.has(name)) throw new DuplicateDefinitionError(whereIn(graph), 'input', name)
    names.add(name)
  }
  for (const name of graph.sparseInitializers.keys()) {
    if (graph.initializers.has(name)) throw new DuplicateDefinitionError(whereIn(graph), 'initializer', name)
  }
  for (const name of [...graph.initializers.keys(), ...graph.sparseInitializers.keys()]) {
    if (outer !== undefined && !names.has(name) && outer.inputs.has(name)) {
      throw new DuplicateDefinitionError(whereIn(graph), 'initializer, an input of the model too,', name)
    }
    names.add(name)
  }
  return names
}

function makersOf(graph: Graph, scope: Scope): ReadonlyMap<string, number> {
  const makers = new Map<string, number>()
  for (const [index, { outputs }] of graph.nodes.entries()) {
    for (const name of outputs) {
      if (name === '') continue
      if (makers.has(name) || scope.names.has(name)) throw new DuplicateDefinitionError(whereIn(graph), 'value', name)
      makers.set(name, index)
    }
  }
  return makers
}

function checkNode(graph: Graph, scope: Scope, rules: Rules, node: Node): Node {
  rules.checkNode(node)
  for (const name of node.inputs) {
    if (name !== '' && !isVisible(scope, name)) throw new DanglingValueError(graph.name, name, described(node))
  }
  const checked = withSubgraphs(node, (inner) => checkNodes(inner, scope, rules))
  for (const name of node.outputs) {
    if (name === '') continue
    // The engine refuses a node that makes anew what its subgraph can read from around it.
    if (scope.outer !== undefined && isVisible(scope.outer, name)) {
      throw new DuplicateDefinitionError(`${whereIn(graph)} and one around it`, 'value', name)
    }
    scope.names.add(name)
  }
  return checked
}

function isVisible(scope: Scope, name: string): boolean {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.outer) if (at.names.has(name)) return true
  return false
}

function described(node: Node): string {
  return node.name === '' ? `a node of ${shown(node.opType)}` : `node ${shown(node.name)} (${shown(node.opType)})`
}

/** The node with each of its subgraphs replaced by what `change` makes of it. */
export function withSubgraphs(node: Node, change: (graph: Graph) => Graph): Node {
  let attributes: Map<string, Attribute> | undefined
  for (const [name, attribute] of node.attributes) {
    if (attribute.kind === 'graph') {
      const value = change(attribute.value)
      if (value !== attribute.value) (attributes ??= new Map(node.attributes)).set(name, { kind: 'graph', value })
    } else if (attribute.kind === 'graphs') {
      const values = attribute.values.map(change)
      if (values.every((value, index) => value === attribute.values[index])) continue
      attributes ??= new Map(node.attributes)
      attributes.set(name, { kind: 'graphs', values })
    }
  }
  return attributes === undefined ? node : { ...node, attributes }
}

function checkOutputs(graph: Graph, scope: Scope): Graph {
  const captured = new Set<string>()
  for (const { name } of graph.outputs) {
    if (scope.names.has(name)) continue
    if (name === '' || !isVisible(scope, name)) throw new DanglingValueError(graph.name, name, 'an output')
    captured.add(name)
  }
  return captured.size === 0 ? graph : returnThroughIdentity(graph, scope, captured)
}

function returnThroughIdentity(graph: Graph, scope: Scope, captured: ReadonlySet<string>): Graph {
  const renamed = new Map<string, string>()
  const nodes = [...graph.nodes]
  for (const name of captured) {
    let own = `${name}_returned`
    for (let count = 2; isVisible(scope, own); count++) own = `${name}_returned_${count}`
    scope.names.add(own)
    renamed.set(name, own)
    const text = { name: '', opType: 'Identity', domain: '', overload: '' }
    nodes.push({ ...text, inputs: [name], outputs: [own], attributes: NO_ENTRIES, metadata: NO_ENTRIES })
  }
  const outputs = graph.outputs.map(({ name, type }) => ({ name: renamed.get(name) ?? name, type }))
  return { ...graph, nodes, outputs }
}

/** The engine refuses two nodes of one name in a graph, unless it is empty: later ones get a number. */
function withOwnNames(nodes: readonly Node[]): readonly Node[] {
  const all = new Set(nodes.map(({ name }) => name))
  const seen = new Set<string>()
  const counts = new Map<string, number>()
  return nodes.map((node) => {
    if (node.name === '') return node
    if (!seen.has(node.name)) {
      seen.add(node.name)
      return node
    }
    let count = counts.get(node.name) ?? 2
    while (all.has(`${node.name}_${count}`)) count++
    counts.set(node.name, count + 1)
    const name = `${node.name}_${count}`
    all.add(name)
    return { ...node, name }
  })
}
