/** Where a model is cut when only the number of partitions is given: evenly by bytes and work. */
import { OnnxMemoryLimitError } from '../../onnx/index.ts'
import type { ModelManifest } from '../manifest.ts'
import { SplitCutsError } from './errors.ts'
import type { SplitBalance } from './types.ts'

export interface CutRequest {
  /** @default 2 */
  readonly parts?: number | undefined
  /** Blocks that partitions begin with, but for the first. */
  readonly cuts?: readonly number[] | undefined
  /** Bytes of weights that a partition may have. @default no limit */
  readonly memory?: number | undefined
}

export interface ChosenCuts {
  readonly cuts: readonly number[]
  readonly balance: SplitBalance
  readonly verdict?: 'fewer-parts'
  readonly why?: string
}

const DEFAULT_PARTS = 2

/** @throws SplitCutsError, OnnxMemoryLimitError */
export function chooseCuts(manifest: ModelManifest, request: CutRequest): ChosenCuts {
  const blocks = manifest.blocks.length
  const { parts, cuts, memory = Infinity } = request
  const ranges = rangesOf(manifest)
  if (cuts !== undefined) {
    if (parts !== undefined) throw new SplitCutsError('parts and cuts exclude each other', { parts, cuts })
    checkCuts(cuts, blocks)
    const balance = balanceOf(ranges, cuts, Infinity)
    if (Math.max(...balance.memory) > memory) {
      throw new OnnxMemoryLimitError(cuts.length + 1, memory, balance.memory, true)
    }
    return { cuts, balance }
  }
  const wanted = parts ?? DEFAULT_PARTS
  if (!Number.isSafeInteger(wanted) || wanted < 1) {
    throw new SplitCutsError(`${wanted} is no number of partitions`, { parts: wanted })
  }
  const count = Math.min(wanted, blocks)
  const chosen = evenCuts(ranges, count, memory)
  if (chosen === null) {
    const least = largestLeast(ranges, count, ranges.bytes, Infinity)
    throw new OnnxMemoryLimitError(count, memory, balanceOf(ranges, least, Infinity).memory)
  }
  const balance = balanceOf(ranges, chosen, memory)
  if (wanted <= blocks) return { cuts: chosen, balance }
  const why = `${manifest.model} has ${blocks} blocks, so it makes ${blocks} partitions and not ${wanted}`
  return { cuts: chosen, balance, verdict: 'fewer-parts', why }
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

/** Of blocks [from, to). */
type Range = (from: number, to: number) => number

export interface BlockRanges {
  readonly count: number
  readonly cost: Range
  readonly bytes: Range
}

/** A block's share of all bytes and its share of all work, added. */
function rangesOf(manifest: ModelManifest): BlockRanges {
  const bytes = manifest.blocks.map((_, block) => blockBytes(manifest, block))
  const flops = manifest.blocks.map((block) => block.flops)
  const [allBytes, allFlops] = [bytes, flops].map((values) => Math.max(1, sumsOf(values).at(-1)!)) as [number, number]
  return blockRanges(
    bytes.map((size, block) => size / allBytes + flops[block]! / allFlops),
    bytes,
  )
}

export function blockRanges(costs: readonly number[], bytes: readonly number[]): BlockRanges {
  const [cost, size] = [sumsOf(costs), sumsOf(bytes)]
  return {
    count: costs.length,
    cost: (from, to) => cost[to]! - cost[from]!,
    bytes: (from, to) => size[to]! - size[from]!,
  }
}

function sumsOf(values: readonly number[]): Float64Array {
  const sums = new Float64Array(values.length + 1)
  for (const [index, value] of values.entries()) sums[index + 1] = sums[index]! + value
  return sums
}

/** Of cuts that are there, under a limit that some choice of so many keeps. */
export function balanceOf(ranges: BlockRanges, cuts: readonly number[], memory: number): SplitBalance {
  const largest = Math.max(...eachOf(ranges, cuts, ranges.cost))
  const best = largestLeast(ranges, cuts.length + 1, ranges.cost, memory)
  const bound = Math.max(...eachOf(ranges, best, ranges.cost))
  const above = bound > 0 ? Math.max(0, largest / bound - 1) : 0
  return { largest, bound, exact: true, above, memory: eachOf(ranges, cuts, ranges.bytes) }
}

function eachOf({ count }: BlockRanges, cuts: readonly number[], range: Range): number[] {
  return [0, ...cuts].map((from, part) => range(from, cuts[part] ?? count))
}

/** The cuts whose costs have the least sum of squares, none with more bytes than `memory`. Null: there are none. */
export function evenCuts(ranges: BlockRanges, parts: number, memory = Infinity): readonly number[] | null {
  return bestCuts(ranges, parts, (sum, cost) => sum + cost * cost, memory)
}

/** The cuts whose largest range is the least; there is a choice that fits the memory. */
function largestLeast(ranges: BlockRanges, parts: number, range: Range, memory: number): readonly number[] {
  return bestCuts({ ...ranges, cost: range }, parts, Math.max, memory)!
}

/**
 * The cuts into `parts` ranges, none empty and none with more bytes than `memory`, whose costs are the least as `joined`
 * adds one to what the ranges before it have; the earliest of equal ones. Dynamic programming, parts * blocks^2 steps.
 * @returns null where no choice fits
 */
function bestCuts(
  { count, cost, bytes }: BlockRanges,
  parts: number,
  joined: (before: number, cost: number) => number,
  memory: number,
): readonly number[] | null {
  const priced = (from: number, to: number, before: number): number =>
    bytes(from, to) > memory ? Infinity : joined(before, cost(from, to))
  const starts: Int32Array[] = []
  let best = Float64Array.from({ length: count + 1 }, (_, end) => priced(0, end, 0))
  for (let part = 1; part < parts; part++) {
    const next = new Float64Array(count + 1).fill(Infinity)
    const start = new Int32Array(count + 1)
    for (let end = part + 1; end <= count; end++) {
      for (let cut = part; cut < end; cut++) {
        const total = priced(cut, end, best[cut]!)
        if (total < next[end]!) {
          next[end] = total
          start[end] = cut
        }
      }
    }
    best = next
    starts.push(start)
  }
  if (best[count] === Infinity) return null
  const cuts: number[] = []
  for (let end = count; starts.length > 0;) {
    end = starts.pop()![end]!
    cuts.unshift(end)
  }
  return cuts
}
