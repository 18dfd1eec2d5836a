/**
 * How each model family cuts a text into words before merging, under the names that GGUF gives it
 * (`tokenizer.ggml.pre`). A pre-tokenizer is a list of patterns: each cuts the pieces of the one before it, what it
 * matches and what lies between become pieces of their own (Hugging Face: `Sequence` of `Split`, `Isolated`).
 */
import { UnknownPreTokenizerError } from './errors.ts'

export interface PreTokenizer {
  /** One after the other, as they are asked for. */
  split(text: string): Iterable<string>
  /** A word that is a token as it stands is not merged (`ignore_merges`). */
  readonly wholeWords: boolean
}

interface Recipe {
  readonly patterns: readonly RegExp[]
  readonly wholeWords?: boolean
}

// \s of the references is Unicode's White_Space; JavaScript's differs at U+0085 and U+FEFF.
const S = '\\p{White_Space}'
const NOT_S = '\\P{White_Space}'

// With i, their s also matches the long s (U+017F), as Unicode folds it.
const ENDINGS_ANY_CASE = "'(?:[sS\u017f]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"
const ENDINGS = "'(?:s|t|re|ve|m|ll|d)"
const LINES_AND_SPACES = `${S}*[\\r\\n]+|${S}+(?!${NOT_S})|${S}+`

const GPT2 = pattern(`${ENDINGS}| ?\\p{L}+| ?\\p{N}+| ?[^${S}\\p{L}\\p{N}]+|${S}+(?!${NOT_S})|${S}+`)
const DIGIT = pattern('\\p{N}')

/** GPT-4's pattern, with digits in groups of at most `digits`. */
function gpt4(digits: string): RegExp {
  return pattern(
    `${ENDINGS_ANY_CASE}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^${S}\\p{L}\\p{N}]+[\\r\\n]*|${LINES_AND_SPACES}`,
  )
}

/** The pattern of GPT-4o and its kin: words also end where capitals begin. `endings` may follow a word. */
function cased(digits: string, endings: string): RegExp {
  const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
  const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'
  const lead = '[^\\r\\n\\p{L}\\p{N}]?'
  return pattern(
    `${lead}${upper}*${lower}+${endings}|${lead}${upper}+${lower}*${endings}|${digits}` +
      `| ?[^${S}\\p{L}\\p{N}]+[\\r\\n/]*|${LINES_AND_SPACES}`,
  )
}

const THREE_DIGITS = '\\p{N}{1,3}'

const PLAIN: Recipe = { patterns: [GPT2] }
const SINGLE_DIGITS: Recipe = { patterns: [DIGIT, GPT2] }
const LLAMA3: Recipe = { patterns: [gpt4(THREE_DIGITS)], wholeWords: true }
const CL100K: Recipe = { patterns: [gpt4(THREE_DIGITS)] }
const QWEN2: Recipe = { patterns: [gpt4('\\p{N}')] }
const GPT4O: Recipe = { patterns: [cased(THREE_DIGITS, `(?:${ENDINGS_ANY_CASE})?`)] }
const TEKKEN: Recipe = { patterns: [cased('\\p{N}', '')], wholeWords: true }

const DEEPSEEK_CODER: Recipe = {
  patterns: [
    pattern('[\\r\\n]'),
    pattern(`${S}?\\p{L}+`),
    pattern(`${S}?\\p{P}+`),
    pattern('[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+'),
    DIGIT,
  ],
}

const DEEPSEEK_V3: Recipe = {
  patterns: [
    pattern(THREE_DIGITS),
    pattern('[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+'),
    pattern(
      '[!"#$%&\'()*+,\\-.\\/:;<=>?@\\[\\\\\\]\\^_`\\{\\|\\}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+' +
        `| ?[\\p{P}\\p{S}]+[\\r\\n]*|${LINES_AND_SPACES}`,
    ),
  ],
}

/** What llama.cpp does with a file that names no pre-tokenizer. */
const DEFAULT: Recipe = {
  patterns: [pattern('[\\p{P}$+<=>\\^~\\|]+'), GPT2, pattern('\\p{N}+'), pattern('[0-9][0-9][0-9]')],
}

const RECIPES: ReadonlyMap<string, Recipe> = new Map([
  ['default', DEFAULT],
  ['gpt-2', PLAIN],
  ['phi-2', PLAIN],
  ['mpt', PLAIN],
  ['olmo', PLAIN],
  ['smollm', SINGLE_DIGITS],
  ['starcoder', SINGLE_DIGITS],
  ['refact', SINGLE_DIGITS],
  ['command-r', SINGLE_DIGITS],
  ['codeshell', SINGLE_DIGITS],
  ['llama-bpe', LLAMA3],
  ['llama3', LLAMA3],
  ['llama-v3', LLAMA3],
  ['falcon3', LLAMA3],
  ['dbrx', CL100K],
  ['smaug-bpe', CL100K],
  ['qwen2', QWEN2],
  ['deepseek-r1-qwen', QWEN2],
  ['stablelm2', QWEN2],
  ['gpt-4o', GPT4O],
  ['tekken', TEKKEN],
  ['deepseek-coder', DEEPSEEK_CODER],
  ['deepseek-v3', DEEPSEEK_V3],
])

/** @throws UnknownPreTokenizerError */
export function preTokenizer(name: string): PreTokenizer {
  const recipe = RECIPES.get(name)
  if (recipe === undefined) throw new UnknownPreTokenizerError(name, [...RECIPES.keys()])
  return {
    wholeWords: recipe.wholeWords ?? false,
    split: (text) => recipe.patterns.reduce<Iterable<string>>(isolate, text === '' ? [] : [text]),
  }
}

function pattern(source: string): RegExp {
  return new RegExp(source, 'gu')
}

function* isolate(pieces: Iterable<string>, matcher: RegExp): Iterable<string> {
  for (const piece of pieces) {
    let done = 0
    for (;;) {
      // Others use the same expression between two words of ours.
      matcher.lastIndex = done
      const match = matcher.exec(piece)
      if (match === null) break
      if (match.index > done) yield piece.slice(done, match.index)
      yield match[0]
      done = match.index + match[0].length
    }
    if (done < piece.length) yield piece.slice(done)
  }
}
