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

/** How weights are held when a stage runs; `auto` keeps the source's own precision. */
export type WeightFormat = 'auto' | 'q4' | 'int8' | 'f16' | 'f32'

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

/** The Llama family's shape. All sizes are counts of elements. */
export interface LlamaShape {
  readonly family: 'llama'
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
  /** Elements of each head that are rotated. */
  readonly rope_dim: number
  /** Adjacent pairs rotated (GGUF's llama layout), or halves. */
  readonly rope_interleaved: boolean
  /** Divides the frequency of each pair: from `rope_freqs.weight` or linear scaling; empty where there is none. */
  readonly rope_factors: readonly number[]
}

export interface ModelManifest {
  readonly schema: 'weft.manifest/1'
  readonly model: string
  /** SHA-256 (hex) of the canonical form of all that decides the numbers: shape, blocks, boundary, tokenizer. */
  readonly digest: string
  readonly license: string
  readonly source: string
  readonly shape: LlamaShape
  readonly boundary: BoundaryType
  readonly tokenizer: { readonly address: BlobAddress; readonly bytes: number }
  /** Block 0 is the embedding, 1..layers the decoder layers, layers + 1 the head. */
  readonly blocks: readonly Block[]
}
