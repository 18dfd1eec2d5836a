/** GGUF's tokenizer keys as a tokenizer definition, with llama.cpp's defaults where a file is silent. */
import type { Architecture } from '../architectures/index.ts'
import { UnsupportedModelError } from '../errors.ts'
import { TOKEN_TYPE, TOKENIZER_SCHEMA } from '../tokenizer/definition.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import { checkTokenizerDefinition } from './check-tokenizer.ts'
import { TokenizerDataError } from '../errors.ts'
import type { MetadataAccess } from './metadata-access.ts'

/** Pre-tokenizers whose models begin every text with `bos`, also where the file does not say so (llama-vocab.cpp). */
const PRE_WITH_BOS: ReadonlySet<string> = new Set([
  'llama3',
  'llama-v3',
  'llama-bpe',
  'falcon3',
  'pixtral',
  'tekken',
  'chameleon',
])
/** Control tokens that end a turn or a text by their name (llama-vocab.cpp has the same list). */
const END_NAMES = [
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '<|end_of_text|>',
  '<EOT>',
] as const

/** @throws TokenizerDataError, UnsupportedModelError, ModelFileError */
export function ggufTokenizer(
  metadata: MetadataAccess,
  architecture: Pick<Architecture, 'ggufTokensTakeSpace'> = {},
): TokenizerDefinition {
  const kind = kindOf(metadata)
  const tokens = metadata.texts('tokenizer.ggml.tokens')
  if (tokens === undefined) throw new TokenizerDataError('tokenizer.ggml.tokens is missing')
  const types = metadata.numbers('tokenizer.ggml.token_type')
  const pre = metadata.text('tokenizer.ggml.pre') ?? 'default'
  const scores = metadata.numbers('tokenizer.ggml.scores')
  const merges = metadata.texts('tokenizer.ggml.merges')
  const spm = kind === 'spm'
  const id = (name: string, fallback: number | null): number | null => {
    const key = `tokenizer.ggml.${name}_token_id`
    return metadata.has(key) ? metadata.count(key, 0, tokens.length - 1) : fallback
  }
  const eos = id('eos', spm ? 2 : null)
  const typeList = types === undefined ? tokens.map(() => TOKEN_TYPE.normal) : [...types]
  const eot = id('eot', endOfTurn(tokens, typeList, eos))
  const definition: TokenizerDefinition = {
    schema: TOKENIZER_SCHEMA,
    kind,
    pre,
    tokens,
    types: typeList,
    ...(spm && scores !== undefined ? { scores: [...scores] } : {}),
    ...(!spm && merges !== undefined ? { merges } : {}),
    bos: id('bos', spm ? 1 : null),
    eos,
    unk: id('unknown', spm ? 0 : null),
    pad: id('padding', null),
    ...(eot === null ? {} : { eot }),
    add_bos: metadata.flag('tokenizer.ggml.add_bos_token') ?? (spm || PRE_WITH_BOS.has(pre)),
    add_eos: metadata.flag('tokenizer.ggml.add_eos_token') ?? false,
    add_space_prefix: metadata.flag('tokenizer.ggml.add_space_prefix') ?? spm,
    chat_template: metadata.text('tokenizer.chat_template') ?? null,
    ...(spm && architecture.ggufTokensTakeSpace === true ? { strip_right: takingSpace(tokens, typeList) } : {}),
  }
  checkTokenizerDefinition(definition)
  return definition
}

/** All control tokens but those that begin or pad a text (llama-vocab.cpp has the same exceptions). */
function takingSpace(tokens: readonly string[], types: readonly number[]): number[] {
  const plain = new Set(['<unk>', '<s>', '<|endoftext|>'])
  return [...tokens.keys()].filter((id) => types[id] === TOKEN_TYPE.control && !plain.has(tokens[id]!))
}

function kindOf(metadata: MetadataAccess): TokenizerDefinition['kind'] {
  const model = metadata.text('tokenizer.ggml.model')
  if (model === undefined) throw new TokenizerDataError('the file has no tokenizer: tokenizer.ggml.model is missing')
  if (model === 'gpt2') return 'bpe'
  if (model === 'llama') return 'spm'
  throw new UnsupportedModelError(`tokenizer ${JSON.stringify(model.slice(0, 40))} is not supported`, {
    why: 'weft has byte-level BPE (gpt2) and SentencePiece BPE (llama)',
  })
}

function endOfTurn(tokens: readonly string[], types: readonly number[], eos: number | null): number | null {
  for (const name of END_NAMES) {
    const id = tokens.indexOf(name)
    if (id >= 0 && id !== eos && types[id] === TOKEN_TYPE.control) return id
  }
  return null
}
