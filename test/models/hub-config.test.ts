/** `config.json` as published models have it, in the words of transformers 4 and of 5: the shape that comes of it. */
import { describe, expect, it } from 'vitest'
import { ARCHITECTURES, decoderShape } from '../../src/models/architectures/index.ts'
import type { DecoderShape } from '../../src/models/index.ts'
import { hubTensors } from '../../src/models/readers/hub-names.ts'
import { hubShapeFacts } from '../../src/models/readers/hub-shape.ts'
import { jsonObject } from '../../src/models/readers/json-document.ts'

type Config = Readonly<Record<string, unknown>>

function shapeOf(config: Config): DecoderShape {
  const architecture = ARCHITECTURES.find(({ hub }) => hub.includes(config['model_type'] as string))!
  const inner = (config['text_config'] as Config | undefined) ?? config
  return decoderShape(architecture, hubShapeFacts(jsonObject(inner, 'config.json'), architecture, new Set(), 1000))
}

const sizes = (hidden_size: number, num_attention_heads: number, num_key_value_heads: number, layers = 12): Config => ({
  hidden_size,
  intermediate_size: 4 * hidden_size,
  num_attention_heads,
  num_key_value_heads,
  num_hidden_layers: layers,
  vocab_size: 1000,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
})
const LLAMA31 = {
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
  rope_type: 'llama3',
}
const LONG = { short_factor: Array.from({ length: 48 }, () => 1.1), long_factor: Array.from({ length: 48 }, () => 4) }
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, at) => from + at)

