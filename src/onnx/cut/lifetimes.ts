/** From where to where each value is alive in an order of the solid nodes. */
import type { NodeOrder } from './order.ts'
import type { Structure } from './structure.ts'
import { unsendable } from './types.ts'
import type { CutFacts } from './types.ts'

/** A value that is there after position `born` and last needed at position `last`; it crosses the cuts in between. */
export interface Lifetime {
  readonly name: string
  /** -1: from the graph's inputs. */
  readonly born: number
  readonly last: number
  readonly bytes: number
  readonly sendable: boolean
  /** Of a solid node; others are sent only where that is cheaper than to make them again. */
  readonly solid: boolean
}

export interface Lifetimes {
  /** Solid nodes in order. */
  readonly count: number
  readonly values: readonly Lifetime[]
}

/** What sending costs, for values that may be made again. */
export interface SendCosts {
  /** Bytes, `Infinity` for what cannot be sent. */
  readonly send: (name: string) => number
}

/** Shapes are sent whatever is known of them: they are a few integers. */
const NOMINAL_SHAPE_BYTES = 32

export function sendCosts(structure: Structure, facts: CutFacts): SendCosts {
  const { nodes, producers } = structure
  return {
    send(name) {
      const producer = producers.get(name)
      const node = producer === undefined ? undefined : nodes[producer]
      if (node?.domain === '' && (node.opType === 'Shape' || node.opType === 'Size')) {
        return name === '__proto__' ? Infinity : NOMINAL_SHAPE_BYTES
      }
      return unsendable(name, facts.types.get(name)) === null ? facts.bytes(name) : Infinity
    },
  }
}

/**
 * A floating value is taken to be sent where that costs fewer bytes than to send what it is made of; on equal bytes it is
 * made again. What a part has anyway is not known here, so this is from above; `assignParts` looks closely.
 */
export function lifetimesOf(structure: Structure, costs: SendCosts, order: NodeOrder): Lifetimes {
  const { nodes, kinds, reads, producers, initializers } = structure
  const position = new Int32Array(nodes.length).fill(-1)
  for (const [at, node] of order.entries()) position[node] = at
  const born = new Int32Array(nodes.length).fill(-1)
  const cost = new Float64Array(nodes.length)
  const sent = new Uint8Array(nodes.length)
  for (const [node, kind] of kinds.entries()) {
    if (kind === 'solid') {
      born[node] = position[node]!
      continue
    }
    let making = 0
    for (const name of reads[node]!) {
      const producer = producers.get(name)
      if (producer !== undefined) born[node] = Math.max(born[node]!, born[producer]!)
      if (initializers.has(name)) continue
      making += producer === undefined || kinds[producer] === 'solid' ? costs.send(name) : cost[producer]!
    }
    const sending = sum(nodes[node]!.outputs, costs)
    sent[node] = kind !== 'mask' && sending < making ? 1 : 0
    cost[node] = kind === 'mask' ? 0 : Math.min(sending, making)
  }
  const last = lastNeeds(structure, position, born, sent)
  const values: Lifetime[] = []
  for (const [node, { outputs }] of nodes.entries()) {
    const solid = kinds[node] === 'solid'
    if (!solid && sent[node] === 0) continue
    for (const name of outputs) {
      const until = last.get(name) ?? -1
      if (name === '' || until <= born[node]!) continue
      const bytes = costs.send(name)
      const sendable = bytes !== Infinity
      values.push({ name, born: born[node]!, last: until, bytes: sendable ? bytes : 0, sendable, solid })
    }
  }
  return { count: order.length, values }
}

function sum(names: readonly string[], costs: SendCosts): number {
  let bytes = 0
  for (const name of names) if (name !== '') bytes += costs.send(name)
  return bytes
}

function lastNeeds(
  { nodes, kinds, reads }: Structure,
  position: Int32Array,
  born: Int32Array,
  sent: Uint8Array,
): Map<string, number> {
  const last = new Map<string, number>()
  const need = (name: string, at: number): void => {
    if (at > (last.get(name) ?? -1)) last.set(name, at)
  }
  for (let node = nodes.length - 1; node >= 0; node--) {
    let at = position[node]!
    if (kinds[node] !== 'solid') {
      at = -1
      for (const name of nodes[node]!.outputs) at = Math.max(at, last.get(name) ?? -1)
      if (sent[node] === 1) at = Math.min(at, born[node]!)
    }
    for (const name of reads[node]!) need(name, at)
  }
  return last
}
