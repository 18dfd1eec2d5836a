/** What every reader makes of a model file: the importer knows no formats. */
import type { LlamaShape } from '../manifest.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import type { FileTensor } from './gguf-tensors.ts'

export interface SourceModel {
  readonly format: 'gguf' | 'llama2c'
  readonly license: string
  readonly shape: LlamaShape
  /** By GGUF's names; the tensors of the shape, all of them and no others. */
  readonly tensors: ReadonlyMap<string, FileTensor>
  readonly tokenizer: TokenizerDefinition
}

/** The nine tensors of a decoder layer, in the manifest's order. */
export const LAYER_TENSORS = [
  'attn_norm',
  'attn_q',
  'attn_k',
  'attn_v',
  'attn_output',
  'ffn_norm',
  'ffn_gate',
  'ffn_up',
  'ffn_down',
] as const
export type LayerTensor = (typeof LAYER_TENSORS)[number]

/** The shape of each tensor of a layer. */
export function layerShapes(shape: LlamaShape): Readonly<Record<LayerTensor, readonly number[]>> {
  const { width, hidden, heads, kv_heads, head_dim } = shape
  return {
    attn_norm: [width],
    attn_q: [heads * head_dim, width],
    attn_k: [kv_heads * head_dim, width],
    attn_v: [kv_heads * head_dim, width],
    attn_output: [width, heads * head_dim],
    ffn_norm: [width],
    ffn_gate: [hidden, width],
    ffn_up: [hidden, width],
    ffn_down: [width, hidden],
  }
}
