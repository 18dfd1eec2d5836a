/** How a `tokenizer.json` normalises and cuts texts, as a tokenizer definition says it; what is not understood is refused. */
import { TokenizerDataError, UnsupportedModelError } from '../errors.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import { SPACE_MARK } from '../tokenizer/vocabulary.ts'
import { jsonObject } from './json-document.ts'
import type { JsonObject } from './json-document.ts'

/** What of the definition the two steps decide. */
export type TextSteps = Pick<
  TokenizerDefinition,
  'kind' | 'pre' | 'add_space_prefix' | 'space_prefix' | 'normal_form' | 'unknown_apart'
>

const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'
const LEAD = '[^\\r\\n\\p{L}\\p{N}]?'
const ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const REST = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const gpt4 = (digits: string): string => `${ENDINGS}|${LEAD}\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${REST}`
const cased = (digits: string, endings: string): string =>
  `${LEAD}${UPPER}*${LOWER}+${endings}|${LEAD}${UPPER}+${LOWER}*${endings}|${digits}` +
  `| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${REST}`

/** Patterns that byte-level tokenizers of the hub are cut by, under GGUF's names; `whole`: with `ignore_merges`. */
const PATTERNS: ReadonlyMap<string, { readonly pre: string; readonly whole: boolean }> = new Map(
  [
    { pattern: gpt4('\\p{N}{1,3}'), pre: 'llama-bpe', whole: true },
    { pattern: gpt4('\\p{N}{1,3}'), pre: 'dbrx', whole: false },
    { pattern: gpt4('\\p{N}'), pre: 'qwen2', whole: false },
    { pattern: cased('\\p{N}{1,3}', `${ENDINGS}?`), pre: 'gpt-4o', whole: false },
    { pattern: cased('\\p{N}', ''), pre: 'tekken', whole: true },
  ].map((known) => [`${known.whole}/${known.pattern}`, known]),
)

const NORMAL_FORMS = ['NFC', 'NFD', 'NFKC', 'NFKD'] as const

/** @throws TokenizerDataError, UnsupportedModelError */
export function textSteps(tokenizer: JsonObject, model: JsonObject): TextSteps {
  const normalizers = sequence(tokenizer.raw('normalizer'), 'normalizer', 'normalizers')
  const cutters = sequence(tokenizer.raw('pre_tokenizer'), 'pre_tokenizer', 'pretokenizers')
  const forms = normalizers.filter((step) => NORMAL_FORMS.some((form) => form === typeOf(step)))
  const others = normalizers.filter((step) => !forms.includes(step))
  if (forms.length > 1) throw notUnderstood('normalizers', forms)
  const form = NORMAL_FORMS.find((name) => name === (forms[0] && typeOf(forms[0])))
  const normal = form === undefined ? {} : { normal_form: form }
  if (cutters.some((step) => typeOf(step) === 'ByteLevel')) {
    if (others.length > 0) throw notUnderstood('normalizers', others)
    // Before each piece of text between special tokens that has none; with patterns before it, before each word.
    const prefixed = cutters.length === 1 && cutters[0]!.flag('add_prefix_space') !== false
    return {
      kind: 'bpe',
      pre: byteLevel(cutters, model.flag('ignore_merges') === true, prefixed),
      ...(prefixed ? { add_space_prefix: true, space_prefix: 'metaspace' } : { add_space_prefix: false }),
      ...normal,
    }
  }
  // Bytes leave nothing unknown.
  const apart = model.flag('fuse_unk') !== true && model.flag('byte_fallback') !== true
  const unknown = apart ? ({ unknown_apart: true } as const) : {}
  return { kind: 'spm', pre: 'default', ...marked(others, cutters, model), ...unknown, ...normal }
}

function typeOf(step: JsonObject): string {
  return step.text('type') ?? 'none'
}

/** A step, or the steps of a Sequence, which are not sequences again. */
function sequence(value: unknown, where: string, member: string): JsonObject[] {
  if (value === undefined) return []
  const step = jsonObject(value, where)
  if (typeOf(step) !== 'Sequence') return [step]
  return (step.list(member) ?? []).map((inner) => jsonObject(inner, where))
}

/** Of byte-level BPE: the name of the recipe that cuts as these steps do. */
function byteLevel(steps: readonly JsonObject[], whole: boolean, prefixed: boolean): string {
  const last = steps.at(-1)!
  const before = steps.slice(0, -1)
  const regex = last.flag('use_regex') !== false
  if (typeOf(last) !== 'ByteLevel' || (last.flag('add_prefix_space') !== false && !prefixed))
    throw notUnderstood('pre-tokenizers', steps)
  const [first] = before
  if (regex && first === undefined && !whole) return 'gpt-2'
  if (before.length === 1 && first !== undefined) {
    const digits = typeOf(first) === 'Digits' && first.flag('individual_digits') === true
    if (regex && digits && !whole) return 'smollm'
    const known = regex ? undefined : PATTERNS.get(`${whole}/${splitPattern(first)}`)
    if (known !== undefined) return known.pre
  }
  throw notUnderstood('pre-tokenizers', steps)
}

