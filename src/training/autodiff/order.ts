/** The order of nodes that lets the engine drop activations early. */
import type { Node } from '../../onnx/index.ts'

/**
 * ONNX Runtime walks back from the nodes whose outputs nobody reads, the last one in the file first. So gradients of
 * parameters stand at the end, the one that is known first as the last: then each is computed as soon as it can be, and
 * the activations that it needs are dropped. In another order it would go all the way back first, and keep them all.
 * @param finals nodes that make outputs of the graph, each of one value
 */
export function gradientsLast(nodes: readonly Node[], finals: readonly Node[]): readonly Node[] {
  const place = new Map(nodes.flatMap(({ outputs }, index) => outputs.map((name): [string, number] => [name, index])))
  const readers = new Map<string, number>()
  for (const { inputs } of nodes) for (const name of inputs) readers.set(name, (readers.get(name) ?? 0) + 1)
  const known = (final: Node): number => place.get(final.inputs[0]!) ?? -1
  const ordered = finals.toSorted((left, right) => known(right) - known(left))
  const moved = new Set<Node>()
  const last = ordered.flatMap((final) => {
    const maker = nodes[known(final)]
    if (maker === undefined || moved.has(maker) || maker.outputs.some((name) => readers.has(name))) return [final]
    moved.add(maker)
    return [maker, final]
  })
  return [...nodes.filter((node) => !moved.has(node)), ...last]
}
