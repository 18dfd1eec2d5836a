/** What a graph that reads text has beside its graph: a tokenizer, and how text goes in and comes out. */
import type { BlobAddress } from '../../store/index.ts'

export interface TextBlob {
  readonly address: BlobAddress
  readonly bytes: number
}

/** An encoder: one vector a text. */
export interface EncoderText {
  readonly kind: 'encoder'
  readonly tokenizer: TextBlob
  /** Tokens of one text that the model takes, special ones included; what is longer is refused or cut by the caller. */
  readonly context: number
  /** Elements of a vector. */
  readonly dimensions: number
  /** How rows become one vector; `none`: the model gives one itself. */
  readonly pooling: 'mean' | 'cls' | 'last' | 'none'
  /** Divided by its Euclidean length. */
  readonly normalize: boolean
  /** The graph's output that holds the rows [batch, tokens, dimensions], or the vectors [batch, dimensions]. */
  readonly output: string
}

/** A decoder with past and present as inputs and outputs: text goes on, one token a step. */
export interface DecoderText {
  readonly kind: 'decoder'
  readonly tokenizer: TextBlob
  /** Tokens of prompt and answer together. */
  readonly context: number
  /** The graph's output of logits [batch, tokens, vocabulary]. */
  readonly logits: string
  /** Caches: each output becomes that input of the next step. */
  readonly carried: readonly { readonly output: string; readonly input: string }[]
}

export type GraphText = EncoderText | DecoderText
