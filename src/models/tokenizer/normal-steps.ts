/** How texts are made ready before they are cut: the steps of a hub tokenizer's normalizer, in their order. */
import { createCharsmap } from './charsmap.ts'
import type { NormalStep, TokenizerDefinition } from './definition.ts'
import { TokenizerDefinitionError } from './errors.ts'
import { MAX_NORMAL_STEPS, MAX_REPLACED } from './limits.ts'
import { CONTROLS, MARKS, normalForm } from './unicode-tables.ts'

export type Normalizer = (text: string) => string

const IDEOGRAPHS =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu
const FORMS: ReadonlySet<string> = new Set(['NFC', 'NFD', 'NFKC', 'NFKD'])

/** @throws TokenizerDefinitionError */
export function createNormalizer({ normalizers = [] }: TokenizerDefinition): Normalizer {
  if (!Array.isArray(normalizers) || normalizers.length > MAX_NORMAL_STEPS)
    throw new TokenizerDefinitionError(`it has no list of at most ${MAX_NORMAL_STEPS} steps before texts are cut`)
  const steps = normalizers.map(stepOf)
  return (text) => steps.reduce((made, step) => step(made), text)
}

function stepOf(step: NormalStep): Normalizer {
  switch (step.kind) {
    case 'bert':
      return bertNormalizer(step)
    case 'charsmap':
      return createCharsmap(step.map)
    case 'form':
      if (!FORMS.has(step.form)) break
      return (text) => normalForm(text, step.form)
    case 'lowercase':
      return lowercase
    case 'strip':
      return (text) => (step.left ? text.replace(/^\p{White_Space}+/u, '') : text).replace(step.right ? LAST : NONE, '')
    case 'squeeze':
      return (text) => text.replaceAll(/ {2,}/g, ' ')
    case 'replace':
      if (!isShort(step.from) || step.from === '' || !isShort(step.to)) break
      return (text) => text.replaceAll(step.from, () => step.to)
    default:
  }
  throw new TokenizerDefinitionError('a step before texts are cut is not known')
}

/** Looked for behind something else, so that it is not begun anew at each blank of a run. */
const LAST = /(?<!\p{White_Space})\p{White_Space}+$/u
const NONE = /(?!)/

function isShort(text: unknown): boolean {
  return typeof text === 'string' && text.length <= MAX_REPLACED
}

/** As BERT's own program does it (Devlin et al., 2018): in this order. */
function bertNormalizer({ clean, ideographs, accents, lower }: NormalStep & { readonly kind: 'bert' }): Normalizer {
  return (text) => {
    let made = text
    if (clean) made = made.replaceAll(CONTROLS, '').replaceAll(/\p{White_Space}/gu, ' ')
    if (ideographs) made = made.replaceAll(IDEOGRAPHS, ' $& ')
    if (accents) made = normalForm(made, 'NFD').replaceAll(MARKS, '')
    return lower ? lowercase(made) : made
  }
}

/** Letter by letter: a sigma at the end of a word is one like others. */
function lowercase(text: string): string {
  return text.replaceAll('\u03a3', '\u03c3').toLowerCase()
}
