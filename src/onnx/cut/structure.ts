/**
 * What depends on what in a graph that is to be cut. Nodes are of two kinds. Solid ones stand in one part. Floating ones
 * are cheap to repeat and are made again in each part that reads them, unless sending is cheaper: all that is computed
 * from constants alone, arithmetic on shapes, masks, and DequantizeLinear (its input has a quarter of the bytes).
 */
import { maskNodes } from './masks.ts'
import { nodeReads, subgraphs } from '../ir/index.ts'
import type { Graph, Model, Node, OnnxFunction } from '../ir/index.ts'

export type NodeKind =
  | 'solid'
  /** Needs initializers and constants only. */
  | 'constant'
  /** Needs the shapes of values, not what is in them. */
  | 'shape'
  | 'dequantize'
  /** Needs integer inputs of the graph that nothing else reads, constants and shapes. Never sent. */
  | 'mask'
  /** No output of the graph comes of it; it stands in no part. */
  | 'dead'

export interface Structure {
  readonly model: Model
  /** The model's, in an order of dependence (`checkModel`). */
  readonly nodes: readonly Node[]
  readonly kinds: readonly NodeKind[]
  /** Names that each node reads of the graph, captures of its subgraphs included; each once. */
  readonly reads: readonly (readonly string[])[]
  /** Which node makes a value. */
  readonly producers: ReadonlyMap<string, number>
  readonly inputs: ReadonlySet<string>
  readonly outputs: ReadonlySet<string>
  /** Dense and sparse initializers, those that are also inputs too: their values are the same in every part. */
  readonly initializers: ReadonlySet<string>
}

/** Work of each node, in whatever unit; decides only whether a model without inputs is cut like any other. */
export type NodeWork = (node: number) => number

const CHANCE = /random|multinomial|bernoulli|dropout|sampling/i
/** Whose operators are known to give the same for the same. */
const KNOWN_DOMAINS = new Set(['', 'ai.onnx.ml', 'com.microsoft'])

export function structureOf(model: Model, work: NodeWork = () => 1): Structure {
  const { graph } = model
  const initializers = new Set([...graph.initializers.keys(), ...graph.sparseInitializers.keys()])
  const producers = new Map<string, number>()
  for (const [index, { outputs }] of graph.nodes.entries())
    for (const name of outputs) if (name !== '') producers.set(name, index)
  const reads = graph.nodes.map((node) => [...nodeReads(node)])
  const outputs = new Set(graph.outputs.map(({ name }) => name))
  const wanted = wantedNodes(graph.nodes, reads, producers, outputs)
  const kinds = kindsOf(model, reads, producers, initializers, work)
  const floats = (node: number): boolean => kinds[node] !== 'solid'
  for (const node of maskNodes(model, reads, producers, initializers, floats)) kinds[node] = 'mask'
  return {
    model,
    nodes: graph.nodes,
    kinds: kinds.map((kind, node) => (wanted[node] === 1 ? kind : 'dead')),
    reads,
    producers,
    inputs: new Set(graph.inputs.map(({ name }) => name).filter((name) => !initializers.has(name))),
    outputs,
    initializers,
  }
}

function wantedNodes(
  nodes: readonly Node[],
  reads: readonly (readonly string[])[],
  producers: ReadonlyMap<string, number>,
  outputs: ReadonlySet<string>,
): Uint8Array {
  const wanted = new Uint8Array(nodes.length)
  for (const name of outputs) if (producers.has(name)) wanted[producers.get(name)!] = 1
  for (let node = nodes.length - 1; node >= 0; node--) {
    if (wanted[node] === 0) continue
    for (const name of reads[node]!) if (producers.has(name)) wanted[producers.get(name)!] = 1
  }
  return wanted
}

function kindsOf(
  model: Model,
  reads: readonly (readonly string[])[],
  producers: ReadonlyMap<string, number>,
  initializers: ReadonlySet<string>,
  work: NodeWork,
): NodeKind[] {
  const { nodes } = model.graph
  const repeatable = repeatability(model)
  const kinds: NodeKind[] = []
  const kindOf = (name: string): NodeKind => {
    const producer = producers.get(name)
    if (producer === undefined) return initializers.has(name) ? 'constant' : 'solid'
    return kinds[producer]!
  }
  for (const [index, node] of nodes.entries()) kinds.push(kindFrom(node, reads[index]!.map(kindOf), repeatable(node)))
  // A model without inputs, or nearly so: what could be repeated everywhere is all that there is to divide.
  let [constant, rest] = [0, 0]
  for (const [index, kind] of kinds.entries()) {
    if (kind === 'constant') constant += work(index)
    else rest += work(index)
  }
  if (constant <= rest) return kinds
  return kinds.map((kind, index) => (kind === 'constant' && reads[index]!.length > 0 ? 'solid' : kind))
}

function kindFrom(node: Node, sources: readonly NodeKind[], repeatable: boolean): NodeKind {
  if (!repeatable) return 'solid'
  if (sources.every((kind) => kind === 'constant')) return 'constant'
  if (node.domain === '' && (node.opType === 'Shape' || node.opType === 'Size')) return 'shape'
  if (subgraphs(node).length > 0) return 'solid'
  if (sources.every((kind) => kind === 'constant' || kind === 'shape')) return 'shape'
  if (node.opType !== 'DequantizeLinear') return 'solid'
  return sources.slice(1).every((kind) => kind === 'constant') ? 'dequantize' : 'solid'
}

/** Whether anything in a model may give something else each time that it is run. */
export function mayDraw(model: Model): boolean {
  const repeatable = repeatability(model)
  return !model.graph.nodes.every(repeatable)
}

/** Whether a node gives the same each time that it is run: no chance in it, nor in its subgraphs and functions. */
function repeatability(model: Model): (node: Node) => boolean {
  const functions = new Map<string, OnnxFunction[]>()
  for (const each of model.functions) {
    const key = functionKey(each.domain, each.name)
    functions.set(key, [...(functions.get(key) ?? []), each])
  }
  const known = new Map<string, boolean>()
  const nodeRepeats = (node: Node): boolean => {
    if (CHANCE.test(node.opType)) return false
    const key = functionKey(node.domain, node.opType)
    const bodies = functions.get(key)
    if (bodies === undefined) return KNOWN_DOMAINS.has(node.domain) && subgraphs(node).every(graphRepeats)
    let repeats = known.get(key)
    if (repeats === undefined) {
      // A function that calls itself, should one get here, is not called repeatable.
      known.set(key, false)
      repeats = bodies.every(({ nodes }) => nodes.every(nodeRepeats))
      known.set(key, repeats)
    }
    return repeats && subgraphs(node).every(graphRepeats)
  }
  const graphRepeats = (graph: Graph): boolean => graph.nodes.every(nodeRepeats)
  return nodeRepeats
}

function functionKey(domain: string, name: string): string {
  return JSON.stringify([domain, name])
}
