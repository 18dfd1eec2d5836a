/** The order in which nodes can run: that of the file where it is one, else one of dependence. */
import { nodeReads } from '../ir/index.ts'
import type { Node } from '../ir/index.ts'

/** Indices of nodes, each after all that it reads; those in a cycle, or behind one, are left out. */
export function runOrder(nodes: readonly Node[]): readonly number[] {
  const makers = new Map<string, number>()
  for (const [index, node] of nodes.entries())
    for (const name of node.outputs) if (name !== '' && !makers.has(name)) makers.set(name, index)
  const inOrder = nodes.every((node, index) => {
    for (const name of readsOf(node)) if ((makers.get(name) ?? -1) >= index) return false
    return true
  })
  return inOrder ? nodes.map((_, index) => index) : sorted(nodes, makers)
}

function sorted(nodes: readonly Node[], makers: ReadonlyMap<string, number>): readonly number[] {
  const waiting = nodes.map(() => 0)
  const readers = nodes.map((): number[] => [])
  for (const [index, node] of nodes.entries()) {
    const before = new Set<number>()
    for (const name of readsOf(node)) {
      const maker = makers.get(name)
      if (maker !== undefined) before.add(maker)
    }
    waiting[index] = before.size
    for (const maker of before) readers[maker]!.push(index)
  }
  const order = nodes.flatMap((_, index) => (waiting[index] === 0 ? [index] : []))
  // Grows while it is walked.
  for (const index of order) for (const reader of readers[index]!) if (--waiting[reader]! === 0) order.push(reader)
  return order
}

function readsOf(node: Node): Iterable<string> {
  return node.attributes.size === 0 ? node.inputs : nodeReads(node)
}
