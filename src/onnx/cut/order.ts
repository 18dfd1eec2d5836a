/**
 * An order of the solid nodes in which few bytes are alive between neighbours. The order of the file says little:
 * exporters put the preparation of weights first, and branches wherever they met them.
 */
import { crossingsOf } from './crossings.ts'
import type { Lifetimes } from './lifetimes.ts'
import type { Structure } from './structure.ts'

/** Solid nodes, each once, each behind what it needs. */
export type NodeOrder = readonly number[]

/** The better of the file's order and of a walk by depth, by the bytes that are alive over all positions. */
export function orderNodes(structure: Structure, lifetimes: (order: NodeOrder) => Lifetimes): NodeOrder {
  const file = [...structure.nodes.keys()].filter((node) => structure.kinds[node] === 'solid')
  const walked = walk(structure)
  return area(lifetimes(walked)) < area(lifetimes(file)) ? walked : file
}

/** A position where nothing may cross counts as much as the worst where it may. */
function area(lifetimes: Lifetimes): number {
  const { bytes, blocked } = crossingsOf(lifetimes)
  let [sum, worst, closed] = [0, 0, 0]
  for (let position = 1; position < bytes.length - 1; position++) {
    if (blocked[position]! > 0) closed++
    else {
      sum += bytes[position]!
      worst = Math.max(worst, bytes[position]!)
    }
  }
  return sum + closed * worst
}

/**
 * Depth first from the outputs, shallow outputs first (an output in the middle is done with before the rest goes on) and
 * deep inputs first (what is short, a late input or a skip, comes as late as it can). A loop with its own stack: graphs
 * are deeper than calls may nest.
 */
function walk(structure: Structure): number[] {
  const { nodes, reads, producers, kinds, outputs } = structure
  const depths = depthsOf(structure)
  const sources = reads.map((names) => {
    const found = new Set<number>()
    for (const name of names) {
      const producer = producers.get(name)
      if (producer !== undefined) found.add(producer)
    }
    return [...found].sort((a, b) => depths[b]! - depths[a]! || a - b)
  })
  const roots = [...nodes.keys()].filter((node) => nodes[node]!.outputs.some((name) => outputs.has(name)))
  roots.sort((a, b) => depths[a]! - depths[b]! || a - b)
  const order: number[] = []
  const seen = new Uint8Array(nodes.length)
  for (const root of roots) {
    if (seen[root] === 1) continue
    seen[root] = 1
    const stack: { readonly node: number; next: number }[] = [{ node: root, next: 0 }]
    while (stack.length > 0) {
      const top = stack.at(-1)!
      const source = sources[top.node]![top.next++]
      if (source === undefined) {
        stack.pop()
        if (kinds[top.node] === 'solid') order.push(top.node)
      } else if (seen[source] === 0) {
        seen[source] = 1
        stack.push({ node: source, next: 0 })
      }
    }
  }
  return order
}

/** The most solid nodes on a way to each node, itself included. */
function depthsOf({ nodes, reads, producers, kinds }: Structure): Int32Array {
  const depths = new Int32Array(nodes.length)
  for (const node of nodes.keys()) {
    let deepest = 0
    for (const name of reads[node]!) {
      const producer = producers.get(name)
      if (producer !== undefined) deepest = Math.max(deepest, depths[producer]!)
    }
    depths[node] = deepest + (kinds[node] === 'solid' ? 1 : 0)
  }
  return depths
}
