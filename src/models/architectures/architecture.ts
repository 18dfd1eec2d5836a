/**
 * What an architecture is: one object that says how its graph differs from a Llama's, and what its files leave out.
 * Readers and graphs know no architecture by name (docs/architectures.md).
 */
import type { DecoderShape } from '../manifest.ts'

export interface Architecture {
  /** Its name in manifests. */
  readonly family: string
  /** Values of `general.architecture` in GGUF files; of two with one name that is meant which has what the file asks for. */
  readonly gguf: readonly string[]
  /** Values of `model_type` in `config.json`. */
  readonly hub: readonly string[]
  /** What every model of it has. */
  readonly graph: Pick<DecoderShape, 'norm' | 'activation' | 'biases' | 'qk_norm' | 'post_norms'>
  /** Rows of the embedding are multiplied by the square root of the width. */
  readonly scaledEmbedding?: true
  /** In GGUF files: the pairs that are rotated lie side by side (ggml's NORM) or half a head apart (its NEOX). */
  readonly ggufPairs: 'adjacent' | 'halves'
  /** GGUF files have q, k and v in one matrix, and gate and up: what stands beside one of them has no place there. */
  readonly ggufFused?: true
  /**
   * Which layers a sliding window is for, where the file gives its size alone; `unrotated`: those without positions.
   * Absent: the architecture has none.
   */
  readonly windowed?: LayerPattern | 'unrotated'
  /** Rotary base of the layers with a window, where it is not that of the others. */
  readonly windowRopeBase?: number
  /** Layers without rotary positions. */
  readonly unrotated?: LayerPattern
  /** In SentencePiece vocabularies control tokens take the white space behind them, which GGUF files do not say. */
  readonly ggufTokensTakeSpace?: true
  /** Models, by their number of layers, whose q is scaled by width / heads in place of the width of a head. */
  readonly scaledByWidth?: readonly number[]
  /** What a file may leave out. */
  readonly defaults: {
    readonly ropeBase: number
    readonly normEpsilon: number
    /** Rows that a window shows. */
    readonly window?: number
    readonly attentionSoftcap?: number
    readonly logitSoftcap?: number
    readonly heads?: number
    readonly kvHeads?: number
    readonly context?: number
    /** Elements of a head; else the width's share. */
    readonly headDim?: number
    /** Share of each head that is rotated. @default 1 */
    readonly rotated?: number
  }
  readonly safetensors: {
    /** The head is the embedding's matrix, where `config.json` does not say. */
    readonly tied: boolean
    /** Norms are stored less 1. */
    readonly normOffset?: 1
    /** `hidden_act` or `hidden_activation`. */
    readonly activations: readonly string[]
    /** Names of parts of a layer that are not those of a Llama. */
    readonly names?: Readonly<Record<string, string>>
    /** `query_pre_attn_scalar`, `attn_logit_softcapping` and `final_logit_softcapping` count. */
    readonly scaled?: true
    /** A window counts where `use_sliding_window` is true, and from layer `max_window_layers` on. */
    readonly windowSwitch?: true
    /** What must not be true in `config.json`. */
    readonly refused?: readonly string[]
  }
}

/** All layers; the last of every `n`; or all but those. Layers count from 1: of 4, the fourth, the eighth, ... */
export type LayerPattern = 'all' | { readonly lastOf: number } | { readonly allButLastOf: number }

/** Numbers, from 0, of the layers of a pattern. */
export function layersOf(pattern: LayerPattern, layers: number): number[] {
  const all = Array.from({ length: layers }, (_, layer) => layer)
  if (pattern === 'all') return all
  if ('lastOf' in pattern) return all.filter((layer) => (layer + 1) % pattern.lastOf === 0)
  return all.filter((layer) => (layer + 1) % pattern.allButLastOf !== 0)
}
