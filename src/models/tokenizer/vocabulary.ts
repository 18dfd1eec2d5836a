/** A tokenizer definition, checked once, as tables: what each token is, which text may become it, which bytes it is. */
import { alphabetBytes } from './byte-alphabet.ts'
import { TOKEN_TYPE } from './definition.ts'
import type { TokenizerDefinition } from './definition.ts'
import { TokenizerDefinitionError, UnknownTokenError } from './errors.ts'
import { MAX_MERGES, MAX_SPECIAL_LENGTH, MAX_TOKEN_LENGTH, MAX_TOKENS } from './limits.ts'

/** SentencePiece writes a space as U+2581, so that a token's text has none. */
export const SPACE_MARK = '\u2581'

/** Names under which published models have the token that ends a turn or a text, beside `eos` and `eot`. */
const END_TEXTS: ReadonlySet<string> = new Set([
  '<|im_end|>',
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end|>',
  '<|end_of_turn|>',
  '<end_of_turn>',
  '<turn|>',
  '<|endoftext|>',
  '<|end_of_text|>',
  '<|eot|>',
  '<EOT>',
  '_<EOT>',
  '</s>',
  '<eos>',
  '<|return|>',
  '<|call|>',
  '<\uff5cend\u2581of\u2581sentence\uff5c>',
  '<end_of_utterance>',
])

const KINDS: ReadonlySet<string> = new Set<TokenizerDefinition['kind']>(['bpe', 'spm', 'wordpiece', 'unigram'])

const BYTE_TEXT = /^<0x([0-9A-F]{2})>$/

export interface Vocabulary {
  readonly size: number
  readonly definition: TokenizerDefinition
  /** Tokens that plain text may become: never control, unknown or byte tokens. Spaces are U+2581 in `spm`. */
  readonly plain: ReadonlyMap<string, number>
  /** Tokens that are cut out of a text before anything else: control, unknown and user-defined ones. */
  readonly special: readonly SpecialToken[]
  /** The token of each byte (`spm`), or -1. */
  readonly byteTokens: Int32Array
  readonly endTokens: ReadonlySet<number>
  readonly isControl: (id: number) => boolean
  /** Shared: not to be written to. @throws UnknownTokenError */
  bytes(id: number, special: boolean): Uint8Array
}

export interface SpecialToken {
  readonly id: number
  readonly text: string
  /** Text is cut at it always, not only where control tokens are asked for. */
  readonly userDefined: boolean
}

/** @throws TokenizerDefinitionError */
export function createVocabulary(definition: TokenizerDefinition): Vocabulary {
  checkDefinition(definition)
  const { tokens, types } = definition
  const size = tokens.length
  const pieces: (Uint8Array | undefined)[] = []
  return {
    size,
    definition,
    plain: plainTokens(definition),
    special: specialTokens(definition),
    byteTokens: byteTokens(definition),
    endTokens: endTokens(definition),
    isControl: (id) => isControlType(types[id]),
    bytes(id, special) {
      const text = tokens[id]
      if (text === undefined) throw new UnknownTokenError(id, size)
      if (isControlType(types[id])) return special ? Buffer.from(text) : new Uint8Array(0)
      return (pieces[id] ??= pieceBytes(definition, id))
    },
  }
}

function isControlType(type: number | undefined): boolean {
  return type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown
}

function checkDefinition(definition: TokenizerDefinition): void {
  const { kind, tokens, types, scores, merges } = definition
  const size = tokens.length
  if (!KINDS.has(kind)) throw new TokenizerDefinitionError(`kind ${JSON.stringify(kind)} is not known`)
  if (size === 0 || size > MAX_TOKENS) throw new TokenizerDefinitionError(`${size} tokens, not 1 to ${MAX_TOKENS}`)
  if (types.length !== size) throw new TokenizerDefinitionError(`${size} tokens, but ${types.length} token types`)
  const wrongType = types.findIndex((type) => !(Number.isInteger(type) && type >= 0 && type <= TOKEN_TYPE.byte))
  if (wrongType !== -1) throw new TokenizerDefinitionError(`token ${wrongType} is of type ${types[wrongType]}`)
  const wrongText = tokens.findIndex((text) => typeof text !== 'string' || text.length > MAX_TOKEN_LENGTH)
  if (wrongText !== -1) {
    throw new TokenizerDefinitionError(`token ${wrongText} is no text of up to ${MAX_TOKEN_LENGTH} characters`)
  }
  if ((kind === 'spm' && merges === undefined) || kind === 'unigram') checkScores(size, scores)
  if (kind === 'bpe' && merges === undefined) throw new TokenizerDefinitionError('it has no list of merges')
  if (merges !== undefined && merges.length > MAX_MERGES) {
    throw new TokenizerDefinitionError(`${merges.length} merges, more than ${MAX_MERGES}`)
  }
  checkNamedTokens(definition)
}

