/** A tokenizer as data: what the importer stores as a blob (JSON) and the tokenizers are built from. */

export const TOKENIZER_SCHEMA = 'weft.tokenizer/1'

/** What a token is (llama.cpp's token types, as `tokenizer.ggml.token_type` stores them). */
export const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

export interface TokenizerDefinition {
  readonly schema: typeof TOKENIZER_SCHEMA
  /** Byte-level BPE with merges (GGUF `gpt2`), or SentencePiece BPE with scores and byte fall-back (GGUF `llama`). */
  readonly kind: 'bpe' | 'spm'
  /** GGUF's name of the pre-tokenizer (`smollm`, `gpt-2`, `llama-bpe`, ...); `default` where the file names none. */
  readonly pre: string
  /** One string a token, in GGUF's spelling: byte-level alphabet for `bpe`, U+2581 for a space in `spm`. */
  readonly tokens: readonly string[]
  /** One `TOKEN_TYPE` a token. */
  readonly types: readonly number[]
  /** One a token, `spm` only. */
  readonly scores?: readonly number[]
  /** `left right`, best first, `bpe` only. */
  readonly merges?: readonly string[]
  readonly bos: number | null
  readonly eos: number | null
  readonly unk: number | null
  readonly pad: number | null
  /** End of a turn, where it is another token than `eos`. */
  readonly eot?: number | null
  readonly add_bos: boolean
  readonly add_eos: boolean
  readonly add_space_prefix: boolean
  /** Jinja source, or null: the model takes raw text only. */
  readonly chat_template: string | null
}
