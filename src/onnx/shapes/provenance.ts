/** Which values come of constants alone, and which of constants and shapes. */
import { nodeReads, subgraphs } from '../ir/index.ts'
import type { Graph, Model, Node, OnnxFunction } from '../ir/index.ts'
import { CONTROL } from './control.ts'
import { functionKey } from './functions.ts'
import { runOrder } from './order.ts'
import { RULES } from './rules/index.ts'

/** Functions that call functions, subgraphs in subgraphs: deeper than this nobody looks. */
const MAX_DEPTH = 64

/** Another result each time, or in training. */
const RANDOM = new Set(
  'Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike Sampling BiasDropout'.split(' '),
)

export interface Provenance {
  readonly constantOnly: ReadonlySet<string>
  readonly shapeOnly: ReadonlySet<string>
}

/** `constants`: the initializers that nobody can override. */
export function provenance(model: Model, constants: ReadonlySet<string>): Provenance {
  const { nodes } = model.graph
  const constantOnly = new Set(constants)
  const shapeOnly = new Set(constants)
  const functions = new Map(model.functions.map((each) => [functionKey(each), each]))
  const random = new RandomSearch(functions)
  for (const index of runOrder(nodes)) {
    const node = nodes[index]!
    if (random.isIn(node)) continue
    const reads = node.attributes.size === 0 ? node.inputs.filter((name) => name !== '') : [...nodeReads(node)]
    const constant = reads.every((name) => constantOnly.has(name))
    const asksShape = node.domain === '' && (node.opType === 'Shape' || node.opType === 'Size')
    if (!constant && !asksShape && !reads.every((name) => shapeOnly.has(name))) continue
    for (const name of node.outputs) {
      if (name === '') continue
      shapeOnly.add(name)
      if (constant) constantOnly.add(name)
    }
  }
  return { constantOnly, shapeOnly }
}

/** What an operator does that has no rule here, nobody can say: it might read a clock. */
function isKnown({ domain, opType }: Node): boolean {
  return RULES.get(domain)?.has(opType) === true || (domain === '' && CONTROL.has(opType))
}

class RandomSearch {
  readonly #functions: ReadonlyMap<string, OnnxFunction>
  readonly #graphs = new Map<Graph | OnnxFunction, boolean>()

  constructor(functions: ReadonlyMap<string, OnnxFunction>) {
    this.#functions = functions
  }

  isIn(node: Node, depth = 0): boolean {
    if (depth > MAX_DEPTH) return true
    const body = this.#functions.size === 0 ? undefined : this.#functions.get(functionKey(node))
    if (body !== undefined) return this.#holds(body, depth)
    if (RANDOM.has(node.opType) || !isKnown(node)) return true
    if (node.opType === 'Dropout' && (node.inputs[2] ?? '') !== '') return true
    return node.attributes.size > 0 && subgraphs(node).some((graph) => this.#holds(graph, depth))
  }

  /** A body that calls itself, which is no model, counts as random. */
  #holds(body: Graph | OnnxFunction, depth: number): boolean {
    const known = this.#graphs.get(body)
    if (known !== undefined) return known
    this.#graphs.set(body, true)
    const random = body.nodes.some((node) => this.isIn(node, depth + 1))
    this.#graphs.set(body, random)
    return random
  }
}
