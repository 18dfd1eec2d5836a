/** What a GGUF file's metadata, and the small tensors beside it, say of a decoder's shape. */
import { checkFactors, layersOf, linearRope, longRope, yarnRope } from '../architectures/index.ts'
import type { Architecture, RopeFacts, RopeScaling, ShapeFacts, WindowFacts } from '../architectures/index.ts'
import { dequantize } from '../dequantize/index.ts'
import { EMBEDDING } from '../decoder-tensors.ts'
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import { biasesOf } from './biases.ts'
import type { FileTensor } from './gguf-tensors.ts'
import * as limits from './limits.ts'
import type { MetadataAccess } from './metadata-access.ts'
import type { RandomAccess } from './random-access.ts'

export interface GgufShapeNeeds {
  readonly source: RandomAccess
  readonly metadata: MetadataAccess
  readonly byName: ReadonlyMap<string, FileTensor>
  /** What the keys begin with: the file's own name of its architecture. */
  readonly prefix: string
  readonly architecture: Architecture
  readonly vocabulary: number
}

/** @throws ModelFileError, UnsupportedModelError */
export async function ggufShapeFacts(needs: GgufShapeNeeds): Promise<ShapeFacts> {
  const { metadata, prefix, architecture, vocabulary } = needs
  if (vocabulary < 1 || vocabulary > limits.MAX_VOCABULARY) {
    throw new ModelFileError(EMBEDDING, `a vocabulary of ${vocabulary} is not in 1 to ${limits.MAX_VOCABULARY}`)
  }
  const count = (name: string, most: number, fallback?: number): number =>
    metadata.count(`${prefix}.${name}`, 1, most, fallback)
  const layers = count('block_count', limits.MAX_LAYERS)
  const width = count('embedding_length', limits.MAX_WIDTH)
  const heads = count('attention.head_count', limits.MAX_HEADS)
  const head_dim = count('attention.key_length', limits.MAX_WIDTH, Math.floor(width / heads))
  if (count('attention.value_length', limits.MAX_WIDTH, head_dim) !== head_dim) {
    throw new UnsupportedModelError('keys and values of different lengths are not supported')
  }
  const kind = architecture.graph.norm === 'layer' ? 'layer_norm_epsilon' : 'layer_norm_rms_epsilon'
  const context = count('context_length', limits.MAX_CONTEXT)
  const { rope, positions } = await ropeFacts(needs, head_dim, context)
  const { defaults, scaledByWidth } = architecture
  const softcap = (name: string, fallback: number | undefined): number | null =>
    realOrNull(metadata, `${prefix}.${name}`, limits.MIN_FACTOR, limits.MAX_FACTOR, fallback)
  return {
    layers,
    width,
    hidden: count('feed_forward_length', limits.MAX_HIDDEN),
    heads,
    kv_heads: metadata.count(`${prefix}.attention.head_count_kv`, 1, heads, heads),
    head_dim,
    vocabulary,
    context: positions,
    norm_epsilon: metadata.real(`${prefix}.attention.${kind}`, 0, 1),
    rope,
    window: windowFacts(needs, layers),
    windowRopeBase: realOrNull(
      metadata,
      `${prefix}.rope.freq_base_swa`,
      1,
      limits.MAX_ROPE_BASE,
      architecture.windowRopeBase,
    ),
    unrotated: architecture.unrotated === undefined ? [] : layersOf(architecture.unrotated, layers),
    biases: biasesOf(needs.byName),
    attentionScale: scaledByWidth?.includes(layers) === true ? 1 / Math.sqrt(Math.floor(width / heads)) : null,
    attentionSoftcap: softcap('attn_logit_softcapping', defaults.attentionSoftcap),
    logitSoftcap: softcap('final_logit_softcapping', defaults.logitSoftcap),
  }
}

/** 0 says that there is none. */
function realOrNull(
  metadata: MetadataAccess,
  key: string,
  least: number,
  most: number,
  fallback: number | undefined,
): number | null {
  if (metadata.real(key, 0, most, fallback ?? 0) === 0) return null
  return metadata.real(key, least, most, fallback)
}

function windowFacts({ metadata, prefix, architecture }: GgufShapeNeeds, layers: number): WindowFacts | null {
  const key = `${prefix}.attention.sliding_window`
  const size = metadata.count(key, 0, 2 ** 32 - 1, architecture.defaults.window ?? 0)
  if (size === 0) return null
  if (architecture.windowed === undefined) {
    throw new UnsupportedModelError(`${key} changes the graph in a way that is not supported`)
  }
  const { windowed, unrotated = 'all' } = architecture
  const pattern = windowed === 'unrotated' ? unrotated : windowed
  return { size, layers: windowedLayers(metadata, `${key}_pattern`, layers) ?? layersOf(pattern, layers) }
}

/** Newer files say it: a truth value a layer, or after how many layers one without a window comes. */
function windowedLayers(metadata: MetadataAccess, key: string, layers: number): number[] | null {
  if (!metadata.has(key)) return null
  const each = metadata.countOrNumbers(key, limits.MAX_LAYERS)
  if (typeof each === 'number') return layersOf(each === 0 ? 'all' : { allButLastOf: each }, layers)
  if (each.length < layers) throw new ModelFileError(key, `${each.length} values for ${layers} layers`)
  return layersOf('all', layers).filter((layer) => each[layer] !== 0)
}

