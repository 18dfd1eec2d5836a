/** The functions of a model: found by those who call them, and checked as a whole. */
import { DuplicateDefinitionError, FunctionError, OnnxLimitError } from './errors.ts'
import { READ_LIMITS } from './limits.ts'
import type { Model, Node, OnnxFunction } from './types.ts'
import { subgraphs } from './uses.ts'

/** The engine inlines functions one into the other; no exporter nests them like this. */
const MOST_CALLS_DEEP = 64

export class FunctionTable {
  readonly #functions = new Map<string, OnnxFunction>()

  /** @throws DuplicateDefinitionError */
  constructor(functions: readonly OnnxFunction[]) {
    for (const definition of functions) {
      const key = keyOf(definition.domain, definition.name, definition.overload)
      if (this.#functions.has(key)) {
        throw new DuplicateDefinitionError(`domain ${JSON.stringify(definition.domain)}`, 'function', definition.name)
      }
      this.#functions.set(key, definition)
    }
  }

  /** The function that a node calls, if it calls one. */
  called(node: Node): OnnxFunction | undefined {
    if (this.#functions.size === 0) return undefined
    return this.#functions.get(keyOf(node.domain, node.opType, node.overload))
  }
}

const keyOf = (domain: string, name: string, overload: string): string => JSON.stringify([domain, name, overload])

/** All nodes, also those in subgraphs. The depth of these is bounded by `checkModel`. */
export function* everyNode(nodes: readonly Node[]): Generator<Node> {
  for (const node of nodes) {
    yield node
    for (const graph of subgraphs(node)) yield* everyNode(graph.nodes)
  }
}

/**
 * That no function calls itself, that calls fit, and that the model stays small when all calls are replaced by what
 * they call: 40 functions that call one another twice would be 10^12 nodes.
 * @throws FunctionError, OnnxLimitError
 */
export function checkCalls(model: Model, table: FunctionTable): void {
  const sizes = new Map<OnnxFunction, number>()
  const limit = READ_LIMITS.nodes
  const size = (nodes: readonly Node[], callers: readonly OnnxFunction[]): number => {
    let total = 0
    for (const node of everyNode(nodes)) {
      const definition = table.called(node)
      total += definition === undefined ? 1 : sizeOf(definition, node, callers)
      if (total > limit) throw new OnnxLimitError('', 'nodes when its functions are inlined', limit)
    }
    return total
  }
  const sizeOf = (definition: OnnxFunction, node: Node, callers: readonly OnnxFunction[]): number => {
    checkCall(definition, node)
    if (callers.includes(definition)) throw new FunctionError(definition.name, 'it calls itself')
    if (callers.length >= MOST_CALLS_DEEP)
      throw new OnnxLimitError('', 'functions that call one another', MOST_CALLS_DEEP)
    const known = sizes.get(definition) ?? size(definition.nodes, [...callers, definition])
    sizes.set(definition, known)
    return known
  }
  size(model.graph.nodes, [])
  for (const definition of model.functions) {
    if (!sizes.has(definition)) sizes.set(definition, size(definition.nodes, [definition]))
  }
}

function checkCall(definition: OnnxFunction, node: Node): void {
  if (node.inputs.length > definition.inputs.length || node.outputs.length > definition.outputs.length) {
    const has = `${definition.inputs.length} inputs and ${definition.outputs.length} outputs`
    throw new FunctionError(definition.name, `it has ${has}, and is called with more`)
  }
}
