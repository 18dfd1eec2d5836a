/** The tensors of a decoder by GGUF's names, in the manifest's order: which there are follows from the shape alone. */
import { BIASED_MATRICES } from './manifest.ts'
import type { DecoderShape } from './manifest.ts'

export interface PlannedTensor {
  readonly name: string
  /** Row-major, outermost first. */
  readonly shape: readonly number[]
}

export const EMBEDDING = 'token_embd.weight'
export const OUTPUT = 'output.weight'
export const OUTPUT_NORM = 'output_norm.weight'

/** The matrices and first norms of a layer, which every decoder has. */
export const LAYER_PARTS = [
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
export type LayerPart = (typeof LAYER_PARTS)[number]

/** Most tensors that a layer can have: those, seven biases, two biases of norms, two norms of q and k, two after. */
export const MAX_LAYER_TENSORS = LAYER_PARTS.length + BIASED_MATRICES.length + 6

/** The shape of the weights of each part. */
export function partShapes(shape: DecoderShape): Readonly<Record<LayerPart, readonly number[]>> {
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

/** The tensors of one layer, without `blk.<layer>.` before their names. */
export function layerTensors(shape: DecoderShape): readonly PlannedTensor[] {
  const shapes = partShapes(shape)
  const biased = new Set<string>(shape.biases)
  const all: PlannedTensor[] = []
  for (const part of LAYER_PARTS) {
    all.push({ name: `${part}.weight`, shape: shapes[part] })
    const isNorm = part === 'attn_norm' || part === 'ffn_norm'
    if (isNorm ? shape.norm === 'layer' : biased.has(part)) {
      all.push({ name: `${part}.bias`, shape: shapes[part].slice(0, 1) })
    }
    if (part === 'attn_v' && shape.qk_norm === true) {
      all.push({ name: 'attn_q_norm.weight', shape: [shape.head_dim] })
      all.push({ name: 'attn_k_norm.weight', shape: [shape.head_dim] })
    }
    if (part === 'attn_output' && shape.post_norms === true) {
      all.push({ name: 'post_attention_norm.weight', shape: [shape.width] })
    }
  }
  if (shape.post_norms === true) all.push({ name: 'post_ffw_norm.weight', shape: [shape.width] })
  return all
}

/** What the head has before its matrix, which comes last and may be the embedding's. */
export function headNorms(shape: DecoderShape): readonly PlannedTensor[] {
  const bias = { name: 'output_norm.bias', shape: [shape.width] }
  return [{ name: OUTPUT_NORM, shape: [shape.width] }, ...(shape.norm === 'layer' ? [bias] : [])]
}
