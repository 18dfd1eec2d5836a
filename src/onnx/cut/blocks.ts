/**
 * Blocks: the solid nodes between two neighbouring positions where a cut is offered. They are what `--cuts` counts and
 * what partitions are ranges of. Their numbers follow from the model and from whether its parts run optimised, not from
 * how many parts are wanted.
 */
import { crossingsOf } from './crossings.ts'
import { fusionGroups } from './fusions.ts'
import type { FusionGroup } from './fusions.ts'
import { halfGroups } from './half.ts'
import { lifetimesOf, sendCosts } from './lifetimes.ts'
import type { Lifetimes } from './lifetimes.ts'
import { orderNodes } from './order.ts'
import type { NodeOrder } from './order.ts'
import { structureOf } from './structure.ts'
import type { Structure } from './structure.ts'
import type { CutFacts } from './types.ts'
import type { Model } from '../ir/index.ts'
import { weightItems } from './weights.ts'
import type { WeightItem } from './weights.ts'

export interface Blocks {
  readonly structure: Structure
  readonly order: NodeOrder
  /** Index in `order` of the first node of each block, and the number of nodes behind the last. */
  readonly starts: readonly number[]
  /** Bytes that cross the cut before each block; 0 for the first and behind the last. */
  readonly crossing: Float64Array
  /** The same with 1 for each free dimension. */
  readonly leastCrossing: Float64Array
  /** Seconds of each block. */
  readonly seconds: Float64Array
  /** The most bytes of values that are alive at once in each block. */
  readonly alive: Float64Array
  /** With the blocks that need them. */
  readonly weights: readonly WeightItem[]
  /** Positions in the order, all; those where only what can be sent crosses; those where no fusion is cut besides. */
  readonly positions: { readonly all: number; readonly sendable: number; readonly offered: number }
}

/** How far fusions may reach over the order before the check, and not the rule, decides. */
const MOST_SPAN = 64

/**
 * @param model as `checkModel` gives it: nodes in an order of dependence, names unique
 * @param fused the parts will run with optimisations on, so that no cut goes through what the engine fuses
 */
export function blocksOf(model: Model, facts: CutFacts, fused: boolean): Blocks {
  const structure = structureOf(model, facts.seconds)
  const costs = sendCosts(structure, facts)
  const lifetimes = (order: NodeOrder): Lifetimes => lifetimesOf(structure, costs, order)
  const order = orderNodes(structure, lifetimes)
  const alive = lifetimes(order)
  const { bytes, blocked } = crossingsOf(alive)
  const half = halfGroups(structure, facts.types)
  const inside = insideGroups(order, fused ? [...half, ...fusionGroups(structure)] : half)
  const starts = [0]
  let sendable = 0
  for (let position = 1; position < order.length; position++) {
    if (blocked[position]! > 0) continue
    sendable++
    if (inside[position] === 0) starts.push(position)
  }
  const positions = { all: Math.max(0, order.length - 1), sendable, offered: starts.length - 1 }
  starts.push(order.length)
  const inner = (values: Float64Array): Float64Array =>
    Float64Array.from(starts, (start) => (start === 0 || start === order.length ? 0 : values[start]!))
  const least = sendCosts(structure, { ...facts, bytes: (name) => facts.leastBytes(name) })
  return {
    structure,
    order,
    starts,
    crossing: inner(bytes),
    leastCrossing: inner(crossingsOf(lifetimesOf(structure, least, order)).bytes),
    seconds: secondsOf(structure, facts, order, starts),
    alive: aliveIn(bytes, starts),
    weights: weightItems(structure, order, starts),
    positions,
  }
}

/** For each position, how many groups it would divide. */
function insideGroups(order: NodeOrder, groups: readonly FusionGroup[]): Int32Array {
  const position = new Map(order.map((node, at) => [node, at]))
  const inside = new Int32Array(order.length + 2)
  for (const group of groups) {
    let [first, last] = [Infinity, -1]
    for (const node of group) {
      const at = position.get(node)
      if (at === undefined) continue
      first = Math.min(first, at)
      last = Math.max(last, at)
    }
    if (last <= first || last - first > MOST_SPAN) continue
    inside[first + 1]!++
    inside[last + 1]!--
  }
  for (let at = 1; at < inside.length; at++) inside[at]! += inside[at - 1]!
  return inside
}

/** What floats is counted where it is first read. */
function secondsOf(
  { nodes, kinds, reads, producers }: Structure,
  facts: CutFacts,
  order: NodeOrder,
  starts: readonly number[],
): Float64Array {
  const seconds = new Float64Array(starts.length - 1)
  const counted = new Uint8Array(nodes.length)
  let block = 0
  for (const [at, node] of order.entries()) {
    while (starts[block + 1]! <= at) block++
    const stack = [node]
    while (stack.length > 0) {
      const next = stack.pop()!
      if (counted[next] === 1) continue
      counted[next] = 1
      seconds[block]! += facts.seconds(next)
      for (const name of reads[next]!) {
        const producer = producers.get(name)
        if (producer !== undefined && kinds[producer] !== 'solid') stack.push(producer)
      }
    }
  }
  return seconds
}

function aliveIn(bytes: Float64Array, starts: readonly number[]): Float64Array {
  const most = new Float64Array(starts.length - 1)
  for (const block of most.keys()) {
    for (let at = starts[block]!; at <= starts[block + 1]!; at++) most[block] = Math.max(most[block]!, bytes[at]!)
  }
  return most
}
