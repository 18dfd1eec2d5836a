/** What is put around a text: the token that begins it, the one that ends it, or neither. */
import { UnsupportedModelError } from '../errors.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import type { NamedTokens } from './hub-named-tokens.ts'
import type { HubTokens } from './hub-tokens.ts'
import { jsonObject } from './json-document.ts'
import type { JsonObject } from './json-document.ts'

/** One token before and one behind, which stand in the step itself. */
const AROUND: ReadonlySet<string> = new Set(['BertProcessing', 'RobertaProcessing'])

type Frame = Pick<TokenizerDefinition, 'bos' | 'eos' | 'add_bos' | 'add_eos'>

/**
 * The template of `tokenizer.json`; where it has none, what `tokenizer_config.json` says.
 * @throws UnsupportedModelError when the template has anything but one token before the text, and `eos` behind it
 */
export function frameOf(file: JsonObject, own: JsonObject, named: NamedTokens, table: HubTokens): Frame {
  const { bos, eos } = named
  const steps = stepsOf(file.raw('post_processor'))
  const template = steps.find((step) => step.text('type') === 'TemplateProcessing')
  const around = steps.find((step) => AROUND.has(step.text('type') ?? ''))
  const strange = steps.find((step) => ![template, around].includes(step) && step.text('type') !== 'ByteLevel')
  if (strange !== undefined || (around !== undefined && template !== undefined)) throw notSupported()
  if (around !== undefined) {
    const [first, last] = [namedId(around, 'cls', table), namedId(around, 'sep', table)]
    return { bos: first, eos: last, add_bos: true, add_eos: true }
  }
  if (template === undefined) {
    const says = (key: string, token: number | null): boolean => own.flag(key) === true && token !== null
    return { bos, eos, add_bos: says('add_bos_token', bos), add_eos: says('add_eos_token', eos) }
  }
  const pieces = (template.list('single') ?? []).map((piece) => jsonObject(piece, 'post_processor'))
  const text = pieces.findIndex((piece) => piece.has('Sequence'))
  const before = pieces.slice(0, text).map((piece) => idOf(piece, table))
  const after = pieces.slice(text + 1).map((piece) => idOf(piece, table))
  const [first] = before
  const [last] = after
  if (text < 0 || before.length > 1 || after.length > 1 || first === null || last === null) throw notSupported()
  // Encoders of BERT's kind call it `sep_token`, and have none that is called `eos_token`.
  const end = eos ?? last ?? null
  if (last !== undefined && last !== end) throw notSupported()
  return { bos: first ?? bos, eos: end, add_bos: first !== undefined, add_eos: last !== undefined }
}

function stepsOf(value: unknown): JsonObject[] {
  if (value === undefined) return []
  const step = jsonObject(value, 'post_processor')
  if (step.text('type') !== 'Sequence') return [step]
  return (step.list('processors') ?? []).map((inner) => jsonObject(inner, 'post_processor'))
}

/** `[text, id]`. */
function namedId(step: JsonObject, key: string, { idOf }: HubTokens): number {
  const [text, id] = step.list(key) ?? []
  if (typeof text === 'string' && idOf.get(text) === id) return id as number
  throw notSupported()
}

function idOf(piece: JsonObject, { idOf }: HubTokens): number | null {
  return idOf.get(piece.object('SpecialToken')?.text('id') ?? '') ?? null
}

function notSupported(): UnsupportedModelError {
  return new UnsupportedModelError('the post-processor of tokenizer.json is not supported', {
    why: 'weft puts one token before a text, one behind it, or none',
  })
}
