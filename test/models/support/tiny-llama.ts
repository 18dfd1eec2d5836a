/** A sound Llama of two layers as GGUF, to be bent by tests. */
import type { SourceType } from '../../../src/models/index.ts'
import type { GgufSpec, KeySpec, TensorSpec } from './gguf-writer.ts'

export interface TinyShape {
  readonly layers: number
  readonly width: number
  readonly hidden: number
  readonly heads: number
  readonly kvHeads: number
  readonly matrix: SourceType
  readonly tied: boolean
}

const DEFAULTS: TinyShape = { layers: 2, width: 64, hidden: 96, heads: 4, kvHeads: 2, matrix: 'Q8_0', tied: true }

/** `<unk>`, `<s>`, `</s>`, 256 bytes, then some pieces. */
export const TINY_TOKENS: readonly string[] = [
  '<unk>',
  '<s>',
  '</s>',
  ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  '\u2581',
  'a',
  'b',
  'ab',
  '\u2581a',
]
const TINY_TYPES: readonly number[] = TINY_TOKENS.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1))

export function tokenizerKeys(): KeySpec[] {
  return [
    { key: 'tokenizer.ggml.model', type: 'string', value: 'llama' },
    { key: 'tokenizer.ggml.tokens', type: 'string', value: TINY_TOKENS },
    { key: 'tokenizer.ggml.scores', type: 'f32', value: TINY_TOKENS.map((_, id) => -id) },
    { key: 'tokenizer.ggml.token_type', type: 'i32', value: TINY_TYPES },
    { key: 'tokenizer.ggml.bos_token_id', type: 'u32', value: 1 },
    { key: 'tokenizer.ggml.eos_token_id', type: 'u32', value: 2 },
  ]
}

export function tinyLlama(changes: Partial<TinyShape> = {}): GgufSpec {
  const shape = { ...DEFAULTS, ...changes }
  const { layers, width, hidden, heads, kvHeads, matrix, tied } = shape
  const kv = (width / heads) * kvHeads
  const tensors: TensorSpec[] = [{ name: 'token_embd.weight', shape: [TINY_TOKENS.length, width], type: matrix }]
  for (let layer = 0; layer < layers; layer++) {
    const add = (part: string, dimensions: number[], type: SourceType): void => {
      tensors.push({ name: `blk.${layer}.${part}.weight`, shape: dimensions, type })
    }
    add('attn_norm', [width], 'F32')
    add('attn_q', [width, width], matrix)
    add('attn_k', [kv, width], matrix)
    add('attn_v', [kv, width], matrix)
    add('attn_output', [width, width], matrix)
    add('ffn_norm', [width], 'F32')
    add('ffn_gate', [hidden, width], matrix)
    add('ffn_up', [hidden, width], matrix)
    add('ffn_down', [width, hidden], matrix)
  }
  tensors.push({ name: 'output_norm.weight', shape: [width], type: 'F32' })
  if (!tied) tensors.push({ name: 'output.weight', shape: [TINY_TOKENS.length, width], type: matrix })
  return { keys: [...shapeKeys(shape), ...tokenizerKeys()], tensors }
}

function shapeKeys({ layers, width, hidden, heads, kvHeads }: TinyShape): KeySpec[] {
  return [
    { key: 'general.architecture', type: 'string', value: 'llama' },
    { key: 'general.license', type: 'string', value: 'cc0-1.0' },
    { key: 'llama.block_count', type: 'u32', value: layers },
    { key: 'llama.context_length', type: 'u32', value: 256 },
    { key: 'llama.embedding_length', type: 'u32', value: width },
    { key: 'llama.feed_forward_length', type: 'u32', value: hidden },
    { key: 'llama.attention.head_count', type: 'u32', value: heads },
    { key: 'llama.attention.head_count_kv', type: 'u32', value: kvHeads },
    { key: 'llama.attention.layer_norm_rms_epsilon', type: 'f32', value: 1e-5 },
  ]
}

/** The spec with some keys replaced, added or (value undefined) left out. */
export function withKeys(spec: GgufSpec, changes: Readonly<Record<string, KeySpec | undefined>>): GgufSpec {
  const kept = spec.keys.filter(({ key }) => !(key in changes))
  const added = Object.values(changes).filter((change) => change !== undefined)
  return { ...spec, keys: [...kept, ...added] }
}
