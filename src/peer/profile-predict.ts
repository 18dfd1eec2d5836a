/** What a decoder block should take on a device whose kernels and memory were tried, before it has run here. */
import type { AnyManifest } from '../models/index.ts'
import { isGraphManifest } from '../models/index.ts'

/** One decoder block, the mean over those of the model. */
export interface BlockSize {
  /** Bytes of weights. */
  readonly memory: number
  /** Multiply-adds of one row. */
  readonly work: number
}

export interface Device {
  /** Multiply-adds a second of one thread; 0: not measured. */
  readonly speed: number
  /** Bytes a second that memory is read with; 0: not measured. */
  readonly bandwidth: number
  readonly threads: number
}

export interface BlockPrediction {
  /** Milliseconds for one row that is alone, and for each row of a prompt. */
  readonly one: number
  readonly prefill: number
}

/**
 * Fitted on one machine (docs/profiles.md has it, and how far off each was there): what the nodes between the matrices
 * take, in multiply-adds of the trial so that slower devices take longer; how much less of the kernel a row alone uses than
 * the trial, whose weights stay in the cache; and how much more of it the rows of a prompt use.
 */
const RUN_WORK = 1.9e6
const ONE_ROW_LOSS = 2.5
const PREFILL_WORK = 1.6e5
const PREFILL_GAIN = 1.7
/** What each thread after the first adds: the nodes between the matrices do not divide. */
const THREAD_GAIN = 0.7
/** Until this device has its own: twice what the worst of the models above was off by. */
export const USUAL_ERROR = 0.5

/** Null where nothing was measured. */
export function predictBlock(
  { memory, work }: BlockSize,
  { speed, bandwidth, threads }: Device,
): BlockPrediction | null {
  if (speed <= 0) return null
  const compute = work / (1 + THREAD_GAIN * Math.max(0, threads - 1))
  const read = bandwidth > 0 ? memory / bandwidth : 0
  return {
    one: ((RUN_WORK + ONE_ROW_LOSS * compute) / speed + read) * 1_000,
    prefill: ((PREFILL_WORK + compute / PREFILL_GAIN) / speed) * 1_000,
  }
}

/** Null for a model without decoder blocks, and for graphs, whose parts have no such measure. */
export function blockSize(manifest: AnyManifest): BlockSize | null {
  if (isGraphManifest(manifest)) return null
  const decoders = manifest.blocks.filter(({ kind }) => kind === 'decoder')
  if (decoders.length === 0) return null
  const mean = (of: (block: (typeof decoders)[number]) => number): number =>
    decoders.reduce((sum, block) => sum + of(block), 0) / decoders.length
  return { memory: mean((block) => block.memory), work: mean((block) => block.flops) / 2 }
}
