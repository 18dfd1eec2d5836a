/** The tokenizer of a model, built from its definition: text to ids and back, and conversations to prompts. */
import { createBpeEncoder } from './bpe.ts'
import type { PlainEncoder } from './bpe.ts'
import { createChatEncoder } from './chat.ts'
import type { TokenizerDefinition } from './definition.ts'
import { atOnce } from './pieces.ts'
import type { InPieces } from './pieces.ts'
import { createSpecialFinder } from './special-tokens.ts'
import type { SpecialSpan } from './special-tokens.ts'
import { createSpmEncoder } from './spm.ts'
import { createTextStream, decodeIds } from './stream.ts'
import type { EncodeOptions, Tokenizer, TokenizerNeeds } from './types.ts'
import { createUnigramEncoder } from './unigram.ts'
import { createVocabulary } from './vocabulary.ts'
import type { Vocabulary } from './vocabulary.ts'
import { createWordPieceEncoder } from './wordpiece.ts'

const ENCODERS: Readonly<Record<TokenizerDefinition['kind'], (vocabulary: Vocabulary) => PlainEncoder>> = {
  bpe: createBpeEncoder,
  spm: createSpmEncoder,
  wordpiece: createWordPieceEncoder,
  unigram: createUnigramEncoder,
}

const FIRST_BLANKS = /^\p{White_Space}+/u
const LAST_BLANKS = /\p{White_Space}+$/u
const blanks = (where: RegExp, text: string): number => where.exec(text)?.[0].length ?? 0

const everywhere = (): boolean => true
const nowhere = (): boolean => false

/**
 * Construction costs some 100 ms for 50,000 merges; keep the tokenizer. The chat template is read when it is first used.
 * @throws TokenizerDefinitionError, UnknownPreTokenizerError
 */
export function createTokenizer(definition: TokenizerDefinition, needs: TokenizerNeeds = {}): Tokenizer {
  const vocabulary = createVocabulary(definition)
  const { kind, bos, eos, add_bos: addsBos, add_eos: addsEos, add_space_prefix: addsSpace } = definition
  const encodePlain = ENCODERS[kind](vocabulary)
  const finder = createSpecialFinder(vocabulary.special)
  const { normal_form: form, space_prefix: scheme } = definition
  // GGUF files may ask for it in byte-level BPE, where llama.cpp has none.
  const spacePrefix = addsSpace && (kind === 'spm' || (kind === 'bpe' && scheme !== undefined)) ? ' ' : ''
  const left = new Set(definition.strip_left)
  const right = new Set(definition.strip_right)

  function* encodeSpans(text: string, spans: readonly SpecialSpan[], options: EncodeOptions): InPieces<number[]> {
    const ids: number[] = []
    if ((options.addBos ?? addsBos) && bos !== null) ids.push(bos)
    let done = 0
    // SentencePiece's prefix goes before text that begins, or that follows a special token (llama.cpp, `tokenize`).
    let prefix = spacePrefix
    function* plainUpTo(end: number): InPieces<void> {
      if (end <= done) return
      const piece = text.slice(done, end)
      const prefixed = scheme !== undefined && piece.startsWith(' ') ? piece : prefix + piece
      yield* encodePlain(form === undefined ? prefixed : prefixed.normalize(form), ids, options.most)
      prefix = ''
    }
    for (const [index, { id, start, end }] of spans.entries()) {
      if (ids.length > (options.most ?? Infinity)) return ids
      yield* plainUpTo(left.has(id) ? start - blanks(LAST_BLANKS, text.slice(done, start)) : start)
      ids.push(id)
      prefix = scheme === 'metaspace-first' ? '' : spacePrefix
      const next = spans[index + 1]?.start ?? text.length
      done = right.has(id) ? end + blanks(FIRST_BLANKS, text.slice(end, next)) : end
    }
    yield* plainUpTo(text.length)
    if ((options.addEos ?? addsEos) && eos !== null) ids.push(eos)
    return ids
  }

  const encodeText = (text: string, options: EncodeOptions): InPieces<number[]> => {
    const wellFormed = text.toWellFormed()
    const spans = finder.find(wellFormed, options.special === true ? everywhere : nowhere)
    return encodeSpans(wellFormed, spans, options)
  }
  const encodeChat = createChatEncoder({ vocabulary, finder, encodeSpans, ...needs })

  return {
    vocabulary: vocabulary.size,
    bos,
    endTokens: vocabulary.endTokens,
    encode: (text, options = {}) => atOnce(encodeText(text, options)),
    encodePieces: (text, options = {}) => encodeText(text, options),
    decode: (ids, options = {}) => decodeIds(vocabulary, ids, options.special ?? false),
    bytes: (id, options = {}) => vocabulary.bytes(id, options.special ?? false).slice(),
    stream: (options = {}) => createTextStream(vocabulary, options.special ?? false),
    encodeChat: (messages, options = {}) => atOnce(encodeChat(messages, options)),
    encodeChatPieces: (messages, options = {}) => encodeChat(messages, options),
  }
}
