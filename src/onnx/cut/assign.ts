/** Which nodes each part holds, what it takes in, from whom, and what it gives. */
import type { Blocks } from './blocks.ts'
import { sendCosts } from './lifetimes.ts'
import type { SendCosts } from './lifetimes.ts'
import type { Structure } from './structure.ts'
import type { CutFacts } from './types.ts'

export interface PartInput {
  readonly name: string
  /** A part by its index, or an input of the whole graph, which goes straight to each part that reads it. */
  readonly from: 'graph' | number
}

export interface PartOutput {
  readonly name: string
  /** Parts that read it, rising. */
  readonly to: readonly number[]
  /** It is an output of the whole graph. */
  readonly ofGraph: boolean
}

export interface Part {
  /** [from, to) */
  readonly blocks: readonly [from: number, to: number]
  /** Indices of the model's nodes, rising, which is an order of dependence. */
  readonly nodes: readonly number[]
  /** Of these, the ones that other parts have too. */
  readonly repeated: readonly number[]
  readonly inputs: readonly PartInput[]
  readonly outputs: readonly PartOutput[]
  /** Initializers that it reads, sparse ones too. */
  readonly initializers: ReadonlySet<string>
}

interface Draft {
  readonly nodes: Set<number>
  readonly inputs: Map<string, 'graph' | number>
  readonly initializers: Set<string>
  /** Value to the parts that it goes to. */
  readonly exports: Map<string, Set<number>>
}

/** @param cuts blocks that parts begin with, but for the first, rising */
export function assignParts(blocks: Blocks, facts: CutFacts, cuts: readonly number[]): readonly Part[] {
  const bounds = [0, ...cuts, blocks.starts.length - 1]
  const count = bounds.length - 1
  const context = contextOf(blocks, facts, bounds)
  const { structure } = blocks
  const drafts = Array.from({ length: count }, newDraft)
  const wanted: string[][] = drafts.map(() => [])
  for (const { name } of structure.model.graph.outputs) wanted[context.homeOf(name)]!.push(name)
  // What a part takes from an earlier one is known before that one is gone through.
  for (let part = count - 1; part >= 0; part--) fill(context, drafts, part, wanted[part]!)
  // What is read by nobody still has to be fed.
  const fed = new Set(drafts.flatMap(({ inputs }) => [...inputs.keys()]))
  for (const name of structure.inputs) if (!fed.has(name)) drafts[0]!.inputs.set(name, 'graph')
  const times = new Int32Array(structure.nodes.length)
  for (const { nodes } of drafts) for (const node of nodes) times[node]!++
  return drafts.map((draft, part) => finish(structure, draft, [bounds[part]!, bounds[part + 1]!], wanted[part]!, times))
}

function newDraft(): Draft {
  return { nodes: new Set(), inputs: new Map(), initializers: new Set(), exports: new Map() }
}

interface Context {
  readonly structure: Structure
  readonly costs: SendCosts
  /** Solid nodes of each part. */
  readonly solids: readonly (readonly number[])[]
  readonly partOf: Int32Array
  /** The part in which a value is first to be had. */
  readonly homeOf: (name: string) => number
}

function contextOf(blocks: Blocks, facts: CutFacts, bounds: readonly number[]): Context {
  const { structure, order, starts } = blocks
  const partOf = new Int32Array(structure.nodes.length).fill(-1)
  const solids: number[][] = []
  for (const [part, from] of bounds.slice(0, -1).entries()) {
    solids.push(order.slice(starts[from], starts[bounds[part + 1]!]))
    for (const node of solids[part]!) partOf[node] = part
  }
  const firstUse = firstUses(structure, partOf)
  const homes = new Int32Array(structure.nodes.length)
  const homeOf = (name: string): number => {
    const producer = structure.producers.get(name)
    return producer === undefined ? (firstUse.get(name) ?? 0) : homes[producer]!
  }
  for (const [node, kind] of structure.kinds.entries()) {
    homes[node] =
      kind === 'solid' ? partOf[node]! : structure.reads[node]!.reduce((home, name) => Math.max(home, homeOf(name)), 0)
  }
  return { structure, costs: sendCosts(structure, facts), solids, partOf, homeOf }
}

