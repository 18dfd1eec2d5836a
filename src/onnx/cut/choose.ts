/**
 * Where a graph is cut into N partitions. The time of a partition is that of its nodes plus that of sending what crosses
 * its end. First the longest time is made as short as it can be under the memory limit; then, among all choices whose
 * longest time is at most 5 % above that, the one is taken whose cuts let the fewest bytes cross.
 */
import type { Blocks } from './blocks.ts'
import { columnsOf, ranges } from './ranges.ts'
import type { Ranges } from './ranges.ts'

/** Bytes of weights and live values that a partition may have: each the same, or each its own, in their order. */
export type MemoryLimit = number | readonly number[]

export interface ChooseRequest {
  readonly parts: number
  /** @default no limit */
  readonly memoryLimit?: MemoryLimit | undefined
  /** How fast each partition will run, against the nominal device of the facts; in their order. @default 1 each */
  readonly paces?: readonly number[] | undefined
  /** Blocks before which no cut may be, since a check has found one to change bits. */
  readonly banned?: ReadonlySet<number> | undefined
  /** Bytes a second between partitions. @default a link of 1 Gbit/s */
  readonly bandwidth?: number | undefined
}

export interface ChosenPartitions {
  /** Blocks that partitions begin with, but for the first. */
  readonly cuts: readonly number[]
  /** Seconds of the slowest partition, sending included. */
  readonly bottleneck: number
  /** No choice for this order of nodes and so many partitions has a shorter one; equal to the best one where `exact`. */
  readonly bound: number
  /** All choices for this order have been weighed. */
  readonly exact: boolean
  /** Over all cuts. */
  readonly crossingBytes: number
  /** Bytes of the largest partition: weights, and values that are alive at once. */
  readonly memory: number
  /** The same of each partition. */
  readonly memories: readonly number[]
}

export const GIGABIT = 125e6
const SLACK = 1.05
/** Steps of the dynamic program, blocks * blocks * parts: some tenths of a second. */
const MOST_STEPS = 1e8
/** Pairs of blocks whose costs are held at once: 16 bytes each. */
const MOST_PAIRS = 4e6

/** @returns null where no choice of so many partitions exists, or none fits the memory */
export function choosePartitions(blocks: Blocks, request: ChooseRequest): ChosenPartitions | null {
  const { parts } = request
  const bandwidth = request.bandwidth ?? GIGABIT
  const limit = (part: number): number => limitOf(request.memoryLimit, part)
  const pace = (part: number): number => paceOf(request.paces, part)
  const allowed = allowedStarts(blocks, request.banned)
  if (parts > allowed.length - 1) return null
  const columns = columnsOf(blocks, allowed, mostColumns(parts))
  const table = ranges(blocks, columns, bandwidth)
  const work = (from: number, to: number, part: number): number => table.work(from, to) / pace(part)
  const seconds = (from: number, to: number, part: number): number => work(from, to, part) + table.sending(to)
  const enough = evenly(table, parts, limit, pace)
  const shortest = divide(table, parts, (from, to, before, part) => {
    if (table.memory(from, to) > limit(part) || work(from, to, part) > enough) return STOP
    return Math.max(before, seconds(from, to, part))
  })
  if (shortest === null) return null
  const cap = shortest.cost * SLACK
  const fewest = divide(table, parts, (from, to, before, part) => {
    if (table.memory(from, to) > limit(part) || work(from, to, part) > cap) return STOP
    return seconds(from, to, part) > cap ? Infinity : before + blocks.crossing[columns[to]!]!
  })!
  const bounds = fewest.bounds
  const each = <T>(value: (from: number, to: number, part: number) => T): T[] =>
    bounds.slice(1).map((to, index) => value(bounds[index]!, to, index))
  const exact = columns.length === allowed.length
  const memories = each(table.memory)
  return {
    cuts: bounds.slice(1, -1).map((column) => columns[column]!),
    bottleneck: Math.max(...each(seconds)),
    bound: exact ? shortest.cost : lowerBound(blocks, parts, request.paces),
    exact,
    crossingBytes: bounds.slice(1, -1).reduce((sum, column) => sum + blocks.crossing[columns[column]!]!, 0),
    memory: Math.max(...memories),
    memories,
  }
}

/** Of a partition by its index; where each has its own, those behind the last have no room. */
export function limitOf(limit: MemoryLimit | undefined, part: number): number {
  return typeof limit === 'object' ? (limit[part] ?? 0) : (limit ?? Infinity)
}

function paceOf(paces: readonly number[] | undefined, part: number): number {
  const pace = paces?.[part] ?? 1
  return Number.isFinite(pace) && pace > 0 ? pace : 1
}

