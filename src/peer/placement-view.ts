/** What a peer tells of placements that stand. Blocks are [from, to) of the model. */
import type { CoveredBlocks, HeldBy, Stage } from '../placement/index.ts'

/** A placement that stands, who could go on with its blocks, and whether it is about to move. */
export interface PlacementView {
  readonly model: string
  readonly digest: string
  readonly epoch: number
  readonly author: string
  /** A person has placed it: it is not moved. */
  readonly pinned: boolean
  readonly stages: readonly Stage[]
  readonly replicas: readonly Stage[]
  /** Runs of blocks by the number of peers that have them ready, and on their disks; null while the model is not known here. */
  readonly coverage: {
    readonly blocks: readonly CoveredBlocks[]
    /** Blocks that one peer alone has ready, or one alone on its disk. */
    readonly single: readonly (readonly [from: number, to: number])[]
    readonly last: readonly (readonly [from: number, to: number])[]
  } | null
  /** Null where it is not weighed: alone, switched off, or no language model. */
  readonly replan: ReplanStatus | null
}

export interface ReplanStatus {
  /** `preview`: it is weighed, and this peer does not act. */
  readonly mode: 'on' | 'preview'
  readonly action: 'keep' | 'prepare' | 'switch' | 'abandon'
  /** Why nothing moves now; null where something does. docs/placement.md has them all. */
  readonly held_by: HeldBy | null
  /** Seconds until the time alone would no longer hold it. */
  readonly wait_s: number
  /** What would be better; null: nothing. */
  readonly target: readonly Stage[] | null
  /** Milliseconds of the objective, predicted, as it stands and then; null without a target. */
  readonly now_ms: number | null
  readonly then_ms: number | null
  /** Share that is saved. */
  readonly gain: number | null
  /** What has to be fetched, and seconds until it is loaded. */
  readonly bytes: number | null
  readonly seconds: number | null
  /** Seconds of use until that has come back; null: never. */
  readonly payback_s: number | null
  /** Peers that act on it, in this order. */
  readonly deciders: readonly string[]
}