const KNOWN: readonly (readonly [string, Config, Partial<DecoderShape>])[] = [
  [
    'Llama 2',
    { model_type: 'llama', ...sizes(4096, 32, 32), hidden_act: 'silu' },
    { head_dim: 128, rope_base: 10_000 },
  ],
  [
    'Llama 3.1',
    { model_type: 'llama', ...sizes(4096, 32, 8), rope_theta: 500_000, rope_scaling: LLAMA31 },
    { kv_heads: 8, rope_base: 500_000 },
  ],
  [
    'a Llama with dynamic scaling, up to where it begins',
    { model_type: 'llama', ...sizes(4096, 32, 32), rope_scaling: { type: 'dynamic', factor: 4 } },
    { context: 8192, rope_factors: [], rope_base: 10_000 },
  ],
  [
    'Mistral Small 3.1, which also sees',
    {
      model_type: 'mistral3',
      text_config: {
        model_type: 'mistral',
        ...sizes(5120, 32, 8),
        head_dim: 128,
        rope_theta: 1e9,
        sliding_window: null,
      },
    },
    { head_dim: 128, rope_base: 1e9 },
  ],
  [
    'Mistral 7B v0.1',
    { model_type: 'mistral', ...sizes(4096, 32, 8), sliding_window: 4096 },
    { window: { size: 4096, layers: range(0, 12) } },
  ],
  [
    'Mistral Nemo',
    { model_type: 'mistral', ...sizes(5120, 32, 8), head_dim: 128, rope_theta: 1e6, sliding_window: null },
    { head_dim: 128, rope_base: 1e6 },
  ],
  [
    'Qwen 2.5',
    {
      model_type: 'qwen2',
      ...sizes(896, 14, 2),
      rope_theta: 1e6,
      sliding_window: 4096,
      use_sliding_window: false,
      max_window_layers: 6,
    },
    { biases: ['attn_q', 'attn_k', 'attn_v'], head_dim: 64 },
  ],
  [
    'Qwen 2.5 with its windows on',
    {
      model_type: 'qwen2',
      ...sizes(896, 14, 2),
      rope_theta: 1e6,
      sliding_window: 4096,
      use_sliding_window: true,
      max_window_layers: 6,
    },
    { biases: ['attn_q', 'attn_k', 'attn_v'], window: { size: 4096, layers: range(6, 12) } },
  ],
  [
    'Qwen 3',
    { model_type: 'qwen3', ...sizes(1024, 16, 8), head_dim: 128, rope_theta: 1e6, use_sliding_window: false },
    { qk_norm: true, head_dim: 128 },
  ],
  [
    'Gemma 2 27B',
    {
      model_type: 'gemma2',
      ...sizes(4608, 32, 16),
      head_dim: 128,
      hidden_activation: 'gelu_pytorch_tanh',
      query_pre_attn_scalar: 144,
      attn_logit_softcapping: 50,
      final_logit_softcapping: 30,
      sliding_window: 4096,
    },
    {
      attention_scale: 1 / 12,
      attention_softcap: 50,
      logit_softcap: 30,
      norm_offset: 1,
      post_norms: true,
      embedding_scale: Math.sqrt(4608),
      window: { size: 4096, layers: [0, 2, 4, 6, 8, 10] },
    },
  ],
  [
    'Gemma 3 1B',
    {
      model_type: 'gemma3_text',
      ...sizes(1152, 4, 1),
      head_dim: 256,
      hidden_activation: 'gelu_pytorch_tanh',
      query_pre_attn_scalar: 256,
      rope_theta: 1e6,
      rope_local_base_freq: 10_000,
      rope_scaling: null,
      sliding_window: 512,
      sliding_window_pattern: 6,
      attn_logit_softcapping: null,
      final_logit_softcapping: null,
    },
    {
      qk_norm: true,
      rope_base: 1e6,
      window: { size: 512, layers: [0, 1, 2, 3, 4, 6, 7, 8, 9, 10], rope_base: 10_000 },
    },
  ],
  [
    'Gemma 3 4B, which leaves out most of it',
    {
      model_type: 'gemma3',
      text_config: {
        model_type: 'gemma3_text',
        hidden_size: 2560,
        intermediate_size: 10_240,
        num_hidden_layers: 7,
        rope_scaling: { factor: 8, rope_type: 'linear' },
        sliding_window: 1024,
      },
    },
    {
      heads: 8,
      kv_heads: 4,
      head_dim: 256,
      context: 131_072,
      rope_base: 1e6,
      rope_factors: Array.from({ length: 128 }, () => 8),
      window: { size: 1024, layers: [0, 1, 2, 3, 4, 6], rope_base: 10_000 },
    },
  ],
  [
    'Phi-3 mini 4k',
    { model_type: 'phi3', ...sizes(3072, 32, 32), original_max_position_embeddings: 4096, sliding_window: 2047 },
    { window: { size: 2047, layers: range(0, 12) } },
  ],
  [
    'Phi-3 mini 128k, as it was first written',
    {
      model_type: 'phi3',
      ...sizes(3072, 32, 32),
      max_position_embeddings: 131_072,
      original_max_position_embeddings: 4096,
      sliding_window: 262_144,
      rope_scaling: { type: 'su', ...LONG },
    },
    {
      context: 131_072,
      rope_factors: LONG.short_factor.map(Math.fround),
      rope_amplitude: Math.sqrt(1 + Math.log(32) / Math.log(4096)),
      rope_long: { beyond: 4096, factors: LONG.long_factor },
    },
  ],
  [
    'SmolLM3',
    {
      model_type: 'smollm3',
      ...sizes(2048, 16, 4),
      rope_theta: 5e6,
      no_rope_layer_interval: 4,
      use_sliding_window: false,
    },
    { unrotated_layers: [3, 7, 11], rope_base: 5e6 },
  ],
  [
    'StableLM 2 1.6B',
    { model_type: 'stablelm', ...sizes(2048, 32, 32), layer_norm_eps: 1e-5, use_parallel_residual: false },
    { norm: 'layer', rope_dim: 16 },
  ],
]

