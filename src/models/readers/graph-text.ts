/** What stands beside an ONNX file that reads text: its tokenizer, its context, and how rows become a vector. */
import type { EncoderText, GraphText } from '../graph/text.ts'
import type { RecognisedText } from '../graph/recognise-text.ts'
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import { createTokenizer } from '../tokenizer/tokenizer.ts'
import { hubTokenizer } from './hub-tokenizer.ts'
import { jsonObject } from './json-document.ts'
import type { JsonObject } from './json-document.ts'
import { MAX_CONTEXT, MAX_VOCABULARY, MAX_WIDTH } from './limits.ts'
import { openModelFolder } from './model-folder.ts'
import type { ModelFolder } from './model-folder.ts'
import { sentencePooling } from './sentence-modules.ts'

type WithoutTokenizer<Text> = Text extends GraphText ? Omit<Text, 'tokenizer'> : never

export interface ReadText {
  readonly text: WithoutTokenizer<GraphText>
  readonly tokenizer: TokenizerDefinition
}

const MAX_CONFIG_BYTES = 1 << 20
const MAX_TOKENIZER_BYTES = 1 << 27
/** What every tokenizer must be able to take: letters, digits, signs, another script. */
const TRIAL_TEXT = 'One, 2 \u2014 \u4f60\u597d.\n'
const POSITION_KEYS = ['max_position_embeddings', 'n_positions', 'n_ctx', 'max_seq_len', 'seq_length'] as const
const WIDTH_KEYS = ['hidden_size', 'd_model', 'dim', 'n_embd'] as const
/** Their tables of positions begin behind the padding token's id. */
const OFFSET_POSITIONS: ReadonlySet<string> = new Set([
  'roberta',
  'xlm-roberta',
  'xlm-roberta-xl',
  'camembert',
  'mpnet',
  'longformer',
  'ibert',
  'data2vec-text',
])

/** @param path the folder that has `tokenizer.json`. @throws ModelFileError, UnsupportedModelError, TokenizerDataError */
export async function readGraphText(path: string, graph: RecognisedText): Promise<ReadText> {
  const folder = await openModelFolder(path)
  const outer = (await folder.json('config.json', MAX_CONFIG_BYTES)) ?? jsonObject({}, 'config.json')
  const config = outer.object('text_config') ?? outer
  const tokenizer = await hubTokenizer(folder, config, await rowsOf(folder, config))
  // A definition may keep all laws and still be none that text can be cut with.
  createTokenizer(tokenizer).encode(TRIAL_TEXT)
  const context = await contextOf(folder, config, tokenizer)
  if (graph.kind === 'decoder') {
    const { kind, logits, carried } = graph
    return { text: { kind, context, logits, carried }, tokenizer }
  }
  return { text: await encoderText(folder, config, graph, context), tokenizer }
}

async function encoderText(
  folder: ModelFolder,
  config: JsonObject,
  graph: RecognisedText & { readonly kind: 'encoder' },
  context: number,
): Promise<Omit<EncoderText, 'tokenizer'>> {
  const { kind, output, pooled, fixed } = graph
  const said = await sentencePooling(folder)
  const width = WIDTH_KEYS.find((key) => config.has(key))
  const dimensions = graph.dimensions ?? (width === undefined ? undefined : config.count(width, 1, MAX_WIDTH))
  if (dimensions === undefined) throw new ModelFileError('config.json: hidden_size', 'it is missing')
  if (pooled) {
    return { kind, context: Math.min(context, fixed ?? context), dimensions, pooling: 'none', ...normal(said, output) }
  }
  if (said?.more !== undefined) {
    throw new UnsupportedModelError(`the module ${JSON.stringify(said.more.slice(0, 80))} of this encoder is not run`, {
      why: 'weft pools the rows of the graph, and divides by the length',
      hint: 'Export it with its sentence_embedding as an output.',
    })
  }
  const pooling = said?.pooling ?? 'mean'
  return { kind, context: Math.min(context, fixed ?? context), dimensions, pooling, ...normal(said, output) }
}

/** Where nothing is said, as with OpenAI: vectors have the length 1. */
function normal(
  said: { readonly normalize: boolean } | null,
  output: string,
): Pick<EncoderText, 'normalize' | 'output'> {
  return { normalize: said?.normalize ?? true, output }
}

/** Rows of the embedding: what the configuration says, or as many as the vocabulary has. */
async function rowsOf(folder: ModelFolder, config: JsonObject): Promise<number> {
  if (config.has('vocab_size')) return config.count('vocab_size', 1, MAX_VOCABULARY)
  const file = await folder.json('tokenizer.json', MAX_TOKENIZER_BYTES)
  const model = file?.object('model')
  let most = 0
  const entries = model?.raw('vocab')
  if (Array.isArray(entries)) most = entries.length
  else {
    const vocabulary = model?.object('vocab')
    for (const token of vocabulary?.keys() ?? []) most = Math.max(most, vocabulary!.count(token, 0, MAX_VOCABULARY) + 1)
  }
  for (const added of file?.list('added_tokens') ?? []) {
    most = Math.max(most, jsonObject(added, 'tokenizer.json: added_tokens').count('id', 0, MAX_VOCABULARY) + 1)
  }
  return Math.min(most, MAX_VOCABULARY)
}

/** The least of what the files say. @throws UnsupportedModelError when none of them does */
async function contextOf(folder: ModelFolder, config: JsonObject, tokenizer: TokenizerDefinition): Promise<number> {
  const said: number[] = []
  const take = (file: JsonObject | null, key: string, offset = 0): void => {
    const value = file?.raw(key)
    // A tokenizer without a bound is given 10^30 by the library that writes the file.
    if (typeof value === 'number' && Number.isInteger(value) && value > offset && value - offset <= MAX_CONTEXT)
      said.push(value - offset)
  }
  const offset = OFFSET_POSITIONS.has(config.text('model_type') ?? '') ? (tokenizer.pad ?? 1) + 1 : 0
  for (const key of POSITION_KEYS) take(config, key, offset)
  take(await folder.json('tokenizer_config.json', MAX_CONFIG_BYTES * 8), 'model_max_length')
  take(await folder.json('sentence_bert_config.json', MAX_CONFIG_BYTES), 'max_seq_length')
  const least = Math.min(...said)
  if (Number.isFinite(least)) return least
  throw new UnsupportedModelError('how many tokens this model takes is not said', {
    why: 'neither config.json nor tokenizer_config.json has it',
    hint: 'Put config.json, with max_position_embeddings, beside the tokenizer.',
  })
}
