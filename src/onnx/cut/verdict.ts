/** How many partitions a graph deserves, and in words why they are fewer than were asked for. */
import { shown } from '../ir/index.ts'
import type { Blocks } from './blocks.ts'
import { choosePartitions, leastMemories, limitOf, measureCuts } from './choose.ts'
import type { ChooseRequest, ChosenPartitions, MemoryLimit } from './choose.ts'
import { OnnxMemoryLimitError } from './errors.ts'
import { ownBytes } from './weights.ts'

export interface Decision {
  readonly chosen: ChosenPartitions
  /** Absent: as many partitions as were asked for. */
  readonly verdict?: 'fewer-parts' | 'do-not-split'
  readonly why?: string
  /** Of a graph that is not split: the cuts that would be the best. */
  readonly best?: ChosenPartitions
}

/** A partition with so much of the whole is the whole. */
const NEARLY_ALL = 0.95
/** Graphs with less at stake are cut as they are told to be. */
const STAKE_BYTES = 64 * 1024
const STAKE_SECONDS = 1e-3

/** @throws OnnxMemoryLimitError */
export function decide(blocks: Blocks, request: ChooseRequest): Decision {
  const whole = measureCuts(blocks, [], request.bandwidth)
  const isRoomy = whole.memory <= limitOf(request.memoryLimit, 0)
  for (let parts = request.parts; parts > 1; parts--) {
    const chosen = choosePartitions(blocks, { ...request, parts })
    if (chosen === null) {
      if (choosePartitions(blocks, { ...request, parts, memoryLimit: undefined }) !== null) {
        throw new OnnxMemoryLimitError(parts, request.memoryLimit!, leastMemories(blocks, { ...request, parts }))
      }
      continue
    }
    const useless = isRoomy ? uselessness(blocks, chosen, whole) : null
    if (useless !== null) return { chosen: whole, verdict: 'do-not-split', why: useless, best: chosen }
    if (parts === request.parts) return { chosen }
    return { chosen, verdict: 'fewer-parts', why: `${fewWays(blocks)}, so it makes ${parts} partitions` }
  }
  if (!isRoomy) throw new OnnxMemoryLimitError(1, request.memoryLimit!, whole.memories)
  if (request.parts === 1) return { chosen: whole }
  return { chosen: whole, verdict: 'do-not-split', why: fewWays(blocks) }
}

/** The facts of cuts that somebody else has made. @throws OnnxMemoryLimitError */
export function decideCuts(blocks: Blocks, cuts: readonly number[], memoryLimit: MemoryLimit | undefined): Decision {
  const chosen = measureCuts(blocks, cuts)
  const { memories } = chosen
  if (memories.some((bytes, part) => bytes > limitOf(memoryLimit, part))) {
    throw new OnnxMemoryLimitError(memories.length, memoryLimit!, memories, true)
  }
  return { chosen }
}

/** Why these partitions are no better than the whole, or null. */
function uselessness(blocks: Blocks, chosen: ChosenPartitions, whole: ChosenPartitions): string | null {
  if (chosen.bottleneck < NEARLY_ALL * whole.bottleneck) return null
  const weights = blocks.weights.reduce((sum, { bytes }) => sum + bytes, 0)
  const crossing = chosen.cuts.reduce((sum, cut) => sum + blocks.leastCrossing[cut]!, 0)
  if (crossing > weights && crossing >= STAKE_BYTES && chosen.bottleneck >= whole.bottleneck) {
    return (
      `what crosses the best cuts has ${size(crossing)}, more than the weights (${size(weights)}), ` +
      'and takes longer to send than it saves'
    )
  }
  if (chosen.memory < NEARLY_ALL * whole.memory) return null
  if (weights < STAKE_BYTES && whole.bottleneck < STAKE_SECONDS) return null
  const node = largest(blocks, NEARLY_ALL)
  return node === null ? null : `${node}, and a node is not divided`
}

function fewWays(blocks: Blocks): string {
  const { all, sendable, offered } = blocks.positions
  if (all <= 0) return 'the graph has no two nodes to cut between, constants and arithmetic on shapes aside'
  const node = largest(blocks, 0.5)
  const also = node === null ? '' : `, and ${node}`
  const places = `of the ${all} places between its nodes`
  if (sendable === 0) return `${places} there is none where only tensors cross that can be sent${also}`
  if (offered === 0) return `${places} there is none outside of what the engine fuses${also}`
  return `${places} only ${offered} ${offered === 1 ? 'is one' : 'are ones'} where a cut is possible and offered${also}`
}

/** What holds more than so much of the weights or of the work, as a clause. */
function largest({ structure, order, weights, starts, seconds }: Blocks, share: number): string | null {
  const total = weights.reduce((sum, { bytes }) => sum + bytes, 0)
  let [most, heaviest] = [0, -1]
  for (const node of order) {
    const bytes = nodeBytes(structure.model.graph.initializers, structure.nodes[node]!)
    if (bytes > most) [most, heaviest] = [bytes, node]
  }
  const named = (node: number): string => {
    const { opType, name } = structure.nodes[node]!
    return `one ${shown(opType).slice(1, -1)} node (${shown(name)})`
  }
  if (total > 0 && most > share * total) return `${named(heaviest)} holds ${percent(most / total)} of the weights`
  const all = seconds.reduce((sum, each) => sum + each, 0)
  const slowest = seconds.indexOf(seconds.reduce((longest, each) => Math.max(longest, each), 0))
  if (seconds.length < 2 || seconds[slowest]! <= share * all) return null
  const part = percent(seconds[slowest]! / all)
  const count = starts[slowest + 1]! - starts[slowest]!
  return count === 1
    ? `${named(order[starts[slowest]!]!)} takes ${part} of the time`
    : `${count} nodes that stay together take ${part} of the time`
}

type Initializers = Blocks['structure']['model']['graph']['initializers']

function nodeBytes(initializers: Initializers, node: Parameters<typeof ownBytes>[0]): number {
  let bytes = ownBytes(node)
  for (const name of new Set(node.inputs)) {
    const data = initializers.get(name)?.data
    if (data?.kind === 'range') bytes += data.length
    else if (data?.kind === 'bytes') bytes += data.bytes.length
  }
  return bytes
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`
}

function size(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} B`
  return bytes < 2 ** 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`
}
