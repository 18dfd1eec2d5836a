/** Time and memory of every range of blocks. */
import type { Blocks } from './blocks.ts'

/** Over columns: places where a range may begin or end, by index. */
export interface Ranges {
  readonly count: number
  /** Of nodes from one column to another: never less for a longer range. */
  readonly work: (from: number, to: number) => number
  /** Of nodes from one column to another, and of sending what crosses there. */
  readonly seconds: (from: number, to: number) => number
  /** Seconds of sending what crosses before a column. */
  readonly sending: (column: number) => number
  /** Bytes of weights, each once, and of the values alive at the worst moment: never less for a longer range. */
  readonly memory: (from: number, to: number) => number
}

/** The allowed places, or where they are too many, in each of so many equal shares of them the one with the fewest bytes. */
export function columnsOf({ crossing }: Blocks, allowed: readonly number[], most: number): readonly number[] {
  if (allowed.length <= most + 1) return allowed
  const inner = allowed.slice(1, -1)
  const columns = [allowed[0]!]
  for (let share = 0; share < most - 1; share++) {
    const [from, to] = [share, share + 1].map((index) => Math.floor((inner.length * index) / (most - 1)))
    let best = inner[from!]!
    for (const block of inner.slice(from, to)) if (crossing[block]! < crossing[best]!) best = block
    columns.push(best)
  }
  return [...columns, allowed.at(-1)!]
}

export function ranges(blocks: Blocks, columns: readonly number[], bandwidth: number): Ranges {
  const count = columns.length
  const sums = new Float64Array(count)
  const sending = Float64Array.from(columns, (block) => blocks.crossing[block]! / bandwidth)
  for (let column = 1; column < count; column++) {
    let sum = sums[column - 1]!
    for (let block = columns[column - 1]!; block < columns[column]!; block++) sum += blocks.seconds[block]!
    sums[column] = sum
  }
  const memory = memories(blocks, columns)
  return {
    count,
    work: (from, to) => sums[to]! - sums[from]!,
    seconds: (from, to) => sums[to]! - sums[from]! + sending[to]!,
    sending: (column) => sending[column]!,
    memory: (from, to) => memory[from * count + to]!,
  }
}

function memories(blocks: Blocks, columns: readonly number[]): Float64Array {
  const count = columns.length
  const uses = usesBySpan(blocks, columns)
  const alive = new Float64Array(count)
  for (let span = 0; span < count - 1; span++) {
    for (let block = columns[span]!; block < columns[span + 1]!; block++) {
      alive[span] = Math.max(alive[span]!, blocks.alive[block]!)
    }
  }
  const memory = new Float64Array(count * count)
  for (let from = 0; from < count; from++) {
    let [weights, most] = [0, 0]
    for (let to = from + 1; to < count; to++) {
      // A weight counts where it is first met behind `from`.
      for (const { bytes, previous } of uses[to - 1]!) if (previous < from) weights += bytes
      most = Math.max(most, alive[to - 1]!)
      memory[from * count + to] = weights + most
    }
  }
  return memory
}

interface Use {
  readonly bytes: number
  /** The span that used it before, or -1. */
  readonly previous: number
}

/** For each span between two columns, the weights that it uses; those of it alone as one. */
function usesBySpan({ weights }: Blocks, columns: readonly number[]): readonly (readonly Use[])[] {
  const spans: Use[][] = columns.map(() => [])
  const fresh = new Float64Array(columns.length)
  const spanOf = spansOf(columns)
  for (const { bytes, blocks } of weights) {
    let previous = -1
    for (const block of blocks) {
      const span = spanOf[block]!
      if (span === previous) continue
      if (previous === -1) fresh[span]! += bytes
      else spans[span]!.push({ bytes, previous })
      previous = span
    }
  }
  for (const [span, bytes] of fresh.entries()) if (bytes > 0) spans[span]!.push({ bytes, previous: -1 })
  return spans
}

function spansOf(columns: readonly number[]): Int32Array {
  const spans = new Int32Array(columns.at(-1)!)
  for (let span = 0; span < columns.length - 1; span++) spans.fill(span, columns[span], columns[span + 1])
  return spans
}