/**
 * Bytes of each of so many partitions where the one that is the most above its limit is the least above it; there is a choice
 * of so many.
 */
export function leastMemories(blocks: Blocks, { parts, banned, memoryLimit }: ChooseRequest): readonly number[] {
  const columns = columnsOf(blocks, allowedStarts(blocks, banned), mostColumns(parts))
  const table = ranges(blocks, columns, GIGABIT)
  const { bounds } = divide(table, parts, (from, to, before, part) =>
    Math.max(before, table.memory(from, to) / Math.max(1, limitOf(memoryLimit, part))),
  )!
  return bounds.slice(1).map((to, index) => table.memory(bounds[index]!, to))
}

function mostColumns(parts: number): number {
  return Math.floor(Math.max(parts, Math.min(Math.sqrt(MOST_STEPS / parts), Math.sqrt(MOST_PAIRS))))
}

/** Blocks before which a cut may be, with the first and the end. */
function allowedStarts(blocks: Blocks, banned: ReadonlySet<number> | undefined): number[] {
  const last = blocks.starts.length - 1
  return blocks.starts.map((_, block) => block).filter((block) => block === 0 || block === last || !banned?.has(block))
}

/** The facts of a choice that somebody else has made. */
export function measureCuts(blocks: Blocks, cuts: readonly number[], bandwidth = GIGABIT): ChosenPartitions {
  const columns = [0, ...cuts, blocks.starts.length - 1]
  const table = ranges(blocks, columns, bandwidth)
  const each = cuts.concat(0).map((_, index) => index)
  const memories = each.map((index) => table.memory(index, index + 1))
  return {
    cuts,
    bottleneck: Math.max(...each.map((index) => table.seconds(index, index + 1))),
    bound: lowerBound(blocks, cuts.length + 1),
    exact: false,
    crossingBytes: cuts.reduce((sum, cut) => sum + blocks.crossing[cut]!, 0),
    memory: Math.max(...memories),
    memories,
  }
}

/** Whatever is chosen: a share of the work by pace, or the largest block. */
function lowerBound({ seconds }: Blocks, parts: number, paces?: readonly number[]): number {
  const each = Array.from({ length: parts }, (_, part) => paceOf(paces, part))
  let [sum, most] = [0, 0]
  for (const each of seconds) {
    sum += each
    most = Math.max(most, each)
  }
  return Math.max(sum / each.reduce((all, pace) => all + pace, 0), most / Math.max(...each))
}

/** Seconds of the slowest part where each has a share of the work by its pace: the best has no more. */
function evenly(table: Ranges, parts: number, limit: (part: number) => number, pace: (part: number) => number): number {
  const last = table.count - 1
  const all = Array.from({ length: parts }, (_, part) => pace(part)).reduce((sum, each) => sum + each, 0)
  const total = table.work(0, last)
  let [from, slowest, share] = [0, 0, 0]
  for (let part = 1; part <= parts; part++) {
    const most = last - (parts - part)
    let to = part === parts ? last : from + 1
    share += pace(part - 1) / all
    while (to < most && table.work(0, to) < total * share) to++
    if (table.memory(from, to) > limit(part - 1)) return Infinity
    slowest = Math.max(slowest, table.work(from, to) / pace(part - 1) + table.sending(to))
    from = to
  }
  return slowest
}

/** `before`: the cost of all parts up to `from`; `part` is the one from there. STOP: no longer one is possible. */
type Extend = (from: number, to: number, before: number, part: number) => number

const STOP = -1

/** The cheapest way over the columns in so many steps; the earliest cuts of equal ones. */
function divide(
  table: Ranges,
  parts: number,
  extend: Extend,
): { readonly cost: number; readonly bounds: number[] } | null {
  const last = table.count - 1
  let best = new Float64Array(table.count).fill(Infinity)
  best[0] = 0
  const origins: Int32Array[] = []
  for (let part = 1; part <= parts; part++) {
    const next = new Float64Array(table.count).fill(Infinity)
    const origin = new Int32Array(table.count)
    for (let from = part - 1; from < last; from++) {
      const before = best[from]!
      if (before === Infinity) continue
      // The last part goes to the end, the others leave a column for each that follows.
      for (let to = part === parts ? last : from + 1; to <= last - (parts - part); to++) {
        const cost = extend(from, to, before, part - 1)
        if (cost === STOP) break
        if (cost >= next[to]!) continue
        next[to] = cost
        origin[to] = from
      }
    }
    best = next
    origins.push(origin)
  }
  const cost = best[last]!
  if (cost === Infinity) return null
  const bounds = [last]
  while (origins.length > 0) bounds.unshift(origins.pop()![bounds[0]!]!)
  return { cost, bounds }
}
