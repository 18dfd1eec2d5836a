/** Which blocks need which weights: initializers by name, so that tied ones count once, and constants of nodes. */
import { subgraphs } from '../ir/index.ts'
import type { Attribute, Graph, Node, TensorValue } from '../ir/index.ts'
import type { NodeOrder } from './order.ts'
import type { Structure } from './structure.ts'

export interface WeightItem {
  readonly bytes: number
  /** Rising, each once. */
  readonly blocks: readonly number[]
}

/** Tables and scalars in a graph's own nodes are not worth a line each. */
const SMALL_BYTES = 256

export function weightItems(structure: Structure, order: NodeOrder, starts: readonly number[]): readonly WeightItem[] {
  const { graph } = structure.model
  const items = new Map<string | number, { readonly bytes: number; readonly blocks: number[] }>()
  const use = (key: string | number, bytes: number, block: number): void => {
    if (bytes < SMALL_BYTES) return
    const item = items.get(key)
    if (item === undefined) items.set(key, { bytes, blocks: [block] })
    else if (item.blocks.at(-1) !== block) item.blocks.push(block)
  }
  const own = structure.nodes.map((node) => ownBytes(node))
  const visited = new Int32Array(structure.nodes.length).fill(-1)
  let block = 0
  for (const [at, node] of order.entries()) {
    while (starts[block + 1]! <= at) block++
    // Once a block: within one, a node is made once whoever reads it.
    const stack = [node]
    while (stack.length > 0) {
      const next = stack.pop()!
      if (visited[next] === block) continue
      visited[next] = block
      use(next, own[next]!, block)
      for (const name of structure.reads[next]!) {
        const producer = structure.producers.get(name)
        if (producer !== undefined) {
          if (structure.kinds[producer] !== 'solid') stack.push(producer)
          continue
        }
        const tensor = graph.initializers.get(name)
        const sparse = graph.sparseInitializers.get(name)
        if (tensor !== undefined) use(name, tensorBytes(tensor), block)
        else if (sparse !== undefined) use(name, tensorBytes(sparse.values) + tensorBytes(sparse.indices), block)
      }
    }
  }
  return [...items.values()]
}

export function tensorBytes({ data }: TensorValue): number {
  if (data.kind === 'range') return data.length
  if (data.kind === 'bytes') return data.bytes.length
  return data.values.reduce((sum, { length }) => sum + length, 0)
}

/** Bytes of the tensors in a node's attributes, those of subgraphs included. */
export function ownBytes(node: Node): number {
  let bytes = 0
  for (const attribute of node.attributes.values())
    for (const tensor of tensorsOf(attribute)) bytes += tensorBytes(tensor)
  for (const graph of subgraphs(node)) bytes += graphBytes(graph)
  return bytes
}

function graphBytes(graph: Graph): number {
  let bytes = 0
  for (const tensor of graph.initializers.values()) bytes += tensorBytes(tensor)
  for (const { values, indices } of graph.sparseInitializers.values())
    bytes += tensorBytes(values) + tensorBytes(indices)
  for (const node of graph.nodes) bytes += ownBytes(node)
  return bytes
}

function tensorsOf(attribute: Attribute): readonly TensorValue[] {
  if (attribute.kind === 'tensor') return [attribute.value]
  if (attribute.kind === 'tensors') return attribute.values
  if (attribute.kind === 'sparse') return [attribute.value.values, attribute.value.indices]
  if (attribute.kind === 'sparses') return attribute.values.flatMap(({ values, indices }) => [values, indices])
  return []
}
