/** What the decoders of all block types have in common. */

/** Integers, scales and minima of quantised blocks, as a decoder fills them: w = scale * (q - zero) + minimum. */
export interface DecodedBlocks {
  /** One a element. */
  readonly quants: Uint8Array
  /** One a sub-block. */
  readonly scales: Float32Array
  /** One a sub-block, for affine types; an empty array for the others. */
  readonly minima: Float32Array
}

export interface BlockDecoder {
  /** Elements that share a scale. */
  readonly group: 16 | 32
  /** Width that holds the integers. */
  readonly bits: 4 | 8
  /** The integer that stands for zero, as it is stored. */
  readonly zero: number
  readonly affine: boolean
  /** Decodes `blocks` blocks; `rebase` is added to each integer. */
  decode(bytes: Uint8Array, blocks: number, rebase: number, out: DecodedBlocks): void
}
