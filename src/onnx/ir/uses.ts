/** Who reads what: also through the subgraphs of If, Loop and Scan, which capture values of the graphs around them. */
import type { Graph, Node } from './types.ts'

const NO_GRAPHS: readonly Graph[] = []

export function subgraphs(node: Node): readonly Graph[] {
  if (node.attributes.size === 0) return NO_GRAPHS
  const found: Graph[] = []
  for (const attribute of node.attributes.values()) {
    if (attribute.kind === 'graph') found.push(attribute.value)
    else if (attribute.kind === 'graphs') found.push(...attribute.values)
  }
  return found
}

/** Names that a node reads of the graph in which it stands, each once: inputs, then what its subgraphs capture. */
export function nodeReads(node: Node): ReadonlySet<string> {
  const reads = new Set(node.inputs)
  reads.delete('')
  for (const graph of subgraphs(node)) for (const name of graphCaptures(graph)) reads.add(name)
  return reads
}

// Each level of a nest asks for the captures of the levels below it.
const CAPTURES = new WeakMap<Graph, ReadonlySet<string>>()

/** Names that a subgraph takes from around it; a branch may also return such a value directly. */
export function graphCaptures(graph: Graph): ReadonlySet<string> {
  const known = CAPTURES.get(graph)
  if (known !== undefined) return known
  const own = new Set([...graph.initializers.keys(), ...graph.sparseInitializers.keys()])
  for (const { name } of graph.inputs) own.add(name)
  for (const { outputs } of graph.nodes) for (const name of outputs) own.add(name)
  const captures = new Set<string>()
  for (const node of graph.nodes) for (const name of nodeReads(node)) if (!own.has(name)) captures.add(name)
  for (const { name } of graph.outputs) if (!own.has(name)) captures.add(name)
  CAPTURES.set(graph, captures)
  return captures
}