describe('the configuration of a published model', () => {
  it.each(KNOWN)('%s', (_, config, expected) => {
    const shape = shapeOf(config)
    expect(shape).toMatchObject(expected)
    // What is not said is as a Llama has it.
    const optional = [
      'window',
      'unrotated_layers',
      'norm',
      'norm_offset',
      'qk_norm',
      'post_norms',
      'attention_softcap',
    ] as const
    const own = config['model_type'] as string
    for (const key of optional) {
      if (!(key in expected) && !own.startsWith('gemma')) expect(Object.hasOwn(shape, key)).toBe(false)
    }
  })

  it('is the same in the words of transformers 5', () => {
    const pairs: readonly (readonly [string, Config])[] = [
      [
        'Llama 3.1',
        { rope_theta: undefined, rope_scaling: undefined, rope_parameters: { ...LLAMA31, rope_theta: 500_000 } },
      ],
      [
        'Gemma 3 1B',
        {
          rope_theta: undefined,
          rope_local_base_freq: undefined,
          sliding_window_pattern: undefined,
          layer_types: range(0, 12).map((layer) => (layer % 6 === 5 ? 'full_attention' : 'sliding_attention')),
          rope_parameters: {
            full_attention: { rope_type: 'default', rope_theta: 1e6 },
            sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
          },
        },
      ],
      [
        'Phi-3 mini 128k, as it was first written',
        { rope_scaling: undefined, rope_parameters: { rope_type: 'longrope', ...LONG, rope_theta: 10_000 } },
      ],
      [
        'StableLM 2 1.6B',
        { rope_parameters: { rope_type: 'default', rope_theta: 10_000, partial_rotary_factor: 0.25 } },
      ],
      [
        'SmolLM3',
        {
          rope_theta: undefined,
          rope_parameters: { rope_theta: 5e6, rope_type: 'default' },
          no_rope_layers: range(0, 12).map((layer) => (layer % 4 === 3 ? 0 : 1)),
        },
      ],
    ]
    for (const [name, change] of pairs) {
      const old = KNOWN.find(([known]) => known === name)![1]
      expect(shapeOf({ ...old, ...change })).toEqual(shapeOf(old))
    }
  })

  it("has Llama 3.1's factors: short waves as they are, long ones stretched by 8, a blend between", () => {
    const { rope_factors } = shapeOf(KNOWN[1]![1])
    expect(rope_factors).toHaveLength(64)
    expect(rope_factors.slice(0, 29)).toEqual(Array.from({ length: 29 }, () => 1))
    expect(rope_factors.slice(35)).toEqual(Array.from({ length: 29 }, () => 8))
    expect(rope_factors.every((factor, at) => at === 0 || factor >= rope_factors[at - 1]!)).toBe(true)
  })
})

describe('names of tensors', () => {
  const named = (names: readonly string[], tied = true): string[] => {
    const gemma3 = ARCHITECTURES.find(({ family }) => family === 'gemma3')!
    const tensor = { name: '', type: 'F32', shape: [1], offset: 0, bytes: 4 } as const
    return [...hubTensors(new Map(names.map((name) => [name, tensor])), gemma3, tied).keys()]
  }

  it('of a model that also sees are those of its text part, however it is wrapped', () => {
    const own = [
      'token_embd.weight',
      'blk.3.post_attention_norm.weight',
      'blk.3.attn_q_norm.weight',
      'output_norm.weight',
    ]
    const inner = [
      'embed_tokens.weight',
      'layers.3.post_attention_layernorm.weight',
      'layers.3.self_attn.q_norm.weight',
      'norm.weight',
    ]
    const eyes = ['vision_tower.x.weight', 'multi_modal_projector.y', 'model.vision_tower.x.weight']
    for (const prefix of ['model.', 'language_model.model.', 'model.language_model.']) {
      expect(named([...inner.map((name) => prefix + name), ...eyes])).toEqual(own)
    }
  })

  it('of a head that is tied are left out, others keep their names to be refused by', () => {
    expect(named(['lm_head.weight', 'language_model.lm_head.weight'])).toEqual([])
    expect(named(['lm_head.weight', 'model.layers.0.strange.weight'], false)).toEqual([
      'output.weight',
      'model.layers.0.strange.weight',
    ])
  })
})
