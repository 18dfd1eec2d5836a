/** A hub's model as a GGUF file, as llama.cpp's converter writes it: other names, llama's rows in pairs, Gemma's norms. */
import type { HubModel } from './hub-models.ts'
import type { HubTensor } from './hub-writer.ts'
import { VOCABULARY } from './hub-models.ts'
import { tokenizerKeys } from './tiny-llama.ts'
import { writeGguf } from './gguf-writer.ts'
import type { KeySpec, TensorSpec } from './gguf-writer.ts'

const PARTS: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.qkv_proj': 'attn_qkv',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'self_attn.o_proj': 'attn_output',
  pre_feedforward_layernorm: 'ffn_norm',
  post_feedforward_layernorm: 'post_ffw_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.gate_up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
}
const NAMES: Readonly<Record<string, string>> = { gemma3_text: 'gemma3', mistral: 'llama' }

/** What the file's own words for the architecture are. */
export function ggufName({ config }: HubModel): string {
  const type = config['model_type'] as string
  return NAMES[type] ?? type
}

export function hubGguf(model: HubModel, keys: readonly KeySpec[], more: readonly TensorSpec[] = []): Uint8Array {
  const { config, tensors } = model
  const name = ggufName(model)
  const adjacent = name === 'llama' || name === 'smollm3'
  const specs = [...tensors].map(([hub, tensor]): TensorSpec => {
    const own = ownName(hub, name)
    let values = tensor.values
    if (adjacent && /attn_[qk]\./.test(own)) values = inPairs(tensor, headsOf(config, own))
    if (name.startsWith('gemma') && own.endsWith('norm.weight')) values = values.map((value) => value + 1)
    return { name: own, shape: tensor.shape, type: 'F32', data: new Uint8Array(values.buffer) }
  })
  return writeGguf({ keys: [...shapeKeys(model), ...keys], tensors: [...specs, ...more] })
}

function ownName(hub: string, name: string): string {
  if (hub === 'model.embed_tokens.weight') return 'token_embd.weight'
  if (hub === 'lm_head.weight') return 'output.weight'
  if (hub.startsWith('model.norm.')) return hub.replace('model.norm', 'output_norm')
  const [, layer, part, kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(hub)!
  const after = name === 'gemma2' || name === 'gemma3' ? 'post_attention_norm' : 'ffn_norm'
  return `blk.${layer}.${part === 'post_attention_layernorm' ? after : PARTS[part!]!}.${kind}`
}

function headsOf(config: HubModel['config'], own: string): number {
  return config[own.includes('attn_q') ? 'num_attention_heads' : 'num_key_value_heads'] as number
}

/** The rows of each head: halves become neighbours. */
function inPairs({ shape, values }: HubTensor, heads: number): Float32Array {
  const rows = shape[0]!
  const size = values.length / rows
  const dim = rows / heads
  const out = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    const [head, within] = [Math.floor(row / dim), row % dim]
    const from = head * dim + (within % 2) * (dim / 2) + Math.floor(within / 2)
    out.set(values.subarray(from * size, (from + 1) * size), row * size)
  }
  return out
}

function shapeKeys(model: HubModel): KeySpec[] {
  const { config } = model
  const name = ggufName(model)
  const [width, heads] = [config['hidden_size'] as number, config['num_attention_heads'] as number]
  const dim = (config['head_dim'] as number | undefined) ?? width / heads
  const u32 = (key: string, value: unknown): KeySpec => ({ key: `${name}.${key}`, type: 'u32', value: value as number })
  const f32 = (key: string, value: unknown): KeySpec => ({ key: `${name}.${key}`, type: 'f32', value: value as number })
  const layerNorm = name === 'stablelm'
  return [
    { key: 'general.architecture', type: 'string', value: name },
    u32('block_count', config['num_hidden_layers']),
    u32('context_length', config['max_position_embeddings']),
    u32('embedding_length', width),
    u32('feed_forward_length', config['intermediate_size']),
    u32('attention.head_count', heads),
    u32('attention.head_count_kv', config['num_key_value_heads']),
    u32('attention.key_length', dim),
    u32('attention.value_length', dim),
    layerNorm
      ? f32('attention.layer_norm_epsilon', config['layer_norm_eps'])
      : f32('attention.layer_norm_rms_epsilon', config['rms_norm_eps']),
  ]
}

/** Tokens of no meaning, as many as the models have rows. */
export function paddedVocabulary(): KeySpec[] {
  const padded = <T>(list: readonly T[], value: (at: number) => T): T[] =>
    Array.from({ length: VOCABULARY }, (_, at) => list[at] ?? value(at))
  return tokenizerKeys().map((spec) => {
    if (!Array.isArray(spec.value)) return spec
    const fill = (at: number): string | number =>
      spec.type === 'string' ? `[PAD${at}]` : spec.type === 'i32' ? 5 : -at
    return { ...spec, value: padded(spec.value as (string | number)[], fill) }
  })
}