function splitPattern(step: JsonObject): string {
  const sound = typeOf(step) === 'Split' && step.text('behavior') === 'Isolated' && step.flag('invert') !== true
  return (sound ? step.object('pattern')?.text('Regex') : undefined) ?? ''
}

/** Of SentencePiece's kin: spaces become marks, and one may go in front. */
function marked(
  normalizers: readonly JsonObject[],
  cutters: readonly JsonObject[],
  model: JsonObject,
): Pick<TextSteps, 'add_space_prefix' | 'space_prefix'> {
  if (model.flag('ignore_merges') === true)
    throw new UnsupportedModelError('ignore_merges without bytes is not supported')
  const prepends = normalizers.filter((step) => typeOf(step) === 'Prepend' && step.text('prepend') === SPACE_MARK)
  const replaces = normalizers.filter(replacesSpaces)
  const metaspace = cutters.filter((step) => typeOf(step) === 'Metaspace')
  const harmless = replaces.length > 0 ? cutters.filter(splitsAtSpaces) : []
  const [meta] = metaspace
  const known =
    normalizers.length === prepends.length + replaces.length && cutters.length === metaspace.length + harmless.length
  const once = prepends.length <= 1 && replaces.length <= 1 && metaspace.length <= 1
  if (!known || !once || (replaces.length === 0 && meta === undefined) || (prepends.length > 0 && meta !== undefined)) {
    throw notUnderstood('steps', [...normalizers, ...cutters])
  }
  if (meta === undefined) return { add_space_prefix: prepends.length > 0 }
  if ((meta.text('replacement') ?? SPACE_MARK) !== SPACE_MARK) throw notUnderstood('pre-tokenizers', cutters)
  if (meta.flag('split') !== false) checkWords(model)
  const scheme = meta.text('prepend_scheme') ?? (meta.flag('add_prefix_space') === false ? 'never' : 'always')
  if (scheme === 'never') return { add_space_prefix: false }
  if (scheme === 'always') return { add_space_prefix: true, space_prefix: 'metaspace' }
  if (scheme === 'first') return { add_space_prefix: true, space_prefix: 'metaspace-first' }
  throw notUnderstood('pre-tokenizers', cutters)
}

function replacesSpaces(step: JsonObject): boolean {
  const from = typeOf(step) === 'Replace' ? step.object('pattern')?.text('String') : undefined
  return from === ' ' && step.text('content') === SPACE_MARK
}

/** After the spaces are marks there is nothing to split at. */
function splitsAtSpaces(step: JsonObject): boolean {
  return typeOf(step) === 'Split' && step.object('pattern')?.text('String') === ' '
}

/** Cut into words, each with one mark in front, a text has no token with a mark elsewhere: then whole is the same. */
function checkWords(model: JsonObject): void {
  for (const piece of model.object('vocab')?.keys() ?? []) {
    if (piece.lastIndexOf(SPACE_MARK) > 0) {
      throw new UnsupportedModelError('a Metaspace that splits is not supported with tokens that go across words')
    }
  }
}

function notUnderstood(what: string, steps: readonly JsonObject[]): UnsupportedModelError {
  const names = steps.map((step) => JSON.stringify(typeOf(step).slice(0, 40)))
  return new UnsupportedModelError(`the ${what} ${names.join(', ')} of tokenizer.json are not supported together`, {
    why: 'weft has byte-level BPE with the patterns of GPT-2, SmolLM, Llama 3, Qwen 2, GPT-4o and Tekken, and SentencePiece BPE',
  })
}

/** @throws TokenizerDataError, UnsupportedModelError when it is no BPE, or one with parts that weft does not have */
export function bpeModel(tokenizer: JsonObject): JsonObject {
  const model = tokenizer.object('model')
  if (model === undefined) throw new TokenizerDataError('tokenizer.json has no model')
  const type = model.text('type') ?? (model.has('merges') ? 'BPE' : 'none')
  if (type !== 'BPE') {
    throw new UnsupportedModelError(`a tokenizer of type ${JSON.stringify(type.slice(0, 40))} is not supported`, {
      why: 'weft reads BPE from tokenizer.json',
    })
  }
  const strange = ['continuing_subword_prefix', 'end_of_word_suffix'].find((key) => (model.text(key) ?? '') !== '')
  if (strange !== undefined) throw new UnsupportedModelError(`${strange} of tokenizer.json is not supported`)
  if (model.real('dropout', 0, 1, 0) !== 0)
    throw new UnsupportedModelError('dropout of tokenizer.json is not supported')
  return model
}
