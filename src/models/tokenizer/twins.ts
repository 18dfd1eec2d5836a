/** Twins: private-use characters that stand for characters of control tokens, to see whose text they came from. */
import { ChatTemplateError } from './errors.ts'

export interface Twins {
  /** Replaces every character that occurs in a control token. */
  readonly hideAll: (text: string) => string
  /** Replaces control tokens. */
  readonly hideControls: (text: string) => string
  /** Replaces also, at the ends of the text, what could become a control token with what is put beside it. */
  readonly hideEdges: (text: string) => string
  /** Replaces also every character of control tokens that is no letter or digit. */
  readonly hideSigns: (text: string) => string
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
  const edges = (text: string): Uint8Array => markEdges(text, controls, markControls(text, controls))
  return {
    hideAll,
    hideControls: (text) => hideMarked(text, markControls(text, controls), hideAll),
    hideEdges: (text) => hideMarked(text, edges(text), hideAll),
    hideSigns: (text) => hideMarked(text, markSigns(text, edges(text)), hideAll),
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

function hideMarked(text: string, marks: Uint8Array, hide: (text: string) => string): string {
  let result = ''
  for (let at = 0; at < text.length; at++) result += marks[at] === 1 ? hide(text[at] as string) : (text[at] as string)
  return result
}

/** Marks the characters of the control tokens in a text. */
function markControls(text: string, controls: readonly string[]): Uint8Array {
  const marks = new Uint8Array(text.length)
  for (const control of controls) {
    for (let at = text.indexOf(control); at !== -1; at = text.indexOf(control, at + 1)) {
      marks.fill(1, at, at + control.length)
    }
  }
  return marks
}

/**
 * Marks what ends a control token where the text begins, what begins one where it ends, and a text within one; in
 * either case, since a template may change it.
 */
function markEdges(text: string, controls: readonly string[], marks: Uint8Array): Uint8Array {
  const lower = text.trim().toLowerCase()
  const lowered = controls.map((control) => control.toLowerCase())
  if (lowered.some((control) => lower !== '' && control.includes(lower))) return marks.fill(1)
  const head = text.length - text.trimStart().length
  const tail = text.trimEnd().length
  marks.fill(1, head, head + overlap(lowered, (control, length) => lower.startsWith(control.slice(-length))))
  return marks.fill(1, tail - overlap(lowered, (control, length) => lower.endsWith(control.slice(0, length))), tail)
}

function markSigns(text: string, marks: Uint8Array): Uint8Array {
  for (let at = 0; at < text.length; at++) if (!/[\p{L}\p{N}]/u.test(text[at] as string)) marks[at] = 1
  return marks
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
