/** What a `config.json` of the hub says of a decoder's shape, in the words of transformers 4 and of 5. */
import { layersOf } from '../architectures/index.ts'
import type { Architecture, LayerPattern, ShapeFacts, WindowFacts } from '../architectures/index.ts'
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import type { BiasedMatrix } from '../manifest.ts'
import { hubRope } from './hub-rope.ts'
import type { JsonObject } from './json-document.ts'
import * as limits from './limits.ts'

/** `max_window_layers` where Qwen's configurations leave it out. */
const FIRST_WINDOW_LAYER = 28

/** @param biases matrices that have one among the tensors; @param rows of the embedding. @throws ModelFileError, UnsupportedModelError */
export function hubShapeFacts(
  config: JsonObject,
  architecture: Architecture,
  biases: ReadonlySet<BiasedMatrix>,
  rows: number,
): ShapeFacts {
  checkGraph(config, architecture)
  const { defaults, graph, safetensors } = architecture
  const layers = config.count('num_hidden_layers', 1, limits.MAX_LAYERS)
  const width = config.count('hidden_size', 1, limits.MAX_WIDTH)
  const heads = config.count('num_attention_heads', 1, limits.MAX_HEADS, defaults.heads)
  const share = defaults.headDim ?? Math.floor(width / heads)
  const head_dim = config.count('head_dim', 2, limits.MAX_WIDTH, share)
  const { rope, windowBase, positions } = hubRope(config, architecture, head_dim)
  const factor = (key: string, fallback?: number): number | null => {
    // Null says that there is none, a missing key that it is as always.
    const none = !config.has(key) && (config.stated(key) || fallback === undefined)
    if (none || safetensors.scaled !== true) return null
    return config.real(key, limits.MIN_FACTOR, limits.MAX_FACTOR, fallback)
  }
  const scalar = factor('query_pre_attn_scalar')
  const unrotated = unrotatedLayers(config, architecture, layers)
  return {
    layers,
    width,
    hidden: config.count('intermediate_size', 1, limits.MAX_HIDDEN),
    heads,
    kv_heads: config.count(
      'num_key_value_heads',
      1,
      heads,
      config.stated('num_key_value_heads') ? heads : (defaults.kvHeads ?? heads),
    ),
    head_dim,
    vocabulary: config.count('vocab_size', 1, limits.MAX_VOCABULARY, rows),
    context: positions,
    norm_epsilon: config.real(graph.norm === 'layer' ? 'layer_norm_eps' : 'rms_norm_eps', 0, 1, defaults.normEpsilon),
    ...(safetensors.normOffset === undefined ? {} : { norm_offset: safetensors.normOffset }),
    rope,
    window: windowFacts(config, architecture, layers, unrotated),
    windowRopeBase: windowBase,
    unrotated,
    biases,
    attentionScale: scalar === null ? null : 1 / Math.sqrt(scalar),
    attentionSoftcap: factor('attn_logit_softcapping', defaults.attentionSoftcap),
    logitSoftcap: factor('final_logit_softcapping', defaults.logitSoftcap),
  }
}

function checkGraph(config: JsonObject, { safetensors, family }: Architecture): void {
  const activation = config.text('hidden_activation') ?? config.text('hidden_act')
  if (activation !== undefined && !safetensors.activations.includes(activation)) {
    throw new UnsupportedModelError(`an activation ${JSON.stringify(activation.slice(0, 40))} is not supported`, {
      why: `${family} has ${safetensors.activations.join(' or ')}`,
    })
  }
  if (config.has('quantization_config')) {
    throw new UnsupportedModelError('quantised safetensors are not supported', {
      hint: 'Take the model as it was before it was quantised, or its GGUF file.',
    })
  }
  for (const key of safetensors.refused ?? []) {
    if (config.flag(key) === true)
      throw new UnsupportedModelError(`${key} changes the graph in a way that is not supported`)
  }
}

function windowFacts(
  config: JsonObject,
  architecture: Architecture,
  layers: number,
  unrotated: readonly number[],
): WindowFacts | null {
  const { windowed, defaults, safetensors } = architecture
  if (windowed === undefined) return null
  if (safetensors.windowSwitch === true && config.flag('use_sliding_window') !== true) return null
  const stated = config.stated('sliding_window')
  if (!config.has('sliding_window') && (stated || defaults.window === undefined)) return null
  const size = config.count('sliding_window', 1, limits.MAX_CONTEXT, defaults.window)
  const listed = listedLayers(config, layers)
  if (windowed === 'unrotated') return { size, layers: listed ?? unrotated }
  return { size, layers: listed ?? patternLayers(config, windowed, safetensors, layers) }
}

/** `layer_types`: a word a layer. */
function listedLayers(config: JsonObject, layers: number): number[] | null {
  const types = config.list('layer_types')
  if (types === undefined) return null
  if (types.length < layers) throw new ModelFileError('layer_types', `${types.length} types for ${layers} layers`)
  return layersOf('all', layers).filter((layer) => {
    const type = types[layer]
    if (type === 'full_attention' || type === 'sliding_attention') return type === 'sliding_attention'
    throw new UnsupportedModelError(`layers of type ${JSON.stringify(type)?.slice(0, 40)} are not supported`)
  })
}

function patternLayers(
  config: JsonObject,
  windowed: LayerPattern,
  safetensors: Architecture['safetensors'],
  layers: number,
): number[] {
  const key = ['sliding_window_pattern', '_sliding_window_pattern'].find((name) => config.has(name))
  if (key !== undefined) return layersOf({ allButLastOf: config.count(key, 1, limits.MAX_LAYERS) }, layers)
  const all = layersOf(windowed, layers)
  if (safetensors.windowSwitch !== true || windowed !== 'all') return all
  const first = config.count('max_window_layers', 0, 2 ** 31, FIRST_WINDOW_LAYER)
  return all.filter((layer) => layer >= first)
}

/** `no_rope_layers`, a 0 for each layer without, else every so many. */
function unrotatedLayers(config: JsonObject, { unrotated }: Architecture, layers: number): number[] {
  if (unrotated === undefined) return []
  const list = config.list('no_rope_layers')
  if (list === undefined) {
    const every = config.has('no_rope_layer_interval') ? config.count('no_rope_layer_interval', 1, 2 ** 31) : null
    return layersOf(every === null ? unrotated : { lastOf: every }, layers)
  }
  if (list.length < layers) throw new ModelFileError('no_rope_layers', `${list.length} values for ${layers} layers`)
  return layersOf('all', layers).filter((layer) => list[layer] === 0)
}
