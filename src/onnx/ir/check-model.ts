/** Holds a model to the rules of ONNX's IR, as the engine (ONNX Runtime 1.30) applies them. */
import { DuplicateDefinitionError, MissingOpsetError, OnnxLimitError, OnnxMalformedError } from './errors.ts'
import { checkNodes } from './check-nodes.ts'
import type { Rules } from './check-nodes.ts'
import { checkCalls, FunctionTable } from './functions.ts'
import { shown } from './shown.ts'
import type { Graph, Model, Node, OnnxFunction } from './types.ts'
import { subgraphs } from './uses.ts'

/** 33 levels are as many as fit into the 100 messages of a file. */
const MOST_SUBGRAPHS_DEEP = 33

/** Domains of the engine that a model may use without importing them; a function must import what it uses. */
const KNOWN_TO_THE_ENGINE: ReadonlySet<string> = new Set(['com.microsoft', 'ai.onnx.ml', 'ai.onnx.preview.training'])

/**
 * The same model in the form that the rest of weft relies on: each value is made once, all that is read is made, and
 * nodes stand in an order of dependence (as they were where they did). Two things that the engine would refuse are put
 * right: nodes of one name get names of their own, and a subgraph that returns a value of the graph around it does so
 * through an Identity. Parts that need no change are shared with the argument.
 *
 * Not checked: operators, their attributes and types. Those are the engine's.
 * @throws CyclicGraphError, DanglingValueError, DuplicateDefinitionError, MissingOpsetError, FunctionError,
 * OnnxLimitError, OnnxMalformedError
 */
export function checkModel(model: Model): Model {
  checkDepth(model)
  const table = new FunctionTable(model.functions)
  checkCalls(model, table)
  const functions = model.functions.map((definition) => checkFunction(definition))
  const changed = functions.some((definition, index) => definition !== model.functions[index])
  const graph = checkMain(model, table)
  if (!changed && graph === model.graph) return model
  return { ...model, graph, functions: changed ? functions : model.functions }
}

function checkDepth(model: Model): void {
  const left = [model.graph.nodes, ...model.functions.map(({ nodes }) => nodes)].map((nodes) => ({ nodes, depth: 0 }))
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (next.depth > MOST_SUBGRAPHS_DEEP)
      throw new OnnxLimitError('', 'subgraphs inside one another', MOST_SUBGRAPHS_DEEP)
    for (const node of next.nodes) {
      for (const { nodes } of subgraphs(node)) left.push({ nodes, depth: next.depth + 1 })
    }
  }
}

function checkMain(model: Model, table: FunctionTable): Graph {
  const where = `graph ${shown(model.graph.name)}`
  const rules: Rules = {
    checkNode(node) {
      checkImport(model.opsets, where, node, table.called(node) === undefined ? KNOWN_TO_THE_ENGINE : undefined)
      for (const [name, { kind }] of node.attributes) {
        if (kind !== 'reference') continue
        throw new OnnxMalformedError('', where, `attribute ${shown(name)} refers to one of a function, outside of any`)
      }
    },
  }
  return checkNodes(model.graph, undefined, rules)
}

function checkImport(
  opsets: ReadonlyMap<string, number>,
  where: string,
  { domain, opType }: Node,
  known: ReadonlySet<string> | undefined,
): void {
  if (opsets.has(domain) || known?.has(domain) === true) return
  throw new MissingOpsetError(where, domain, opType)
}

function checkFunction(definition: OnnxFunction): OnnxFunction {
  const where = `function ${shown(definition.name)}`
  const attributes = [...definition.attributes, ...definition.defaults.keys()]
  const twice = attributes.find((name, index) => attributes.indexOf(name) !== index)
  if (twice !== undefined) throw new DuplicateDefinitionError(where, 'attribute', twice)
  const rules: Rules = { checkNode: (node) => checkImport(definition.opsets, where, node, undefined) }
  const empty = new Map<string, never>()
  const body: Graph = {
    name: definition.name,
    nodes: definition.nodes,
    inputs: definition.inputs.map((name) => ({ name, type: null })),
    outputs: definition.outputs.map((name) => ({ name, type: null })),
    initializers: empty,
    sparseInitializers: empty,
    values: definition.values,
    quantization: empty,
    metadata: empty,
  }
  const { nodes } = checkNodes(body, undefined, rules)
  return nodes === definition.nodes ? definition : { ...definition, nodes }
}
