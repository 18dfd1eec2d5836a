/** Laws that every tokenizer definition keeps; one that breaks them would fail, or lie, in the middle of a text. */
import { TokenizerDataError } from '../errors.ts'
import { TOKEN_TYPE } from '../tokenizer/definition.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'

const BYTE_PIECE = /^<0x[0-9A-F]{2}>$/
const TYPES: ReadonlySet<number> = new Set(Object.values(TOKEN_TYPE))
/** Templates have up to 30 KB; a longer one is not read by anybody. */
const MAX_TEMPLATE = 1 << 18

/** @throws TokenizerDataError */
export function checkTokenizerDefinition(definition: TokenizerDefinition): void {
  const { tokens, types, kind, chat_template } = definition
  if (tokens.length === 0) throw new TokenizerDataError('the tokenizer has no tokens')
  if (types.length !== tokens.length) {
    throw new TokenizerDataError(`the tokenizer has ${tokens.length} tokens and ${types.length} token types`)
  }
  const strange = types.findIndex((type) => !TYPES.has(type))
  if (strange >= 0) throw new TokenizerDataError(`token ${strange} has a type ${types[strange]} that does not exist`)
  if (chat_template !== null && chat_template.length > MAX_TEMPLATE) {
    throw new TokenizerDataError(`the chat template has ${chat_template.length} characters, over ${MAX_TEMPLATE}`)
  }
  checkIds(definition)
  if (kind === 'spm' || kind === 'unigram') checkBytes(definition)
  if ((kind === 'spm' && definition.merges === undefined) || kind === 'unigram') checkPieces(definition)
  else if (kind !== 'wordpiece') checkMerges(definition)
}

function checkIds(definition: TokenizerDefinition): void {
  for (const name of ['bos', 'eos', 'unk', 'pad', 'eot'] as const) {
    const id = definition[name] ?? null
    if (id === null || (Number.isInteger(id) && id >= 0 && id < definition.tokens.length)) continue
    throw new TokenizerDataError(`the ${name} token ${id} is not among the ${definition.tokens.length} tokens`)
  }
  if (definition.add_bos && definition.bos === null)
    throw new TokenizerDataError('texts begin with bos, but there is none')
  if (definition.add_eos && definition.eos === null)
    throw new TokenizerDataError('texts end with eos, but there is none')
}

function checkPieces(definition: TokenizerDefinition): void {
  const { tokens, scores } = definition
  if (scores === undefined || scores.length !== tokens.length) {
    throw new TokenizerDataError(`the tokenizer has ${tokens.length} tokens and ${scores?.length ?? 'no'} scores`)
  }
  const bad = scores.findIndex((score) => !Number.isFinite(score))
  if (bad >= 0) throw new TokenizerDataError(`the score of token ${bad} is not a number`)
}

function checkBytes({ tokens, types, unk }: TokenizerDefinition): void {
  const bytes = new Set<string>()
  for (const [id, type] of types.entries()) {
    if (type !== TOKEN_TYPE.byte) continue
    const piece = tokens[id]!
    if (!BYTE_PIECE.test(piece)) {
      throw new TokenizerDataError(`token ${id}, ${JSON.stringify(piece.slice(0, 40))}, is to be a byte and is not`)
    }
    bytes.add(piece)
  }
  if (bytes.size !== 256 && (bytes.size > 0 || unk === null)) {
    throw new TokenizerDataError(`the tokenizer has ${bytes.size} of 256 byte tokens: not every text could be written`)
  }
}

function checkMerges(definition: TokenizerDefinition): void {
  const { tokens, merges } = definition
  if (merges === undefined) throw new TokenizerDataError('the tokenizer has no merges')
  const known = new Set(tokens)
  for (const [rank, merge] of merges.entries()) {
    // The first character may itself be a space in files whose alphabet is not GPT-2's.
    const cut = merge.indexOf(' ', 1)
    const left = merge.slice(0, cut)
    const right = merge.slice(cut + 1)
    if (cut < 0 || right === '') throw new TokenizerDataError(`merge ${rank} is not a pair`)
    const missing = [left, right, left + right].find((piece) => !known.has(piece))
    if (missing === undefined) continue
    throw new TokenizerDataError(`merge ${rank} speaks of ${JSON.stringify(missing.slice(0, 40))}, which is no token`)
  }
}
