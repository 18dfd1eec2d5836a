/**
 * Rotary positions in `config.json`: `rope_theta` and `rope_scaling`, or `rope_parameters` with both, or that once for
 * each type of layers.
 */
import {
  checkFactors,
  linearRope,
  llama3Factors,
  longRope,
  longRopeAmplitude,
  yarnRope,
} from '../architectures/index.ts'
import type { Architecture, RopeFacts, RopeScaling } from '../architectures/index.ts'
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import { jsonObject } from './json-document.ts'
import type { JsonObject } from './json-document.ts'
import * as limits from './limits.ts'

export interface HubRope {
  readonly rope: RopeFacts
  /** Base of the layers with a window; null where it is that of the others. */
  readonly windowBase: number | null
  /** Positions that it is good for. */
  readonly positions: number
}

const NOTHING = jsonObject({}, 'rope_parameters')

/** @throws ModelFileError, UnsupportedModelError */
export function hubRope(config: JsonObject, architecture: Architecture, head_dim: number): HubRope {
  const { defaults, windowRopeBase } = architecture
  const given = config.object('rope_parameters') ?? config.object('rope_scaling') ?? NOTHING
  const own = given.object('full_attention') ?? given
  const base = ropeBase(own, config, 'rope_theta', defaults.ropeBase)
  const local = given.object('sliding_attention') ?? NOTHING
  const type = local.text('rope_type') ?? 'default'
  if (type !== 'default') throw notSupported(type)
  const windowBase =
    windowRopeBase === undefined ? null : ropeBase(local, config, 'rope_local_base_freq', windowRopeBase)
  const share = partOf(own, config, defaults.rotated ?? 1)
  const dim = Math.floor(head_dim * share)
  if (dim < 2) throw new ModelFileError('partial_rotary_factor', `${share} of ${head_dim} elements cannot be rotated`)
  const context = config.count('max_position_embeddings', 1, limits.MAX_CONTEXT, defaults.context)
  const needs: ScalingNeeds = { own, config, base, pairs: Math.floor(dim / 2), context }
  const { scaling, positions = context } = scalingOf(needs)
  return { rope: { ...scaling, base, dim, interleaved: false }, windowBase, positions }
}

function ropeBase(own: JsonObject, config: JsonObject, key: string, fallback: number): number {
  const outer = config.real(key, 1, limits.MAX_ROPE_BASE, fallback)
  return own.real('rope_theta', 1, limits.MAX_ROPE_BASE, outer)
}

function partOf(own: JsonObject, config: JsonObject, fallback: number): number {
  return own.real('partial_rotary_factor', 0, 1, config.real('partial_rotary_factor', 0, 1, fallback))
}

interface ScalingNeeds {
  readonly own: JsonObject
  readonly config: JsonObject
  readonly base: number
  readonly pairs: number
  readonly context: number
}

function scalingOf(needs: ScalingNeeds): { scaling: RopeScaling; positions?: number } {
  const { own, base, pairs, context } = needs
  const type = own.text('rope_type') ?? own.text('type') ?? 'default'
  const factor = (): number => own.real('factor', limits.MIN_ROPE_FACTOR, limits.MAX_ROPE_FACTOR)
  switch (type) {
    case 'default':
      return { scaling: { factors: [] } }
    case 'dynamic':
      // The base grows with a text that is longer than this; up to here it is as without scaling.
      factor()
      return { scaling: { factors: [] }, positions: context }
    case 'linear':
      return { scaling: linearRope(pairs, factor()) }
    case 'llama3': {
      const scaling = {
        factor: factor(),
        lowFrequencyFactor: own.real('low_freq_factor', 1e-3, 1e6),
        highFrequencyFactor: own.real('high_freq_factor', 1e-3, 1e6),
        original: originalContext(needs),
      }
      return { scaling: { factors: llama3Factors(base, pairs, scaling) } }
    }
    case 'yarn':
      // Phi-3's first files say so and have the factors of LongRoPE.
      if (own.has('short_factor')) return longRopeOf(needs)
      return { scaling: yarn(needs, own.has('factor') ? factor() : needs.context / originalContext(needs)) }
    case 'longrope':
    case 'su':
      return longRopeOf(needs)
    default:
      throw notSupported(type)
  }
}

function originalContext({ own, config, context }: ScalingNeeds): number {
  const outer = config.count('original_max_position_embeddings', 1, limits.MAX_CONTEXT, context)
  return own.count('original_max_position_embeddings', 1, limits.MAX_CONTEXT, outer)
}

function yarn(needs: ScalingNeeds, factor: number): RopeScaling {
  const { own, base, pairs } = needs
  return yarnRope(base, pairs, {
    factor,
    original: originalContext(needs),
    betaFast: own.real('beta_fast', 1e-3, 1e6, 32),
    betaSlow: own.real('beta_slow', 1e-3, 1e6, 1),
    truncate: own.flag('truncate') ?? true,
    scale: own.real('mscale', 0, 100, 0),
    scaleAllDim: own.real('mscale_all_dim', 0, 100, 0),
    ...(own.has('attention_factor') ? { amplitude: own.real('attention_factor', 0.1, 10) } : {}),
  })
}

function longRopeOf(needs: ScalingNeeds): { scaling: RopeScaling; positions: number } {
  const { own, context } = needs
  const original = originalContext(needs)
  const factor = own.real('factor', limits.MIN_ROPE_FACTOR, limits.MAX_ROPE_FACTOR, context / original)
  return longRope({
    short: factorsOf(needs, 'short_factor'),
    long: own.has('long_factor') ? factorsOf(needs, 'long_factor') : null,
    amplitude: own.real('attention_factor', 0.1, 10, longRopeAmplitude(factor, original)),
    original,
    context,
  })
}

/** As float32, which the model has computed with. @throws ModelFileError */
function factorsOf({ own, pairs }: ScalingNeeds, key: string): readonly number[] {
  const factors = (own.list(key) ?? []).map((value) => (typeof value === 'number' ? Math.fround(value) : Number.NaN))
  return checkFactors(key, factors, pairs)
}

function notSupported(type: string): UnsupportedModelError {
  return new UnsupportedModelError(`rope scaling of type ${JSON.stringify(type.slice(0, 40))} is not supported`, {
    why: 'weft knows default, linear, dynamic, llama3, yarn and longrope',
  })
}
