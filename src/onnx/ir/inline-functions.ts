/** Replaces calls of the model's own functions by the nodes that they stand for. */
import { freshNames, renamedNode } from './edit.ts'
import type { FreshNames } from './edit.ts'
import { everyNode, FunctionTable } from './functions.ts'
import { NO_ENTRIES } from './types.ts'
import type { Attribute, Graph, Model, Node, OnnxFunction } from './types.ts'
import { withSubgraphs } from './check-nodes.ts'

/** Here the engine (1.30) takes its own operator of a function's name, if it has one, and not the function. */
const ENGINE_DOMAINS: ReadonlySet<string> = new Set(['', 'ai.onnx.ml', 'com.microsoft'])

/**
 * Functions inside functions too, and calls in subgraphs. A function that needs another version of an operator set than
 * the model has stays a function, and so does one of a domain of the engine. Names of values and nodes in a body begin with that of the call.
 * @param model checked: no function calls itself, and what they come to is small
 */
export function inlineFunctions(model: Model): Model {
  if (model.functions.length === 0) return model
  const table = new FunctionTable(model.functions)
  const opsets = new Map(model.opsets)
  const inlined = new Set(
    model.functions.filter(
      (definition) => !ENGINE_DOMAINS.has(definition.domain) && takesOpsets(definition, table, opsets),
    ),
  )
  const fresh = freshNames(model.graph)
  const inliner: Inliner = {
    fresh,
    called: (node) => {
      const definition = table.called(node)
      return definition !== undefined && inlined.has(definition) ? definition : undefined
    },
  }
  const graph = inlineGraph(model.graph, inliner)
  return { ...model, graph, opsets, functions: keptFunctions(graph, model, table) }
}

/** Whether the operators of the body mean the same in the model; imports that the model lacks are added. */
function takesOpsets(definition: OnnxFunction, table: FunctionTable, opsets: Map<string, number>): boolean {
  const wanted = new Map<string, number>()
  for (const node of everyNode(definition.nodes)) {
    const version = definition.opsets.get(node.domain)
    // Functions are of the model, whatever version of their domain is imported.
    if (version !== undefined && (table.called(node) === undefined || !opsets.has(node.domain))) {
      wanted.set(node.domain, version)
    }
  }
  if ([...wanted].some(([domain, version]) => (opsets.get(domain) ?? version) !== version)) return false
  for (const [domain, version] of wanted) opsets.set(domain, version)
  return true
}

/** Those that are still called, from the graph or from one another. */
function keptFunctions(graph: Graph, model: Model, table: FunctionTable): readonly OnnxFunction[] {
  const kept = new Set<OnnxFunction>()
  const left = [graph.nodes]
  for (let nodes = left.pop(); nodes !== undefined; nodes = left.pop()) {
    for (const node of everyNode(nodes)) {
      const definition = table.called(node)
      if (definition === undefined || kept.has(definition)) continue
      kept.add(definition)
      left.push(definition.nodes)
    }
  }
  return model.functions.filter((definition) => kept.has(definition))
}

interface Inliner {
  readonly fresh: FreshNames
  readonly called: (node: Node) => OnnxFunction | undefined
}

function inlineGraph(graph: Graph, inliner: Inliner): Graph {
  const nodes = graph.nodes.flatMap((node) => inlineNode(node, inliner))
  return nodes.length === graph.nodes.length && nodes.every((node, index) => node === graph.nodes[index])
    ? graph
    : { ...graph, nodes }
}

function inlineNode(node: Node, inliner: Inliner): readonly Node[] {
  const definition = inliner.called(node)
  if (definition !== undefined) return body(node, definition, inliner).flatMap((inner) => inlineNode(inner, inliner))
  return [withSubgraphs(node, (graph) => inlineGraph(graph, inliner))]
}

/** The nodes of a function for one call. */
function body(call: Node, definition: OnnxFunction, { fresh }: Inliner): readonly Node[] {
  const stem = call.name === '' ? definition.name : call.name
  const names = new Map<string, string>()
  for (const [index, name] of definition.inputs.entries()) names.set(name, call.inputs[index] ?? '')
  const passed: Node[] = []
  for (const [index, name] of definition.outputs.entries()) {
    const wanted = call.outputs[index] ?? ''
    if (!names.has(name)) names.set(name, wanted === '' ? fresh(`${stem}/${name}`) : wanted)
    else if (wanted !== '') passed.push(identity(names.get(name)!, wanted))
  }
  const lookup = (name: string): string => {
    if (name === '') return ''
    const known = names.get(name) ?? fresh(`${stem}/${name}`)
    names.set(name, known)
    return known
  }
  const nodes = definition.nodes.map((node) => {
    // A graph that the call gives as an attribute reads values around the call: it comes in after the renaming.
    const renamed = renamedNode(node, lookup, (name) => fresh(`${stem}/${name}`))
    const resolved = withAttributes(renamed, call.attributes, definition.defaults)
    return { ...resolved, name: node.name === '' ? '' : fresh(`${stem}/${node.name}`) }
  })
  return [...nodes, ...passed]
}

/** A function may give an input back, or one value twice. */
function identity(input: string, output: string): Node {
  const text = { name: '', opType: 'Identity', domain: '', overload: '' }
  return { ...text, inputs: [input], outputs: [output], attributes: NO_ENTRIES, metadata: NO_ENTRIES }
}

/** The node with the attributes of the call for those that it refers to; what neither call nor function gives is left out. */
function withAttributes(
  node: Node,
  given: ReadonlyMap<string, Attribute>,
  defaults: ReadonlyMap<string, Attribute>,
): Node {
  const change = (graph: Graph): Graph => ({
    ...graph,
    nodes: graph.nodes.map((inner) => withAttributes(inner, given, defaults)),
  })
  const changed = withSubgraphs(node, change)
  if (![...changed.attributes.values()].some(({ kind }) => kind === 'reference')) return changed
  const attributes = new Map<string, Attribute>()
  for (const [name, attribute] of changed.attributes) {
    const value =
      attribute.kind === 'reference' ? (given.get(attribute.name) ?? defaults.get(attribute.name)) : attribute
    if (value !== undefined) attributes.set(name, value)
  }
  return { ...changed, attributes }
}