/** The first part that needs an input of the graph, for itself or for something that is made from it on the way. */
function firstUses({ nodes, kinds, reads }: Structure, partOf: Int32Array): Map<string, number> {
  const first = new Map<string, number>()
  for (let node = nodes.length - 1; node >= 0; node--) {
    let part = partOf[node]!
    if (kinds[node] !== 'solid') {
      part = Infinity
      for (const name of nodes[node]!.outputs) part = Math.min(part, first.get(name) ?? Infinity)
    }
    for (const name of reads[node]!) first.set(name, Math.min(part, first.get(name) ?? Infinity))
  }
  for (const [name, part] of first) if (part === Infinity) first.set(name, 0)
  return first
}

function fill(context: Context, drafts: readonly Draft[], part: number, outputs: readonly string[]): void {
  const { structure, costs, solids, partOf, homeOf } = context
  const draft = drafts[part]!
  const floating: string[] = []
  const need = (name: string): void => {
    const producer = structure.producers.get(name)
    if (producer !== undefined) {
      if (structure.kinds[producer] !== 'solid') floating.push(name)
      else if (partOf[producer] !== part) take(name, partOf[producer]!)
    } else if (structure.initializers.has(name)) draft.initializers.add(name)
    else draft.inputs.set(name, 'graph')
  }
  const take = (name: string, from: number): void => {
    draft.inputs.set(name, from)
    const exports = drafts[from]!.exports
    exports.set(name, (exports.get(name) ?? new Set()).add(part))
  }
  for (const node of solids[part]!) {
    draft.nodes.add(node)
    for (const name of structure.reads[node]!) need(name)
  }
  for (const name of outputs) need(name)
  for (const name of draft.exports.keys()) need(name)
  if (floating.length === 0) return
  const making = makingCosts(context, part, (name) => draft.inputs.has(name))
  while (floating.length > 0) {
    const name = floating.pop()!
    const producer = structure.producers.get(name)!
    if (draft.nodes.has(producer) || draft.inputs.has(name)) continue
    const sendable = structure.kinds[producer] !== 'mask' && homeOf(name) < part
    if (sendable && costs.send(name) < making[producer]!) take(name, homeOf(name))
    else {
      draft.nodes.add(producer)
      for (const read of structure.reads[producer]!) need(read)
    }
  }
}

/** For floating nodes, the bytes that a part would have to take in to make them. */
function makingCosts(
  { structure, costs, partOf, homeOf }: Context,
  part: number,
  has: (name: string) => boolean,
): Float64Array {
  const { kinds, reads, producers, initializers } = structure
  const making = new Float64Array(kinds.length)
  for (const [node, kind] of kinds.entries()) {
    if (kind === 'solid' || kind === 'mask') continue
    let sum = 0
    for (const name of reads[node]!) {
      if (initializers.has(name) || has(name)) continue
      const producer = producers.get(name)
      if (producer === undefined) sum += homeOf(name) === part ? 0 : costs.send(name)
      else if (kinds[producer] === 'solid')
        sum += partOf[producer] === part ? 0 : sendable(partOf[producer]! < part, costs.send(name))
      else sum += Math.min(making[producer]!, sendable(homeOf(name) < part, costs.send(name)))
    }
    making[node] = sum
  }
  return making
}

function sendable(earlier: boolean, bytes: number): number {
  return earlier ? bytes : Infinity
}

function finish(
  structure: Structure,
  draft: Draft,
  blocks: readonly [number, number],
  wanted: readonly string[],
  times: Int32Array,
): Part {
  const nodes = [...draft.nodes].sort((a, b) => a - b)
  const outputs = new Map<string, PartOutput>()
  for (const name of wanted) outputs.set(name, { name, to: [], ofGraph: true })
  for (const [name, to] of draft.exports) {
    outputs.set(name, { name, to: [...to].sort((a, b) => a - b), ofGraph: structure.outputs.has(name) })
  }
  return {
    blocks,
    nodes,
    repeated: nodes.filter((node) => times[node]! > 1),
    inputs: [...draft.inputs].map(([name, from]) => ({ name, from })),
    outputs: [...outputs.values()],
    initializers: draft.initializers,
  }
}
