/** Nodes by what is beside them, for rules on patterns. */
import type { Structure } from './structure.ts'

export interface Neighbours {
  /** ONNX's own operators and those that the engine adds, by name alone. */
  readonly op: (node: number) => string
  /** Nodes that make what a node reads, each once, without those that are made of constants. */
  readonly before: (node: number) => readonly number[]
  /** Nodes that read what a node makes. */
  readonly after: (node: number) => readonly number[]
  /** Nothing but one node reads it, and it is no output of the graph. */
  readonly isSole: (node: number) => boolean
  /** One of its inputs is a constant. */
  readonly hasConstant: (node: number) => boolean
}

export function neighboursOf(structure: Structure): Neighbours {
  const { nodes, kinds, reads, producers, initializers, outputs } = structure
  const before: number[][] = nodes.map(() => [])
  const after: number[][] = nodes.map(() => [])
  const constant = new Uint8Array(nodes.length)
  for (const node of nodes.keys()) {
    // Who asks for a shape reads no value: it is no way for a pattern to go on.
    if (kinds[node] === 'shape' || kinds[node] === 'dead') continue
    const sources = new Set<number>()
    for (const name of reads[node]!) {
      const producer = producers.get(name)
      if (producer === undefined ? initializers.has(name) : kinds[producer] === 'constant') constant[node] = 1
      else if (producer !== undefined) sources.add(producer)
    }
    for (const source of sources) {
      before[node]!.push(source)
      after[source]!.push(node)
    }
  }
  const isOutput = nodes.map((node) => node.outputs.some((name) => outputs.has(name)))
  return {
    op: (node) => nodes[node]!.opType,
    before: (node) => before[node]!,
    after: (node) => after[node]!,
    isSole: (node) => after[node]!.length === 1 && !isOutput[node]!,
    hasConstant: (node) => constant[node] === 1,
  }
}
