/** A tokenizer of the hub's form whose tokens are the 256 bytes: that of a model that was trained on bytes. */
import { BYTE_TO_CHARACTER } from './byte-alphabet.ts'

/** `tokenizer.json`: id n is the byte n, nothing is merged, and no text has a beginning or an end. */
export function byteTokenizer(): object {
  return {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      vocab: Object.fromEntries(BYTE_TO_CHARACTER.map((character, byte) => [character, byte])),
      merges: [],
    },
  }
}
