/** The manifest of a model (`partitions/<model>.json`): its blocks, and the tensors of each by address. */
import type { BlobAddress } from '../store/index.ts'

/** Storage types of a source tensor, with GGML's names. */
export type SourceType =
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'Q4_0'
  | 'Q4_1'
  | 'Q5_0'
  | 'Q5_1'
  | 'Q8_0'
  | 'Q2_K'
  | 'Q3_K'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'

/** How weights are held when a stage runs; `auto` keeps the source's own precision, `q8` is 8 bits in blocks of 32. */
export type WeightFormat = 'auto' | 'q4' | 'int8' | 'q8' | 'f16' | 'f32'

export type BoundaryType = 'f16' | 'f32'

export interface TensorRef {
  /** GGUF's name for it, e.g. `blk.3.attn_q.weight`. */
  readonly name: string
  readonly type: SourceType
  /** Row-major, outermost first: a matrix is [rows (outputs), columns (inputs)]. */
  readonly shape: readonly number[]
  readonly bytes: number
  readonly address: BlobAddress
}

export interface Block {
  readonly kind: 'embedding' | 'decoder' | 'head'
  readonly tensors: readonly TensorRef[]
  readonly weights: WeightFormat
  /** Bytes of the source tensors. */
  readonly bytes: number
  /** Bytes of weights in memory when it is loaded. */
  readonly memory: number
  /** Multiply-adds times two for one row, attention over the past not counted. */
  readonly flops: number
  /** Bytes of KV cache that one token of context costs. */
  readonly kv_bytes: number
}

/** Matrices of a layer that may have a bias, in the order of the tensors. */
export const BIASED_MATRICES = ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'] as const
export type BiasedMatrix = (typeof BIASED_MATRICES)[number]

/** Layers whose rows see only the nearest ones. */
export interface WindowShape {
  /** Rows that a row sees, itself included. */
  readonly size: number
  /** From 0, rising. */
  readonly layers: readonly number[]
  /** Base of the rotary frequencies of these layers, without factors; absent where it is that of the others. */
  readonly rope_base?: number
}

/**
 * The shape of a decoder: all that its graph is made from. All sizes are counts of elements. Fields after
 * `rope_factors` are absent where they are as a Llama has them, so that a Llama's digest does not know of them.
 */
export interface DecoderShape {
  /** The architecture that it was read as; the graph asks the other fields. */
  readonly family: string
  readonly layers: number
  readonly width: number
  readonly hidden: number
  readonly heads: number
  readonly kv_heads: number
  readonly head_dim: number
  readonly vocabulary: number
  readonly context: number
  readonly norm_epsilon: number
  readonly rope_base: number
  /** Elements of each head that are rotated, the first ones. */
  readonly rope_dim: number
  /** Adjacent pairs rotated (GGUF's llama layout), or halves. */
  readonly rope_interleaved: boolean
  /** Divides the frequency of each pair: from `rope_freqs.weight` or a scaling; empty where there is none. */
  readonly rope_factors: readonly number[]
  /** Multiplies cosines and sines (YaRN, LongRoPE). */
  readonly rope_amplitude?: number
  /** Texts of more than so many positions have these factors in place of `rope_factors`, from their first row on (LongRoPE). */
  readonly rope_long?: { readonly beyond: number; readonly factors: readonly number[] }
  /** From 0, rising: layers without rotary positions. */
  readonly unrotated_layers?: readonly number[]
  readonly window?: WindowShape
  /** Norms that take the mean away and have a bias, in place of RMS norms. */
  readonly norm?: 'layer'
  /** Added to the weights of all RMS norms when they are packed: the file has them less 1. */
  readonly norm_offset?: 1
  /** RMS norms of each head of q and k, before the rotation. */
  readonly qk_norm?: true
  /** RMS norms of what attention and feed-forward give, before it is added to the residual. */
  readonly post_norms?: true
  /** In place of x sigmoid(x). */
  readonly activation?: 'gelu_tanh'
  readonly biases?: readonly BiasedMatrix[]
  /** Multiplies the rows of the embedding, before they are rounded to the boundary's type. */
  readonly embedding_scale?: number
  /** Multiplies q k, in place of 1 / sqrt(head_dim). */
  readonly attention_scale?: number
  /** c tanh(x / c) of each score before the softmax. */
  readonly attention_softcap?: number
  /** c tanh(x / c) of each logit. */
  readonly logit_softcap?: number
}

/** Relative error of a block's output in each format that was tried. */
export type BlockErrors = Readonly<Partial<Record<WeightFormat, number>>>

/** What the weight formats of a model cost, by simulation in float32: the same figures on every machine. */
export interface ModelQuality {
  /** The format that was asked for; with `auto` each layer has the one that was chosen for it. */
  readonly asked: WeightFormat
  /** Name of the text, or its SHA-256. */
  readonly calibration: string
  readonly calibration_tokens: number
  readonly held_out_tokens: number
  readonly perplexity: number
  readonly perplexity_float32: number
  /** Mean Kullback-Leibler divergence of the next token's distribution from float32's, in nats. */
  readonly divergence: number
  /** Standard error of ln(perplexity / perplexity_float32). */
  readonly chance: number
  /** Within the bound of docs/weights.md. */
  readonly passed: boolean
  /** Bytes of weights in memory, were they all float32. */
  readonly memory_float32: number
  /** Of each block. */
  readonly errors: readonly BlockErrors[]
}

export interface ModelManifest {
  readonly schema: 'weft.manifest/1'
  readonly model: string
  /** SHA-256 (hex) of the canonical form of all that decides the numbers: shape, blocks, boundary, tokenizer. */
  readonly digest: string
  readonly license: string
  readonly source: string
  readonly shape: DecoderShape
  readonly boundary: BoundaryType
  readonly tokenizer: { readonly address: BlobAddress; readonly bytes: number }
  /** Block 0 is the embedding, 1..layers the decoder layers, layers + 1 the head. */
  readonly blocks: readonly Block[]
  /** Where it was measured; no part of the digest. */
  readonly quality?: ModelQuality | undefined
}
