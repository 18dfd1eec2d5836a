/** A tokenizer as data: what the importer stores as a blob (JSON) and the tokenizers are built from. */

export const TOKENIZER_SCHEMA = 'weft.tokenizer/1'

/** What a token is (llama.cpp's token types, as `tokenizer.ggml.token_type` stores them). */
export const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

/** A step that makes a text ready. */
export type NormalStep =
  | {
      readonly kind: 'bert'
      /** Controls go, all white space becomes spaces. */
      readonly clean: boolean
      /** Each ideograph becomes a word. */
      readonly ideographs: boolean
      /** Accents go. */
      readonly accents: boolean
      readonly lower: boolean
    }
  /** SentencePiece's `precompiled_charsmap`, base64. */
  | { readonly kind: 'charsmap'; readonly map: string }
  | { readonly kind: 'form'; readonly form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD' }
  | { readonly kind: 'lowercase' }
  /** White space at the ends goes. */
  | { readonly kind: 'strip'; readonly left: boolean; readonly right: boolean }
  /** Spaces in a row become one. */
  | { readonly kind: 'squeeze' }
  | { readonly kind: 'replace'; readonly from: string; readonly to: string }

export interface TokenizerDefinition {
  readonly schema: typeof TOKENIZER_SCHEMA
  /**
   * Byte-level BPE with merges (GGUF `gpt2`), SentencePiece BPE with scores and byte fall-back (GGUF `llama`), or what
   * encoders have: BERT's WordPiece, and SentencePiece's Unigram.
   */
  readonly kind: 'bpe' | 'spm' | 'wordpiece' | 'unigram'
  /** GGUF's name of the pre-tokenizer (`smollm`, `gpt-2`, `llama-bpe`, ...); `default` where the file names none. */
  readonly pre: string
  /** One string a token, in GGUF's spelling: byte-level alphabet for `bpe`, U+2581 for a space in `spm`. */
  readonly tokens: readonly string[]
  /** One `TOKEN_TYPE` a token. */
  readonly types: readonly number[]
  /** One a token, `spm` and `unigram` only; none where it has merges. */
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
  /** Of several characters in a row that nothing covers each is an unknown token: `spm` only. @default one for all */
  readonly unknown_apart?: true
  /** Unicode normal form of texts; absent: as they come. */
  readonly normal_form?: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'
  /** What makes texts ready, in order; `wordpiece` and `unigram` only, as the next three. */
  readonly normalizers?: readonly NormalStep[]
  /** Where texts are cut into words: at white space and around signs, or at white space. @default they are not */
  readonly words?: 'bert' | 'blanks'
  /** Spaces become U+2581. `prefix`: one goes in front of each word; `split`: each begins a word. */
  readonly metaspace?: { readonly prefix: boolean; readonly split: boolean }
  /** What stands before pieces within a word, and the longest word, in characters, that is not the unknown token. */
  readonly wordpiece?: { readonly inner: string; readonly longest: number }
  /** Special tokens that take the white space before them, and behind them. */
  readonly strip_left?: readonly number[]
  readonly strip_right?: readonly number[]
  /** Further tokens that end an answer. */
  readonly ends?: readonly number[]
  /** Jinja source, or null: the model takes raw text only. */
  readonly chat_template: string | null
}
