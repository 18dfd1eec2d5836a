/** Where a model is cut when only the number of partitions is given: evenly by bytes and work. */
import type { ModelManifest } from '../manifest.ts'
import { SplitCutsError } from './errors.ts'

export interface CutRequest {
  /** @default 2 */
  readonly parts?: number | undefined
  /** Blocks that partitions begin with, but for the first. */
  readonly cuts?: readonly number[] | undefined
}

export interface ChosenCuts {
  readonly cuts: readonly number[]
  readonly verdict?: 'fewer-parts'
  readonly why?: string
}

const DEFAULT_PARTS = 2

/** @throws SplitCutsError */
export function chooseCuts(manifest: ModelManifest, request: CutRequest): ChosenCuts {
  const blocks = manifest.blocks.length
  const { parts, cuts } = request
  if (cuts !== undefined) {
    if (parts !== undefined) throw new SplitCutsError('parts and cuts exclude each other', { parts, cuts })
    checkCuts(cuts, blocks)
    return { cuts }
  }
  const wanted = parts ?? DEFAULT_PARTS
  if (!Number.isSafeInteger(wanted) || wanted < 1) {
    throw new SplitCutsError(`${wanted} is no number of partitions`, { parts: wanted })
  }
  const costs = blockCosts(manifest)
  if (wanted <= blocks) return { cuts: evenCuts(costs, wanted) }
  const why = `${manifest.model} has ${blocks} blocks, so it makes ${blocks} partitions and not ${wanted}`
  return { cuts: evenCuts(costs, blocks), verdict: 'fewer-parts', why }
}

function checkCuts(cuts: readonly number[], blocks: number): void {
  for (const [index, cut] of cuts.entries()) {
    if (!Number.isSafeInteger(cut) || cut < 1 || cut >= blocks) {
      throw new SplitCutsError(`block ${cut} is not one of 1 to ${blocks - 1}`, { cut, blocks })
    }
    const before = cuts[index - 1]
    if (before !== undefined && cut <= before)
      throw new SplitCutsError(`${cut} does not rise after ${before}`, { cuts })
  }
}

/** Bytes that a block takes in a partition's files: the embedding is a table there. */
export function blockBytes(manifest: ModelManifest, block: number): number {
  const { kind, memory } = manifest.blocks[block]!
  if (kind !== 'embedding') return memory
  const { vocabulary, width } = manifest.shape
  return vocabulary * width * (manifest.boundary === 'f16' ? 2 : 4)
}

/** A block's share of all bytes and its share of all work, added. */
function blockCosts(manifest: ModelManifest): Float64Array {
  const bytes = manifest.blocks.map((_, block) => blockBytes(manifest, block))
  const flops = manifest.blocks.map((block) => block.flops)
  const sum = (values: readonly number[]): number =>
    Math.max(
      1,
      values.reduce((total, value) => total + value, 0),
    )
  const [allBytes, allFlops] = [sum(bytes), sum(flops)]
  return Float64Array.from(bytes, (size, block) => size / allBytes + flops[block]! / allFlops)
}

/**
 * The cuts into `parts` ranges, none empty, whose costs have the least sum of squares; the earliest of equal ones.
 * Dynamic programming over prefixes, parts * blocks^2 steps.
 */
export function evenCuts(costs: Float64Array, parts: number): number[] {
  const count = costs.length
  const sums = new Float64Array(count + 1)
  for (let block = 0; block < count; block++) sums[block + 1] = sums[block]! + costs[block]!
  const starts: Int32Array[] = []
  let best = Float64Array.from(sums, (sum) => sum * sum)
  for (let part = 1; part < parts; part++) {
    const next = new Float64Array(count + 1).fill(Infinity)
    const start = new Int32Array(count + 1)
    for (let end = part + 1; end <= count; end++) {
      for (let cut = part; cut < end; cut++) {
        const cost = sums[end]! - sums[cut]!
        const total = best[cut]! + cost * cost
        if (total < next[end]!) {
          next[end] = total
          start[end] = cut
        }
      }
    }
    best = next
    starts.push(start)
  }
  const cuts: number[] = []
  for (let end = count; starts.length > 0;) {
    end = starts.pop()![end]!
    cuts.unshift(end)
  }
  return cuts
}
