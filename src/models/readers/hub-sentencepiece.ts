/** A folder with SentencePiece's own `tokenizer.model` and no `tokenizer.json`, as Llama's first ones are. */
import { ModelFileError } from '../errors.ts'
import { TOKEN_TYPE, TOKENIZER_SCHEMA } from '../tokenizer/definition.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import { checkTokenizerDefinition } from './check-tokenizer.ts'
import { chatTemplate } from './hub-chat-template.ts'
import { namedTokens } from './hub-named-tokens.ts'
import { addTokens } from './hub-tokens.ts'
import type { HubTokens } from './hub-tokens.ts'
import { jsonObject } from './json-document.ts'
import type { JsonObject } from './json-document.ts'
import type { ModelFolder } from './model-folder.ts'
import { readSentencePiece } from './sentencepiece-model.ts'
import type { SentencePieceModel } from './sentencepiece-model.ts'

/**
 * @param own `tokenizer_config.json` @param config `config.json` @param rows of the embedding
 * @throws ModelFileError, TokenizerDataError, UnsupportedModelError
 */
export async function sentencePieceTokenizer(
  folder: ModelFolder,
  bytes: Uint8Array,
  own: JsonObject,
  config: JsonObject,
  rows: number,
): Promise<TokenizerDefinition> {
  const model = readSentencePiece(bytes)
  const table = tableOf(model, own, rows)
  const named = await namedTokens(folder, own, config, table)
  const bos = named.bos ?? model.bos
  const eos = named.eos ?? model.eos
  const definition: TokenizerDefinition = {
    schema: TOKENIZER_SCHEMA,
    kind: 'spm',
    pre: 'default',
    tokens: table.tokens,
    types: table.types,
    scores: table.tokens.map((_, id) => model.scores[id] ?? 0),
    ...named,
    bos,
    eos,
    pad: named.pad ?? model.pad,
    // Llama's, Mistral's and Gemma's tokenizers of the hub do, where the file says nothing.
    add_bos: (own.flag('add_bos_token') ?? true) && bos !== null,
    add_eos: (own.flag('add_eos_token') ?? false) && eos !== null,
    add_space_prefix: model.addSpacePrefix,
    ...(table.left.length === 0 ? {} : { strip_left: table.left }),
    ...(table.right.length === 0 ? {} : { strip_right: table.right }),
    chat_template: await chatTemplate(folder, own),
  }
  checkTokenizerDefinition(definition)
  return definition
}

/** Pieces, and behind or among them the tokens that `tokenizer_config.json` adds, by their ids. */
function tableOf(model: SentencePieceModel, own: JsonObject, rows: number): HubTokens {
  if (model.tokens.length > rows) {
    throw new ModelFileError(
      'tokenizer.model',
      `it has ${model.tokens.length} pieces for ${rows} rows of the embedding`,
    )
  }
  const tokens = Array.from({ length: rows }, (_, id) => model.tokens[id] ?? '')
  const types = Array.from({ length: rows }, (_, id) => model.types[id] ?? TOKEN_TYPE.unused)
  const idOf = new Map(model.tokens.map((text, id) => [text, id]))
  idOf.delete('')
  const table = { tokens, types, idOf, left: [], right: [] }
  const added = own.object('added_tokens_decoder')
  const entries = Array.from(added?.keys() ?? [], (id) => {
    const entry = jsonObject(added?.raw(id), 'added_tokens_decoder')
    return { ...Object.fromEntries([...entry.keys()].map((key) => [key, entry.raw(key)])), id: Number(id) }
  })
  addTokens(table, entries)
  if (model.unk !== null) types[model.unk] = TOKEN_TYPE.unknown
  return { ...table, unk: model.unk }
}
