/** The vocabulary of a `tokenizer.json`, token by token: which text, of which type, and what white space it takes. */
import { ModelFileError, TokenizerDataError, UnsupportedModelError } from '../errors.ts'
import { TOKEN_TYPE } from '../tokenizer/definition.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import { unigramPieces } from './hub-encoder-steps.ts'
import { jsonObject } from './json-document.ts'
import type { JsonObject } from './json-document.ts'
import { MAX_VOCABULARY } from './limits.ts'

export interface HubTokens {
  readonly tokens: readonly string[]
  readonly types: readonly number[]
  /** Of each text; of two tokens with one text the added one. */
  readonly idOf: ReadonlyMap<string, number>
  /** Added tokens that take the white space before them, and behind them. */
  readonly left: readonly number[]
  readonly right: readonly number[]
  /** The model's `unk_token`. */
  readonly unk: number | null
}

const BYTE_PIECE = /^<0x[0-9A-F]{2}>$/

/** @param rows of the embedding. Ids that no token has get an empty one, which no text becomes. */
export function hubTokens(
  file: JsonObject,
  model: JsonObject,
  kind: TokenizerDefinition['kind'],
  rows: number,
): HubTokens {
  const tokens: string[] = Array.from({ length: rows }, () => '')
  const types: number[] = Array.from({ length: rows }, () => TOKEN_TYPE.unused)
  const idOf = new Map<string, number>()
  const bytes = (kind === 'spm' || kind === 'unigram') && model.flag('byte_fallback') === true
  for (const [text, id] of kind === 'unigram' ? listed(model) : mapped(model)) {
    if (id >= rows)
      throw new ModelFileError('tokenizer.json', `token ${id} has no row among the ${rows} of the embedding`)
    if (types[id] !== TOKEN_TYPE.unused) throw new TokenizerDataError(`two tokens have the id ${id}`)
    tokens[id] = text
    types[id] = bytes && BYTE_PIECE.test(text) ? TOKEN_TYPE.byte : TOKEN_TYPE.normal
    idOf.set(text, id)
  }
  const left: number[] = []
  const right: number[] = []
  addTokens({ tokens, types, idOf, left, right }, file.list('added_tokens') ?? [])
  const named = model.has('unk_id') ? model.count('unk_id', 0, rows - 1) : undefined
  const unk = named ?? idOf.get(model.text('unk_token') ?? '') ?? null
  if (unk !== null) types[unk] = TOKEN_TYPE.unknown
  return { tokens, types, idOf, left, right, unk }
}

interface OpenTable {
  readonly tokens: string[]
  readonly types: number[]
  readonly idOf: Map<string, number>
  readonly left: number[]
  readonly right: number[]
}

/** Puts added tokens, as `added_tokens` lists them, into a table. @throws TokenizerDataError, UnsupportedModelError */
export function addTokens({ tokens, types, idOf, left, right }: OpenTable, entries: readonly unknown[]): void {
  for (const entry of entries) {
    const token = addedToken(jsonObject(entry, 'added_tokens'))
    // Tokens of other parts of a model, such as images, may have no row: nothing can become them.
    if (token.id >= tokens.length) continue
    // Byte tokens that were added so that training keeps them are still what uncovered bytes become.
    const stays = types[token.id] === TOKEN_TYPE.byte && tokens[token.id] === token.text
    tokens[token.id] = token.text
    if (!stays) types[token.id] = token.special ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined
    idOf.set(token.text, token.id)
    if (token.left) left.push(token.id)
    if (token.right) right.push(token.id)
  }
}

function mapped(model: JsonObject): (readonly [text: string, id: number])[] {
  const vocab = model.object('vocab')
  if (vocab === undefined) throw new TokenizerDataError('tokenizer.json has no vocabulary')
  return Array.from(vocab.keys(), (text) => [text, vocab.count(text, 0, MAX_VOCABULARY)])
}

function listed(model: JsonObject): (readonly [text: string, id: number])[] {
  return unigramPieces(model).map(([text], id) => [text, id])
}

interface AddedToken {
  readonly id: number
  readonly text: string
  readonly special: boolean
  readonly left: boolean
  readonly right: boolean
}

function addedToken(entry: JsonObject): AddedToken {
  const text = entry.text('content')
  if (text === undefined || text === '') throw new TokenizerDataError('an added token has no text')
  if (entry.flag('single_word') === true) {
    throw new UnsupportedModelError(`the added token ${JSON.stringify(text.slice(0, 40))} is to stand alone`, {
      why: 'weft has no tokens that count as single words only',
    })
  }
  return {
    id: entry.count('id', 0, MAX_VOCABULARY),
    text,
    special: entry.flag('special') === true,
    left: entry.flag('lstrip') === true,
    right: entry.flag('rstrip') === true,
  }
}
