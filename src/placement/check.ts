/** Is this list of stages a placement? For those that people write, and those that other peers publish. */
import {
  BlockRangeError,
  PlacementEmptyError,
  PlacementGapError,
  PlacementOverlapError,
  UnknownPeerError,
} from './errors.ts'
import { ORIGIN } from './types.ts'
import type { Stage } from './types.ts'

/**
 * Blocks [0, blockCount) each once and in order; one peer may stand in several stages. `knownPeers` undefined: peers
 * are not looked at. The first fault is thrown.
 * @throws PlacementEmptyError, BlockRangeError, UnknownPeerError, PlacementOverlapError, PlacementGapError
 */
export function checkPlacement(
  stages: readonly Stage[],
  blockCount: number,
  knownPeers?: { has(peer: string): boolean },
): void {
  if (stages.length === 0) throw new PlacementEmptyError(blockCount)
  for (const [entry, stage] of stages.entries()) {
    if (!isRange(stage, blockCount)) throw new BlockRangeError(stage, entry, blockCount)
    const known = stage.peer === ORIGIN || knownPeers === undefined || knownPeers.has(stage.peer)
    if (!known) throw new UnknownPeerError(stage, entry)
    const before = stages[entry - 1]
    const end = before?.to ?? 0
    if (before !== undefined && stage.from < end) throw new PlacementOverlapError(stage, entry, before)
    if (stage.from > end) throw new PlacementGapError(end, stage.from, entry)
  }
  const end = stages.at(-1)!.to
  if (end < blockCount) throw new PlacementGapError(end, blockCount, stages.length)
}

/** Blocks that more peers hold ready: any ranges, none of them need be there. @throws BlockRangeError, UnknownPeerError */
export function checkReplicas(
  replicas: readonly Stage[],
  blockCount: number,
  knownPeers: { has(peer: string): boolean },
): void {
  for (const [entry, replica] of replicas.entries()) {
    if (!isRange(replica, blockCount)) throw new BlockRangeError(replica, entry, blockCount)
    if (replica.peer !== ORIGIN && !knownPeers.has(replica.peer)) throw new UnknownPeerError(replica, entry)
  }
}

function isRange({ from, to }: Stage, blockCount: number): boolean {
  return Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= blockCount
}
