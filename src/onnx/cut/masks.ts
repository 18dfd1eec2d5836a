/**
 * Masks and positions: what is made of integer inputs alone by operators that cost nothing. Every layer of a transformer
 * reads them, and the engine knows attention by them, so each part makes its own: the input goes straight there.
 */
import type { Model, Node, ValueType } from '../ir/index.ts'

const CHEAP = new Set([
  'Add',
  'And',
  'Cast',
  'Concat',
  'Div',
  'Equal',
  'Expand',
  'Flatten',
  'Greater',
  'GreaterOrEqual',
  'Identity',
  'Less',
  'LessOrEqual',
  'Mul',
  'Neg',
  'Not',
  'Or',
  'Reshape',
  'Slice',
  'Squeeze',
  'Sub',
  'Transpose',
  'Unsqueeze',
  'Where',
])
const INTEGERS = new Set(['int32', 'int64', 'bool'])
/** Of all solid nodes: a graph that is little else than such arithmetic is divided like any other. */
const MOST_SHARE = 1 / 8

/**
 * Nodes that count as masks. An input that anything else reads, as an embedding reads tokens, makes none: who has no need
 * of tokens is not to have them.
 * @param floats whether a node is made again anyway, from constants and shapes
 */
export function maskNodes(
  { graph }: Model,
  reads: readonly (readonly string[])[],
  producers: ReadonlyMap<string, number>,
  initializers: ReadonlySet<string>,
  floats: (node: number) => boolean,
): ReadonlySet<number> {
  const sources = new Set(graph.inputs.filter(({ type }) => isInteger(type)).map(({ name }) => name))
  let masks = new Set<number>()
  for (let before = -1; before !== sources.size;) {
    before = sources.size
    masks = new Set()
    for (const [index, node] of graph.nodes.entries()) {
      if (!isCheap(node) || floats(index)) continue
      const all = reads[index]!.every((name) => {
        const producer = producers.get(name)
        if (producer === undefined) return initializers.has(name) || sources.has(name)
        return masks.has(producer) || floats(producer)
      })
      if (all) masks.add(index)
    }
    for (const [index, names] of reads.entries()) {
      if (masks.has(index) || floats(index)) continue
      for (const name of names) sources.delete(name)
    }
  }
  const solid = graph.nodes.reduce((count, _, index) => count + (floats(index) ? 0 : 1), 0)
  return masks.size <= MOST_SHARE * solid ? masks : new Set()
}

function isCheap({ domain, opType, attributes }: Node): boolean {
  return domain === '' && CHEAP.has(opType) && ![...attributes.values()].some(({ kind }) => kind === 'graph')
}

function isInteger(type: ValueType | null): boolean {
  return type?.kind === 'tensor' && INTEGERS.has(type.type)
}
