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
  /** One a token, `spm` only; none where it has merges. */
  readonly scores?: readonly number[]
  /** `left right`, best first: `bpe`, and `spm` of the hub's files, which have these in place of scores. */
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
  /**
   * Where the prefix goes, if not in front of every piece of text between special tokens: of each that does not begin
   * with a space (`metaspace`), or of one that the text begins with and that does not (`metaspace-first`).
   */
  readonly space_prefix?: 'metaspace' | 'metaspace-first'
  /** Unicode normal form of texts; absent: as they come. */
  readonly normal_form?: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'
  /** Special tokens that take the white space before them, and behind them. */
  readonly strip_left?: readonly number[]
  readonly strip_right?: readonly number[]
  /** Further tokens that end an answer. */
  readonly ends?: readonly number[]
  /** Jinja source, or null: the model takes raw text only. */
  readonly chat_template: string | null
}
