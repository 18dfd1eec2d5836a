/** Small models of each architecture with random weights, as the hub has them: configuration and tensors. */
import { byteTokenizer } from './hub-writer.ts'
import type { HubTensor, HubTensors } from './hub-writer.ts'
import type { HubConfig } from './decoder-reference.ts'

export interface HubModel {
  readonly config: HubConfig
  readonly tensors: HubTensors
}

export const { tokens: VOCABULARY, json: TOKENIZER } = byteTokenizer()

const COMMON = {
  vocab_size: VOCABULARY,
  hidden_size: 64,
  intermediate_size: 88,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-6,
  hidden_act: 'silu',
  tie_word_embeddings: false,
  bos_token_id: 1,
  eos_token_id: 2,
}
const GELU = { hidden_act: undefined, hidden_activation: 'gelu_pytorch_tanh', tie_word_embeddings: true }
const rope = (own: Readonly<Record<string, unknown>> = {}): Record<string, unknown> => ({
  rope_parameters: { rope_type: 'default', rope_theta: 10_000, ...own },
})
const short_factor = [1, 1.05, 1.1, 1.2, 1.3, 1.5]
const long_factor = [2, 2.5, 3, 4, 5, 8]

/** By name; what a name says beyond an architecture is what differs from its usual form. */
export const CONFIGS: Readonly<Record<string, HubConfig>> = {
  llama: { ...COMMON, model_type: 'llama', ...rope() },
  'llama, scaled as 3.1, wide heads': {
    ...COMMON,
    model_type: 'llama',
    head_dim: 32,
    ...rope({
      rope_type: 'llama3',
      rope_theta: 500_000,
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
    }),
  },
  'llama, linear, biases, heads of 8': {
    ...COMMON,
    model_type: 'llama',
    head_dim: 8,
    attention_bias: true,
    mlp_bias: true,
    tie_word_embeddings: true,
    ...rope({ rope_type: 'linear', factor: 4 }),
  },
  'llama, yarn': {
    ...COMMON,
    model_type: 'llama',
    ...rope({ rope_type: 'yarn', factor: 4, original_max_position_embeddings: 64, truncate: false }),
  },
  'llama, yarn as DeepSeek has it': {
    ...COMMON,
    model_type: 'llama',
    ...rope({ rope_type: 'yarn', factor: 8, original_max_position_embeddings: 32, mscale: 1, mscale_all_dim: 0.5 }),
  },
  'mistral, window': { ...COMMON, model_type: 'mistral', sliding_window: 9, ...rope() },
  qwen2: { ...COMMON, model_type: 'qwen2', use_sliding_window: false, sliding_window: 8, ...rope({ rope_theta: 1e6 }) },
  'qwen3, heads of 24': { ...COMMON, model_type: 'qwen3', head_dim: 24, tie_word_embeddings: true, ...rope() },
  gemma: { ...COMMON, ...GELU, model_type: 'gemma', head_dim: 32, hidden_act: 'gelu_pytorch_tanh', ...rope() },
  gemma2: {
    ...COMMON,
    ...GELU,
    model_type: 'gemma2',
    head_dim: 32,
    query_pre_attn_scalar: 32,
    attn_logit_softcapping: 2,
    final_logit_softcapping: 3,
    sliding_window: 8,
    layer_types: ['sliding_attention', 'full_attention', 'sliding_attention'],
    ...rope(),
  },
  gemma3: {
    ...COMMON,
    ...GELU,
    model_type: 'gemma3_text',
    num_hidden_layers: 7,
    head_dim: 16,
    query_pre_attn_scalar: 16,
    attn_logit_softcapping: null,
    final_logit_softcapping: null,
    sliding_window: 8,
    layer_types: Array.from({ length: 7 }, (_, layer) => (layer === 5 ? 'full_attention' : 'sliding_attention')),
    rope_parameters: {
      full_attention: { rope_type: 'linear', factor: 8, rope_theta: 1_000_000 },
      sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
    },
  },
  'phi3, window': { ...COMMON, model_type: 'phi3', sliding_window: 11, ...rope() },
  'phi3, longrope, three quarters rotated': {
    ...COMMON,
    model_type: 'phi3',
    original_max_position_embeddings: 64,
    ...rope({
      rope_type: 'longrope',
      partial_rotary_factor: 0.75,
      short_factor,
      long_factor,
      original_max_position_embeddings: 64,
    }),
  },
  smollm3: { ...COMMON, model_type: 'smollm3', num_hidden_layers: 5, no_rope_layers: [1, 1, 1, 0, 1], ...rope() },
  'smollm3, windows where there are no positions': {
    ...COMMON,
    model_type: 'smollm3',
    no_rope_layers: [1, 0, 1],
    use_sliding_window: true,
    sliding_window: 7,
    ...rope(),
  },
  'stablelm, biases': {
    ...COMMON,
    model_type: 'stablelm',
    layer_norm_eps: 1e-5,
    use_qkv_bias: true,
    use_parallel_residual: false,
    ...rope({ partial_rotary_factor: 0.25 }),
  },
}

