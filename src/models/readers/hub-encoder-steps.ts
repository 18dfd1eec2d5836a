/** How a `tokenizer.json` of WordPiece or Unigram makes texts ready and cuts them; what is not understood is refused. */
import { TokenizerDataError, UnsupportedModelError } from '../errors.ts'
import type { NormalStep, TokenizerDefinition } from '../tokenizer/definition.ts'
import { MAX_WORD } from '../tokenizer/limits.ts'
import { SPACE_MARK } from '../tokenizer/vocabulary.ts'
import { jsonObject } from './json-document.ts'
import type { JsonObject } from './json-document.ts'

export type EncoderSteps = Pick<
  TokenizerDefinition,
  'kind' | 'pre' | 'add_space_prefix' | 'normalizers' | 'words' | 'metaspace' | 'wordpiece' | 'scores'
>

const MAX_STEPS = 32
const FORMS = ['NFC', 'NFD', 'NFKC', 'NFKD'] as const
/** As SentencePiece's converter writes it. */
const SPACES = ' {2,}'

/** Null where the model is neither. @throws TokenizerDataError, UnsupportedModelError */
export function encoderSteps(tokenizer: JsonObject): EncoderSteps | null {
  const model = tokenizer.object('model')
  const type = model?.text('type') ?? 'none'
  if (model === undefined || (type !== 'WordPiece' && type !== 'Unigram')) return null
  const common = {
    pre: 'default',
    add_space_prefix: false,
    normalizers: sequence(tokenizer.raw('normalizer'), 'normalizer', 'normalizers').map(normalStep),
    ...cutting(sequence(tokenizer.raw('pre_tokenizer'), 'pre_tokenizer', 'pretokenizers')),
  }
  if (type === 'Unigram') return { kind: 'unigram', ...common }
  const wordpiece = {
    inner: model.text('continuing_subword_prefix') ?? '##',
    longest: model.count('max_input_chars_per_word', 1, MAX_WORD, 100),
  }
  return { kind: 'wordpiece', ...common, wordpiece }
}

function sequence(value: unknown, where: string, member: string): JsonObject[] {
  if (value === undefined) return []
  const step = jsonObject(value, where)
  if (step.text('type') !== 'Sequence') return [step]
  return (step.list(member) ?? []).slice(0, MAX_STEPS + 1).flatMap((inner) => {
    const one = jsonObject(inner, where)
    if (one.text('type') === 'Sequence') throw notUnderstood([one])
    return [one]
  })
}

function normalStep(step: JsonObject): NormalStep {
  const type = step.text('type')
  const form = FORMS.find((name) => name === type)
  if (form !== undefined) return { kind: 'form', form }
  switch (type) {
    case 'BertNormalizer': {
      const lower = step.flag('lowercase') ?? true
      return {
        kind: 'bert',
        clean: step.flag('clean_text') ?? true,
        ideographs: step.flag('handle_chinese_chars') ?? true,
        accents: step.flag('strip_accents') ?? lower,
        lower,
      }
    }
    case 'Precompiled': {
      const map = step.text('precompiled_charsmap')
      if (map === undefined) throw new TokenizerDataError('the map of characters of tokenizer.json is missing')
      return { kind: 'charsmap', map }
    }
    case 'Lowercase':
      return { kind: 'lowercase' }
    case 'Strip':
      return { kind: 'strip', left: step.flag('strip_left') ?? true, right: step.flag('strip_right') ?? true }
    case 'Replace': {
      const pattern = step.object('pattern')
      const to = step.text('content')
      const from = pattern?.text('String')
      if (pattern?.text('Regex') === SPACES && to === ' ') return { kind: 'squeeze' }
      if (from !== undefined && from !== '' && to !== undefined) return { kind: 'replace', from, to }
      throw notUnderstood([step])
    }
    default:
      throw notUnderstood([step])
  }
}

function cutting(steps: readonly JsonObject[]): Pick<TokenizerDefinition, 'words' | 'metaspace'> {
  const [first, second, ...more] = steps
  if (first === undefined || more.length > 0) throw notUnderstood(steps)
  const type = first.text('type')
  if (second === undefined && type === 'BertPreTokenizer') return { words: 'bert' }
  if (second === undefined && type === 'WhitespaceSplit') return { words: 'blanks' }
  const meta = second ?? first
  if (meta.text('type') !== 'Metaspace' || (second !== undefined && type !== 'WhitespaceSplit'))
    throw notUnderstood(steps)
  const scheme = meta.text('prepend_scheme') ?? (meta.flag('add_prefix_space') === false ? 'never' : 'always')
  if ((meta.text('replacement') ?? SPACE_MARK) !== SPACE_MARK || (scheme !== 'never' && scheme !== 'always'))
    throw notUnderstood(steps)
  const metaspace = { prefix: scheme === 'always', split: meta.flag('split') ?? true }
  return second === undefined ? { metaspace } : { words: 'blanks', metaspace }
}

function notUnderstood(steps: readonly JsonObject[]): UnsupportedModelError {
  const names = steps.map((step) => JSON.stringify((step.text('type') ?? 'none').slice(0, 40)))
  return new UnsupportedModelError(`the steps ${names.join(', ')} of tokenizer.json are not supported`, {
    why: "weft has BERT's, and SentencePiece's with its map of characters",
  })
}

/** A score a row; what is no piece has the worst. @throws TokenizerDataError */
export function unigramScores(model: JsonObject, rows: number): number[] {
  const scores = unigramPieces(model).map(([, score]) => score)
  const worst = scores.reduce((least, score) => Math.min(least, score), Infinity)
  return Array.from({ length: rows }, (_, id) => scores[id] ?? worst)
}

/** `[piece, score]` each, by id. @throws TokenizerDataError */
export function unigramPieces(model: JsonObject): (readonly [text: string, score: number])[] {
  return (model.list('vocab') ?? []).map((entry, id) => {
    const pair: readonly unknown[] = Array.isArray(entry) ? entry : []
    const [text, score] = pair
    if (pair.length === 2 && typeof text === 'string' && typeof score === 'number') return [text, score]
    throw new TokenizerDataError(`token ${id} is no piece with a score`)
  })
}
