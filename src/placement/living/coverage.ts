/** Who could go on with which blocks: how many peers have each of them loaded, or on their disks. */
import { ORIGIN } from '../types.ts'
import type { Stage } from '../types.ts'
import type { Blocks, HeldBlocks } from './types.ts'

/** Runs of blocks that as many peers hold. */
export interface CoveredBlocks {
  readonly from: number
  readonly to: number
  /** Peers that have them loaded. Whoever asks counts for what it does itself. */
  readonly ready: number
  /** Peers that have their tensors. */
  readonly kept: number
}

export interface Coverage {
  readonly blocks: readonly CoveredBlocks[]
  /** Blocks that one peer alone has loaded: with it they have to be loaded elsewhere before an answer goes on. */
  readonly single: readonly Blocks[]
  /** Blocks whose tensors one peer alone has: with it they are lost until it comes back. */
  readonly last: readonly Blocks[]
}

/**
 * Of decoder blocks; embedding and head are loaded by whoever asks.
 * @param blocks of the model
 * @param held by peers that are there
 */
export function coverageOf(blocks: number, stages: readonly Stage[], held: ReadonlyMap<string, HeldBlocks>): Coverage {
  const count = (ranges: (peer: HeldBlocks) => readonly Blocks[], block: number): number =>
    [...held.values()].filter((peer) => ranges(peer).some(([from, to]) => from <= block && block < to)).length
  const isHome = (block: number): boolean =>
    stages.some(({ peer, from, to }) => peer === ORIGIN && from <= block && block < to)
  const each = Array.from({ length: blocks }, (_, block) => ({
    block,
    ready: count(({ ready }) => ready, block),
    kept: count(({ tensors }) => tensors, block),
  }))
  const runs: CoveredBlocks[] = []
  for (const { block, ready, kept } of each) {
    const last = runs.at(-1)
    if (last?.ready === ready && last.kept === kept) runs[runs.length - 1] = { ...last, to: block + 1 }
    else runs.push({ from: block, to: block + 1, ready, kept })
  }
  const inner = each.filter(({ block }) => !isHome(block))
  return {
    blocks: runs,
    single: rangesOf(inner.filter(({ ready }) => ready === 1).map(({ block }) => block)),
    last: rangesOf(each.filter(({ kept }) => kept === 1).map(({ block }) => block)),
  }
}

function rangesOf(blocks: readonly number[]): Blocks[] {
  const ranges: [number, number][] = []
  for (const block of blocks) {
    const last = ranges.at(-1)
    if (last?.[1] === block) last[1] = block + 1
    else ranges.push([block, block + 1])
  }
  return ranges
}
