/** Twins: private-use characters that stand for characters of control tokens, to see whose text they came from. */
import { ChatTemplateError } from './errors.ts'

export interface Twins {
  /** Replaces every character that occurs in a control token. */
  readonly hideAll: (text: string) => string
  /** Replaces control tokens, and at the ends of the text what could become one with what is put beside it. */
  readonly hideControls: (text: string) => string
  /** The text that was hidden. */
  readonly reveal: (text: string) => string
}

const PRIVATE_FIRST = 0xe000
const PRIVATE_LAST = 0xf8ff

/**
 * Twins for the characters (UTF-16 units) of `controls`, none of which occurs in `used`. White space has none, so that
 * templates trim a hidden text as they trim the text itself.
 * @throws ChatTemplateError when so many private-use characters are in use that none are left
 */
export function createTwins(controls: readonly string[], used: readonly string[]): Twins {
  const units = [...new Set(controls.flatMap((text) => text.replace(/\s/g, '').split('')))]
  const taken = new Set([...used, ...controls].flatMap((text) => text.match(/[\ue000-\uf8ff]/g) ?? []))
  const twinOf = new Map<string, string>()
  const unitOf = new Map<string, string>()
  let code = PRIVATE_FIRST
  for (const unit of units) {
    while (code <= PRIVATE_LAST && taken.has(String.fromCharCode(code))) code += 1
    if (code > PRIVATE_LAST) throw new ChatTemplateError('the conversation has too many private-use characters')
    const twin = String.fromCharCode(code++)
    twinOf.set(unit, twin)
    unitOf.set(twin, unit)
  }
  const hideAll = (text: string): string => substitute(text, twinOf)
  return {
    hideAll,
    hideControls: (text) => hideControls(text, controls, hideAll),
    reveal: (text) => substitute(text, unitOf),
  }
}

function substitute(text: string, replacements: ReadonlyMap<string, string>): string {
  let result = ''
  let done = 0
  for (let at = 0; at < text.length; at++) {
    const replacement = replacements.get(text[at] as string)
    if (replacement === undefined) continue
    result += text.slice(done, at) + replacement
    done = at + 1
  }
  return result + text.slice(done)
}

function hideControls(text: string, controls: readonly string[], hide: (text: string) => string): string {
  const trimmed = text.trim()
  if (controls.some((control) => trimmed !== '' && control.includes(trimmed))) return hide(text)
  const hidden = new Uint8Array(text.length)
  for (const control of controls) {
    for (let at = text.indexOf(control); at !== -1; at = text.indexOf(control, at + 1)) {
      hidden.fill(1, at, at + control.length)
    }
  }
  const head = text.length - text.trimStart().length
  const tail = text.trimEnd().length
  hidden.fill(1, head, head + overlap(controls, (control, length) => trimmed.startsWith(control.slice(-length))))
  hidden.fill(1, tail - overlap(controls, (control, length) => trimmed.endsWith(control.slice(0, length))), tail)
  let result = ''
  for (let at = 0; at < text.length; at++) result += hidden[at] === 1 ? hide(text[at] as string) : (text[at] as string)
  return result
}

/** The longest part of a control token, short of the whole, that fits. */
function overlap(controls: readonly string[], fits: (control: string, length: number) => boolean): number {
  let longest = 0
  for (const control of controls) {
    for (let length = control.length - 1; length > longest; length--) {
      if (fits(control, length)) longest = length
    }
  }
  return longest
}
