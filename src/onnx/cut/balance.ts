/** How good a choice of partitions is, as data for people and for manifests. */
import { checkModel, inlineFunctions } from '../ir/index.ts'
import type { Model } from '../ir/index.ts'
import { blocksOf } from './blocks.ts'
import { limitOf, measureCuts } from './choose.ts'
import type { ChosenPartitions, MemoryLimit } from './choose.ts'
import { OnnxMemoryLimitError } from './errors.ts'
import { factsOf } from './facts.ts'

/** Times are as they are inferred of nodes or, where parts ran side by side in the check, as they were measured. */
export interface Balance {
  /** Blocks that partitions begin with, but for the first. */
  readonly cuts: readonly number[]
  /** Of the slowest partition, sending included. */
  readonly slowest_ms: number
  /** No choice of so many partitions has a faster slowest one. */
  readonly bound_ms: number
  /** The bound is met by a choice: all were weighed. False: the best is somewhere between the two. */
  readonly exact: boolean
  /** By how much the slowest is above the bound, as a share of that. */
  readonly above: number
  /** Over all cuts. */
  readonly crossing_bytes: number
  /** Of each partition, in bytes: weights, and values that are alive at once. */
  readonly memory: readonly number[]
}

export function balanceOf(chosen: ChosenPartitions): Balance {
  const { cuts, bottleneck, bound, exact, crossingBytes, memories } = chosen
  return {
    cuts,
    slowest_ms: 1000 * bottleneck,
    bound_ms: 1000 * bound,
    exact,
    above: bound > 0 ? Math.max(0, bottleneck / bound - 1) : 0,
    crossing_bytes: crossingBytes,
    memory: memories.map((bytes) => Math.ceil(bytes)),
  }
}

/** For a model that is run in one piece. @throws OnnxMemoryLimitError */
export function requireWholeMemory(model: Model, limit: MemoryLimit): void {
  const whole = inlineFunctions(checkModel(model))
  const { memories } = measureCuts(blocksOf(whole, factsOf(whole), false), [])
  if (memories[0]! > limitOf(limit, 0)) throw new OnnxMemoryLimitError(1, limit, memories)
}
