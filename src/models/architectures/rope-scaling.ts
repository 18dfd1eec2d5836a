/** How rotary positions are stretched beyond the context that a model was first trained for: a factor for each pair. */
import { ModelFileError } from '../errors.ts'
import type { DecoderShape } from '../manifest.ts'

export interface RopeScaling {
  /** Divides the frequency of each pair; empty where none is changed. */
  readonly factors: readonly number[]
  /** Multiplies cosines and sines; absent: 1. */
  readonly amplitude?: number
  /** Other factors, for texts of more positions than this. */
  readonly long?: DecoderShape['rope_long']
}

export interface Llama3Scaling {
  readonly factor: number
  readonly lowFrequencyFactor: number
  readonly highFrequencyFactor: number
  /** Positions that the model was first trained for. */
  readonly original: number
}

export interface YarnScaling {
  readonly factor: number
  readonly original: number
  readonly betaFast: number
  readonly betaSlow: number
  /** Bounds of the ramp are rounded outward. @default true */
  readonly truncate?: boolean
  /** @default 0.1 ln(factor) + 1, or the share of two such where both scales below are given */
  readonly amplitude?: number
  /** `mscale` and `mscale_all_dim` (DeepSeek): multiply the logarithms above and below the line. */
  readonly scale?: number
  readonly scaleAllDim?: number
}

/** Positions divided by one factor (Chen et al., arXiv 2306.15595). */
export function linearRope(pairs: number, factor: number): RopeScaling {
  return { factors: factor === 1 ? [] : Array.from({ length: pairs }, () => factor) }
}

/** Llama 3.1: long waves are stretched, short ones kept, those between blended. */
export function llama3Factors(base: number, pairs: number, scaling: Llama3Scaling): readonly number[] {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, original } = scaling
  return Array.from({ length: pairs }, (_, pair) => {
    const wave = 2 * Math.PI * base ** (pair / pairs)
    if (wave < original / high) return 1
    if (wave > original / low) return factor
    const smooth = (original / wave - low) / (high - low)
    return 1 / ((1 - smooth) / factor + smooth)
  })
}

/** YaRN (Peng et al., arXiv 2309.00071); its first implementation rounds the bounds of the ramp outward. */
export function yarnRope(base: number, pairs: number, scaling: YarnScaling): RopeScaling {
  const { factor, original, betaFast, betaSlow, truncate = true } = scaling
  const pairOf = (turns: number): number => (pairs * Math.log(original / (turns * 2 * Math.PI))) / Math.log(base)
  const [first, last] = [pairOf(betaFast), pairOf(betaSlow)]
  const low = Math.max(truncate ? Math.floor(first) : first, 0)
  const high = Math.min(truncate ? Math.ceil(last) : last, 2 * pairs - 1)
  const span = high === low ? 0.001 : high - low
  const factors = Array.from({ length: pairs }, (_, pair) => {
    const stretched = Math.min(Math.max((pair - low) / span, 0), 1)
    return 1 / (stretched / factor + (1 - stretched))
  })
  const amplitude = scaling.amplitude ?? yarnAmplitude(scaling)
  return { factors, ...(amplitude === 1 ? {} : { amplitude }) }
}

/** Either scale alone, or at 0, is as none. */
function yarnAmplitude({ factor, scale = 0, scaleAllDim = 0 }: YarnScaling): number {
  if (factor <= 1) return 1
  const of = (by: number): number => 0.1 * by * Math.log(factor) + 1
  return scale > 0 && scaleAllDim > 0 ? of(scale) / of(scaleAllDim) : of(1)
}

/** LongRoPE (Ding et al., arXiv 2402.13753): what cosines and sines are multiplied by for `factor` times the context. */
export function longRopeAmplitude(factor: number, original: number): number {
  return factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original))
}

export interface LongRope {
  readonly short: readonly number[]
  /** Null: the file has none, and the model serves the context that it was made for. */
  readonly long: readonly number[] | null
  readonly amplitude: number
  readonly original: number
  readonly context: number
}

/** LongRoPE: one list of factors for texts that fit the first context, and one for longer ones. */
export function longRope(rope: LongRope): { readonly scaling: RopeScaling; readonly positions: number } {
  const { short, long, amplitude, original, context } = rope
  const scaling = { factors: short, ...(amplitude === 1 ? {} : { amplitude }) }
  if (context <= original) return { scaling, positions: context }
  if (long === null) return { scaling, positions: original }
  const isSame = long.every((factor, pair) => factor === short[pair])
  return { scaling: isSame ? scaling : { ...scaling, long: { beyond: original, factors: long } }, positions: context }
}

/** @throws ModelFileError */
export function checkFactors(where: string, factors: readonly number[], pairs: number): readonly number[] {
  if (factors.length !== pairs) throw new ModelFileError(where, `it has ${factors.length} factors for ${pairs} pairs`)
  if (!factors.every((factor) => Number.isFinite(factor) && factor > 0)) {
    throw new ModelFileError(where, 'not all of its factors are positive numbers')
  }
  return factors
}