export function hubModel(name: string): HubModel {
  const config = CONFIGS[name]!
  return { config, tensors: tensorsOf(config, name.length) }
}

/** The tensors that a configuration asks for, with random values that are the same each time. */
export function tensorsOf(config: HubConfig, seed: number): HubTensors {
  const random = generator(seed)
  const number = (key: string, fallback?: number): number => (config[key] as number | undefined) ?? fallback!
  const [width, hidden] = [number('hidden_size'), number('intermediate_size')]
  const [heads, kv] = [number('num_attention_heads'), number('num_key_value_heads')]
  const dim = number('head_dim', width / heads)
  const type = config['model_type'] as string
  const tensors = new Map<string, HubTensor>()
  const put = (name: string, shape: readonly number[], scale: number, middle = 0): void => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => middle + scale * random())
    tensors.set(name, { shape, values })
  }
  const norm = (name: string, size = width): void => {
    // Gemma's are stored less 1.
    put(`${name}.weight`, [size], 0.4, type.startsWith('gemma') ? 0 : 1)
    if (type === 'stablelm') put(`${name}.bias`, [size], 0.3)
  }
  const matrix = (name: string, outputs: number, inputs: number, bias = false): void => {
    put(`${name}.weight`, [outputs, inputs], 2 / Math.sqrt(inputs))
    if (bias) put(`${name}.bias`, [outputs], 0.4)
  }
  put('model.embed_tokens.weight', [VOCABULARY, width], type.startsWith('gemma') ? 0.3 : 1.5)
  const attentionBias = config['attention_bias'] === true
  const qkvBias = attentionBias || type === 'qwen2' || config['use_qkv_bias'] === true
  for (let layer = 0; layer < number('num_hidden_layers'); layer++) {
    const [at, attention] = [`model.layers.${layer}`, `model.layers.${layer}.self_attn`]
    norm(`${at}.input_layernorm`)
    norm(`${at}.post_attention_layernorm`)
    if (type === 'gemma2' || type === 'gemma3_text') {
      norm(`${at}.pre_feedforward_layernorm`)
      norm(`${at}.post_feedforward_layernorm`)
    }
    if (type === 'qwen3' || type === 'gemma3_text')
      for (const part of ['q', 'k']) norm(`${attention}.${part}_norm`, dim)
    if (type === 'phi3') {
      matrix(`${attention}.qkv_proj`, (heads + 2 * kv) * dim, width)
      matrix(`${at}.mlp.gate_up_proj`, 2 * hidden, width)
    } else {
      matrix(`${attention}.q_proj`, heads * dim, width, qkvBias)
      for (const part of ['k', 'v']) matrix(`${attention}.${part}_proj`, kv * dim, width, qkvBias)
      for (const part of ['gate', 'up']) matrix(`${at}.mlp.${part}_proj`, hidden, width, config['mlp_bias'] === true)
    }
    matrix(`${attention}.o_proj`, width, heads * dim, attentionBias)
    matrix(`${at}.mlp.down_proj`, width, hidden, config['mlp_bias'] === true)
  }
  norm('model.norm')
  if (config['tie_word_embeddings'] !== true) matrix('lm_head', VOCABULARY, width)
  return tensors
}

/** Between -1 and 1 (Mulberry32). */
function generator(seed: number): () => number {
  let state = seed * 0x9e3779b1
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1
  }
}