function checkScores(size: number, scores: readonly number[] | undefined): void {
  if (scores?.length !== size) {
    throw new TokenizerDefinitionError(`${size} tokens, but ${scores?.length ?? 'no'} scores`)
  }
  const wrong = scores.findIndex((score) => typeof score !== 'number' || Number.isNaN(score))
  if (wrong !== -1) throw new TokenizerDefinitionError(`the score of token ${wrong} is not a number`)
}

function checkNamedTokens(definition: TokenizerDefinition): void {
  const size = definition.tokens.length
  for (const name of ['bos', 'eos', 'unk', 'pad', 'eot'] as const) {
    const id = definition[name] ?? null
    if (id !== null && !(Number.isInteger(id) && id >= 0 && id < size)) {
      throw new TokenizerDefinitionError(`${name} is token ${id}, but there are ${size} tokens`, { name, id, size })
    }
  }
  for (const name of ['ends', 'strip_left', 'strip_right'] as const) {
    const strange = definition[name]?.find((id) => !(Number.isInteger(id) && id >= 0 && id < size))
    if (strange !== undefined) throw new TokenizerDefinitionError(`${name} has a token ${strange} of ${size} tokens`)
  }
  if (definition.add_bos && definition.bos === null) throw new TokenizerDefinitionError('add_bos, but no bos token')
  if (definition.add_eos && definition.eos === null) throw new TokenizerDefinitionError('add_eos, but no eos token')
}

function plainTokens({ kind, tokens, types }: TokenizerDefinition): ReadonlyMap<string, number> {
  const plain = new Map<string, number>()
  for (const [id, text] of tokens.entries()) {
    const type = types[id]
    if (text === '' || isControlType(type) || type === TOKEN_TYPE.byte) continue
    // llama2.c files write a space as it is; SentencePiece itself as U+2581.
    plain.set(kind === 'spm' ? text.replaceAll(' ', SPACE_MARK) : text, id)
  }
  return plain
}

function specialTokens({ tokens, types }: TokenizerDefinition): SpecialToken[] {
  const special: SpecialToken[] = []
  for (const [id, text] of tokens.entries()) {
    const userDefined = types[id] === TOKEN_TYPE.userDefined
    if (text === '' || !(userDefined || isControlType(types[id]))) continue
    if (text.length > MAX_SPECIAL_LENGTH) {
      throw new TokenizerDefinitionError(`special token ${id} is longer than ${MAX_SPECIAL_LENGTH} characters`)
    }
    special.push({ id, text, userDefined })
  }
  return special
}

function byteTokens({ tokens, types }: TokenizerDefinition): Int32Array {
  const table = new Int32Array(256).fill(-1)
  for (const [id, text] of tokens.entries()) {
    if (types[id] !== TOKEN_TYPE.byte) continue
    const digits = BYTE_TEXT.exec(text)?.[1]
    // A sign or a blank between the brackets has been read as an index before (llama.cpp #25969).
    if (digits === undefined) throw new TokenizerDefinitionError(`token ${id} is a byte, but not written as <0xNN>`)
    table[Number.parseInt(digits, 16)] = id
  }
  return table
}

function endTokens({ tokens, types, eos, eot, ends: further }: TokenizerDefinition): ReadonlySet<number> {
  const ends = new Set(further)
  for (const id of [eos, eot ?? null]) if (id !== null) ends.add(id)
  for (const [id, text] of tokens.entries()) {
    // llama2.c names its tokens with line ends around them.
    const special = types[id] === TOKEN_TYPE.control || types[id] === TOKEN_TYPE.userDefined
    if (special && END_TEXTS.has(text.trim())) ends.add(id)
  }
  return ends
}

function pieceBytes({ kind, tokens, types, wordpiece }: TokenizerDefinition, id: number): Uint8Array {
  const text = tokens[id] ?? ''
  const type = types[id]
  if (type === TOKEN_TYPE.userDefined) return Buffer.from(text)
  const digits = type === TOKEN_TYPE.byte ? BYTE_TEXT.exec(text)?.[1] : undefined
  if (digits !== undefined) return Uint8Array.of(Number.parseInt(digits, 16))
  if (kind === 'spm' || kind === 'unigram') return Buffer.from(text.replaceAll(SPACE_MARK, ' '))
  // Words have no spaces of their own: one is put before each, the first too.
  if (kind === 'wordpiece') {
    const inner = wordpiece?.inner ?? ''
    return Buffer.from(inner !== '' && text.startsWith(inner) ? text.slice(inner.length) : ` ${text}`)
  }
  return alphabetBytes(text) ?? Buffer.from(text)
}