interface RopeRead {
  readonly rope: RopeFacts
  /** Positions that it is good for. */
  readonly positions: number
}

async function ropeFacts(needs: GgufShapeNeeds, head_dim: number, context: number): Promise<RopeRead> {
  const { metadata, prefix, architecture } = needs
  const rotated = Math.floor(head_dim * (architecture.defaults.rotated ?? 1))
  const dim = metadata.count(`${prefix}.rope.dimension_count`, 2, head_dim, rotated)
  const base = metadata.real(`${prefix}.rope.freq_base`, 1, limits.MAX_ROPE_BASE, architecture.defaults.ropeBase)
  if (dim % 2 !== 0) throw new ModelFileError(`${prefix}.rope.dimension_count`, `${dim} is odd`)
  const pairs = dim / 2
  const own = await factorsOf(needs, 'rope_freqs.weight', pairs)
  const { scaling, positions } = await scalingOf(needs, base, pairs, context)
  const factors =
    own === null
      ? scaling.factors
      : scaling.factors.length === 0
        ? own
        : own.map((factor, pair) => factor * scaling.factors[pair]!)
  return { rope: { ...scaling, base, dim, interleaved: architecture.ggufPairs === 'adjacent', factors }, positions }
}

async function factorsOf(
  { source, byName }: GgufShapeNeeds,
  name: string,
  pairs: number,
): Promise<readonly number[] | null> {
  const tensor = byName.get(name)
  if (tensor === undefined) return null
  if (tensor.type !== 'F32' || tensor.shape.length !== 1 || tensor.shape[0] !== pairs) {
    throw new ModelFileError(name, `it is not ${pairs} elements of F32`)
  }
  return checkFactors(name, [...dequantize('F32', await source.read(tensor.offset, tensor.bytes), pairs)], pairs)
}

async function scalingOf(
  needs: GgufShapeNeeds,
  base: number,
  pairs: number,
  context: number,
): Promise<{ scaling: RopeScaling; positions: number }> {
  const { metadata, prefix } = needs
  const key = (name: string): string => `${prefix}.rope.scaling.${name}`
  const amplitude = metadata.has(key('attn_factor')) ? { amplitude: metadata.real(key('attn_factor'), 0.1, 10) } : {}
  const short = await factorsOf(needs, 'rope_factors_short.weight', pairs)
  const type = metadata.text(key('type')) ?? (short === null ? 'linear' : 'longrope')
  const original = (): number => metadata.count(key('original_context_length'), 1, limits.MAX_CONTEXT, context)
  switch (type) {
    case 'none':
      return { scaling: linearRope(pairs, 1), positions: context }
    case 'linear':
      return { scaling: linearRope(pairs, ropeFactor(metadata, prefix)), positions: context }
    case 'yarn': {
      const factor = metadata.real(key('factor'), limits.MIN_ROPE_FACTOR, limits.MAX_ROPE_FACTOR)
      const scaling = yarnOf(metadata, key, base, pairs, factor, original())
      // llama.cpp multiplies the two.
      const both = (scaling.amplitude ?? 1) * (amplitude.amplitude ?? 1)
      return { scaling: { ...scaling, ...(both === 1 ? {} : { amplitude: both }) }, positions: context }
    }
    case 'longrope':
      if (short === null) throw new ModelFileError('rope_factors_short.weight', 'the tensor is missing')
      return longRope({
        short,
        long: await factorsOf(needs, 'rope_factors_long.weight', pairs),
        amplitude: amplitude.amplitude ?? 1,
        original: original(),
        context,
      })
    default:
      throw new UnsupportedModelError(`rope scaling of type ${JSON.stringify(type.slice(0, 40))} is not supported`, {
        why: 'weft knows none, linear, yarn, longrope and the factors of rope_freqs.weight',
      })
  }
}

/** By its newer key, or its older one; 0, or none, is as 1. */
function ropeFactor(metadata: MetadataAccess, prefix: string): number {
  const [newer, older] = [`${prefix}.rope.scaling.factor`, `${prefix}.rope.scale_linear`]
  const key = metadata.has(newer) ? newer : older
  return realOrNull(metadata, key, limits.MIN_ROPE_FACTOR, limits.MAX_ROPE_FACTOR, 1) ?? 1
}

function yarnOf(
  metadata: MetadataAccess,
  key: (name: string) => string,
  base: number,
  pairs: number,
  factor: number,
  original: number,
): RopeScaling {
  const real = (name: string, least: number, most: number, fallback: number): number =>
    metadata.real(key(name), least, most, fallback)
  if (real('yarn_ext_factor', -1, 1e6, 1) !== 1 && real('yarn_ext_factor', -1, 1e6, 1) >= 0) {
    throw new UnsupportedModelError(`${key('yarn_ext_factor')} changes the graph in a way that is not supported`)
  }
  const total = key('yarn_attn_factor')
  return yarnRope(base, pairs, {
    factor,
    original,
    betaFast: real('yarn_beta_fast', 0.1, 1e4, 32),
    betaSlow: real('yarn_beta_slow', 0.1, 1e4, 1),
    scale: 1,
    scaleAllDim: real('yarn_log_multiplier', 0, 100, 0),
    // The converter writes what the hub calls `attention_factor`.
    ...(metadata.has(total) ? { amplitude: metadata.real(total, 0.1, 10) } : {}),
  })
}
