/** Edits of a model that leave the argument as it is. */
import { withSubgraphs } from './check-nodes.ts'
import type { Graph, Model, Node, TensorValue, ValueInfo } from './types.ts'
import { NO_ENTRIES } from './types.ts'
import { subgraphs } from './uses.ts'

export function withGraph(model: Model, graph: Graph): Model {
  return { ...model, graph }
}

/** Names that a graph itself gives to values; not those of its subgraphs. */
export function definedValues(graph: Graph): ReadonlySet<string> {
  const names = new Set([...graph.initializers.keys(), ...graph.sparseInitializers.keys()])
  for (const { name } of graph.inputs) names.add(name)
  for (const { outputs } of graph.nodes) for (const name of outputs) if (name !== '') names.add(name)
  return names
}

/** Gives names that nobody has: in the graph, in those inside it, and among those that were given before. */
export type FreshNames = (wish: string) => string

export function freshNames(graph: Graph): FreshNames {
  const taken = new Set<string>()
  collectNames(graph, taken)
  const counts = new Map<string, number>()
  return (wish) => {
    let count = counts.get(wish) ?? 1
    let name = count === 1 ? wish : `${wish}_${count}`
    while (name === '' || taken.has(name)) name = `${wish}_${++count}`
    counts.set(wish, count)
    taken.add(name)
    return name
  }
}

function collectNames(graph: Graph, into: Set<string>): void {
  for (const name of definedValues(graph)) into.add(name)
  for (const { name } of graph.outputs) into.add(name)
  for (const node of graph.nodes) {
    into.add(node.name)
    for (const name of node.inputs) into.add(name)
    for (const inner of subgraphs(node)) collectNames(inner, into)
  }
}

/** How values are called anew: where they are read from outside of a graph, and where a graph makes them. */
interface Renaming {
  readonly read: (name: string) => string
  readonly define: (name: string) => string
}

/**
 * Calls values of the graph by other names, wherever they are made or read, also in subgraphs. A value of a subgraph
 * that would then hide one of the new names gets a fresh one.
 */
export function renameValues(graph: Graph, names: ReadonlyMap<string, string>): Graph {
  const fresh = freshNames(graph)
  const targets = new Set(names.values())
  const read = (name: string): string => names.get(name) ?? name
  const inner = (name: string): string => (targets.has(name) ? fresh(name) : name)
  return renamedGraph(graph, { read, define: read }, inner)
}

/** @param defineInside names of what subgraphs make, at any depth */
export function renamedGraph(graph: Graph, { read, define }: Renaming, defineInside: (name: string) => string): Graph {
  const own = new Map([...definedValues(graph)].map((name) => [name, define(name)]))
  const lookup = (name: string): string => (name === '' ? '' : (own.get(name) ?? read(name)))
  const value = ({ name, type }: ValueInfo): ValueInfo => ({ name: lookup(name), type })
  return {
    ...graph,
    nodes: graph.nodes.map((node) => renamedNode(node, lookup, defineInside)),
    inputs: graph.inputs.map(value),
    outputs: graph.outputs.map(value),
    initializers: renamedKeys(graph.initializers, lookup, (tensor, name) => ({ ...tensor, name })),
    sparseInitializers: renamedKeys(graph.sparseInitializers, lookup, (sparse, name) => ({
      ...sparse,
      values: { ...sparse.values, name },
    })),
    values: renamedKeys(graph.values, lookup, value),
    quantization: renamedKeys(
      graph.quantization,
      lookup,
      (entries) => new Map([...entries].map(([key, name]) => [key, lookup(name)])),
    ),
  }
}

/** A node of a graph in which values are found by `lookup`. */
export function renamedNode(
  node: Node,
  lookup: (name: string) => string,
  defineInside: (name: string) => string,
): Node {
  const changed = withSubgraphs(node, (inner) =>
    renamedGraph(inner, { read: lookup, define: defineInside }, defineInside),
  )
  return { ...changed, inputs: node.inputs.map(lookup), outputs: node.outputs.map(lookup) }
}

function renamedKeys<T>(
  entries: ReadonlyMap<string, T>,
  lookup: (name: string) => string,
  change: (value: T, name: string) => T,
): ReadonlyMap<string, T> {
  if (entries.size === 0) return NO_ENTRIES
  return new Map([...entries].map(([name, value]) => [lookup(name), change(value, lookup(name))]))
}

/**
 * Makes initializers of Constant nodes that hold a tensor, in the graph and those inside it, so that their bytes can
 * lie in an external file.
 */
export function constantsToInitializers(graph: Graph): Graph {
  const lifted = new Map<string, TensorValue>()
  const nodes: Node[] = []
  for (const node of graph.nodes) {
    const tensor = constantTensor(node)
    const name = node.outputs[0] ?? ''
    if (tensor !== undefined && name !== '') lifted.set(name, { ...tensor, name })
    else nodes.push(withSubgraphs(node, constantsToInitializers))
  }
  const isChanged = lifted.size > 0 || nodes.some((node, index) => node !== graph.nodes[index])
  return isChanged ? { ...graph, nodes, initializers: new Map([...graph.initializers, ...lifted]) } : graph
}

/** The dense tensor of a Constant node. */
export function constantTensor(node: Node): TensorValue | undefined {
  if (node.opType !== 'Constant' || node.domain !== '') return undefined
  const value = node.attributes.get('value')
  return value?.kind === 'tensor' ? value.value : undefined
}
