/** `tokenizer.json` and what stands beside it, as a tokenizer definition. */
import { TokenizerDataError, UnsupportedModelError } from '../errors.ts'
import { TOKENIZER_SCHEMA } from '../tokenizer/definition.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import { checkTokenizerDefinition } from './check-tokenizer.ts'
import { chatTemplate } from './hub-chat-template.ts'
import { bpeModel, textSteps } from './hub-pre-tokenizer.ts'
import { encoderSteps, unigramScores } from './hub-encoder-steps.ts'
import { frameOf } from './hub-post-processor.ts'
import { namedTokens } from './hub-named-tokens.ts'
import { sentencePieceTokenizer } from './hub-sentencepiece.ts'
import { hubTokens } from './hub-tokens.ts'
import { jsonObject } from './json-document.ts'
import type { JsonObject } from './json-document.ts'
import type { ModelFolder } from './model-folder.ts'

/** Of 262,144 tokens with half a million merges it has 33 MB. */
const MAX_TOKENIZER_BYTES = 1 << 27
const NO_CONFIG = jsonObject({}, 'tokenizer_config.json')
const MAX_CONFIG_BYTES = 1 << 23

/**
 * @param config `config.json`, or the language model's part of it
 * @param rows of the embedding: the vocabulary is filled up to these
 * @throws ModelFileError, TokenizerDataError, UnsupportedModelError
 */
export async function hubTokenizer(
  folder: ModelFolder,
  config: JsonObject,
  rows: number,
): Promise<TokenizerDefinition> {
  const file = await folder.json('tokenizer.json', MAX_TOKENIZER_BYTES)
  const own = (await folder.json('tokenizer_config.json', MAX_CONFIG_BYTES)) ?? NO_CONFIG
  if (file === null) {
    const pieces = await folder.read('tokenizer.model', MAX_TOKENIZER_BYTES)
    if (pieces !== null) return sentencePieceTokenizer(folder, pieces, own, config, rows)
    throw new UnsupportedModelError('the folder has neither tokenizer.json nor tokenizer.model', {
      hint: 'Save the tokenizer again with transformers, or take the GGUF file of the model.',
    })
  }
  const encoder = encoderSteps(file)
  const model = encoder === null ? bpeModel(file) : file.object('model')!
  const steps = encoder ?? textSteps(file, model)
  const table = hubTokens(file, model, steps.kind, rows)
  const named = await namedTokens(folder, own, config, table)
  const frame = frameOf(file, own, named, table)
  const definition: TokenizerDefinition = {
    schema: TOKENIZER_SCHEMA,
    ...steps,
    tokens: table.tokens,
    types: table.types,
    ...(encoder === null ? { merges: mergesOf(model) } : {}),
    ...(steps.kind === 'unigram' ? { scores: unigramScores(model, rows) } : {}),
    ...named,
    ...frame,
    ...(table.left.length === 0 ? {} : { strip_left: table.left }),
    ...(table.right.length === 0 ? {} : { strip_right: table.right }),
    chat_template: await chatTemplate(folder, own),
  }
  checkTokenizerDefinition(definition)
  return definition
}

/** `left right`, or pairs, which newer files have. */
function mergesOf(model: JsonObject): string[] {
  return (model.list('merges') ?? []).map((merge, rank) => {
    if (typeof merge === 'string') return merge
    const pair: readonly unknown[] = Array.isArray(merge) ? merge : []
    const [left, right] = pair
    // In one string the first space parts them.
    if (pair.length === 2 && typeof left === 'string' && typeof right === 'string' && !left.includes(' ', 1)) {
      return `${left} ${right}`
    }
    throw new TokenizerDataError(`merge ${rank} is not a pair`)
  })
}
