/** A graph without the nodes that none of its outputs needs: the engine would compute them. */
import { nodeReads } from '../../onnx/index.ts'
import type { Model, Node } from '../../onnx/index.ts'

/** Inputs stay, read or not. */
export function pruned(model: Model): Model {
  const { graph } = model
  const wanted = new Set(graph.outputs.map(({ name }) => name))
  const kept: Node[] = []
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((name) => wanted.has(name))) continue
    kept.push(node)
    for (const name of nodeReads(node)) wanted.add(name)
  }
  return { ...model, graph: { ...graph, nodes: kept.reverse() } }
}
