/** Puts nodes in an order of dependence. */
import type { Node } from './types.ts'
import { nodeReads } from './uses.ts'

export type Sorted =
  | { readonly kind: 'sorted'; readonly nodes: readonly Node[] }
  /** Values, each computed from the one before it and the first from the last. */
  | { readonly kind: 'cycle'; readonly values: readonly string[] }

/**
 * Each node stands after those that it reads from, also through its subgraphs, and else where it stood: what is in
 * order stays as it is.
 * @param makers indices of the nodes by the names of their outputs; other names come from elsewhere
 */
export function sortNodes(nodes: readonly Node[], makers: ReadonlyMap<string, number>): Sorted {
  const needs = nodes.map((node) => needed(node, makers))
  if (needs.every((list, index) => list.every((need) => need < index))) return { kind: 'sorted', nodes }
  const order: Node[] = []
  const done = new Set<number>()
  for (const start of nodes.keys()) {
    const cycle = placeWithNeeds(start, needs, done, (index) => order.push(nodes[index]!))
    if (cycle !== undefined)
      return { kind: 'cycle', values: cycle.map((index, at) => link(nodes, makers, cycle, index, at)) }
  }
  return { kind: 'sorted', nodes: order }
}

function needed(node: Node, makers: ReadonlyMap<string, number>): readonly number[] {
  const indices: number[] = []
  for (const name of nodeReads(node)) {
    const maker = makers.get(name)
    if (maker !== undefined) indices.push(maker)
  }
  return indices
}

/** Depth first, with a stack of its own: a chain of 100,000 nodes may stand in reverse. Gives a cycle if it meets one. */
function placeWithNeeds(
  start: number,
  needs: readonly (readonly number[])[],
  done: Set<number>,
  place: (index: number) => void,
): readonly number[] | undefined {
  if (done.has(start)) return undefined
  const path = [{ index: start, next: 0 }]
  const waiting = new Set([start])
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const need = needs[top.index]![top.next++]
    if (need === undefined) {
      path.pop()
      waiting.delete(top.index)
      done.add(top.index)
      place(top.index)
    } else if (waiting.has(need)) {
      const indices = path.map(({ index }) => index)
      return indices.slice(indices.indexOf(need)).reverse()
    } else if (!done.has(need)) {
      path.push({ index: need, next: 0 })
      waiting.add(need)
    }
  }
  return undefined
}

/** The value by which a node of the cycle is needed by the next one. */
function link(
  nodes: readonly Node[],
  makers: ReadonlyMap<string, number>,
  cycle: readonly number[],
  index: number,
  at: number,
): string {
  const next = nodes[cycle[(at + 1) % cycle.length]!]!
  for (const name of nodeReads(next)) if (makers.get(name) === index) return name
  return ''
}
