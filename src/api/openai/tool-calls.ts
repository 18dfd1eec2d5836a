/** Finds the calls of tools in a text as it comes, and gives each on before it is complete. */
import { CALL_BEGIN } from '../../pipeline/index.ts'

export type CallEvent =
  | { readonly type: 'content'; readonly text: string }
  | { readonly type: 'call'; readonly index: number; readonly name: string }
  /** A piece of the arguments, as JSON. */
  | { readonly type: 'arguments'; readonly index: number; readonly text: string }

const HEAD = /^<tool_call>\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\S)/
const END = '</tool_call>'
/** What has no head by then is no call. */
const LONGEST_HEAD = 512

type State = 'content' | 'head' | 'arguments' | 'tail'

export class CallReader {
  #state: State = 'content'
  #held = ''
  #value = new JsonValue()
  #blanks = ''
  #afterCall = false
  /** Calls so far. */
  calls = 0

  push(text: string): CallEvent[] {
    this.#held += text
    const events: CallEvent[] = []
    let [state, length]: [State | undefined, number] = [undefined, -1]
    while (state !== this.#state || length !== this.#held.length) {
      state = this.#state
      length = this.#held.length
      events.push(...this.#step())
    }
    return events
  }

  /** What was held back and is no call. */
  end(): CallEvent[] {
    const rest = this.#held
    this.#held = ''
    return this.#state === 'content' || this.#state === 'head' ? this.#content(rest) : []
  }

  #step(): CallEvent[] {
    if (this.#state === 'content') return this.#readContent()
    if (this.#state === 'head') return this.#readHead()
    if (this.#state === 'arguments') return this.#readArguments()
    const end = this.#held.indexOf(END)
    if (end < 0) return []
    this.#held = this.#held.slice(end + END.length)
    this.#state = 'content'
    this.#afterCall = true
    this.#blanks = ''
    return []
  }

  #readContent(): CallEvent[] {
    const at = this.#held.indexOf(CALL_BEGIN)
    const free = at < 0 ? this.#held.length - overlap(this.#held, CALL_BEGIN) : at
    const text = this.#held.slice(0, free)
    this.#held = this.#held.slice(free)
    if (at >= 0) this.#state = 'head'
    return this.#content(text)
  }

  #readHead(): CallEvent[] {
    const match = HEAD.exec(this.#held)
    if (match === null) {
      if (this.#held.length < LONGEST_HEAD && !this.#held.includes(END)) return []
      // Only an answer that is held to no form comes here: it says the words and means no call.
      this.#state = 'content'
      const text = this.#held.slice(0, CALL_BEGIN.length)
      this.#held = this.#held.slice(CALL_BEGIN.length)
      return this.#content(text)
    }
    this.#held = this.#held.slice(match[0].length)
    this.#state = 'arguments'
    this.#value = new JsonValue()
    return [{ type: 'call', index: this.calls++, name: JSON.parse(match[1]!) as string }]
  }

  #readArguments(): CallEvent[] {
    const taken = this.#value.take(this.#held)
    const text = this.#held.slice(0, taken)
    this.#held = this.#held.slice(taken)
    if (this.#value.ended) this.#state = 'tail'
    return text === '' ? [] : [{ type: 'arguments', index: this.calls - 1, text }]
  }

  /** Blanks between two calls, and after the last, are no content. */
  #content(text: string): CallEvent[] {
    const shown = this.#blanks + text
    this.#blanks = this.#afterCall && shown.trim() === '' ? shown : ''
    if (shown === this.#blanks) return []
    this.#afterCall = false
    return [{ type: 'content', text: shown }]
  }
}

/** One value, character by character. */
class JsonValue {
  #depth = 0
  #inText = false
  #escaped = false
  #begun = false
  ended = false

  /** Characters of `text` that belong to it. */
  take(text: string): number {
    for (let at = 0; at < text.length; at++) {
      if (this.ended || this.#isBehind(text[at]!)) return at
      this.#next(text[at]!)
    }
    return text.length
  }

  /** A number or a word has no end of its own: what cannot be of it comes behind it. */
  #isBehind(character: string): boolean {
    this.ended = this.#begun && this.#depth === 0 && !this.#inText && /[\s,\]}]/.test(character)
    return this.ended
  }

  #next(character: string): void {
    this.#begun = true
    if (this.#inText) {
      if (this.#escaped) this.#escaped = false
      else if (character === '\\') this.#escaped = true
      else if (character === '"') this.#close('text')
    } else if (character === '"') this.#inText = true
    else if (character === '{' || character === '[') this.#depth++
    else if (character === '}' || character === ']') this.#close('bracket')
  }

  #close(what: 'text' | 'bracket'): void {
    if (what === 'text') this.#inText = false
    else this.#depth--
    this.ended = this.#depth <= 0
  }
}

/** Length of the longest end of `text` that `word` begins with. */
function overlap(text: string, word: string): number {
  for (let length = Math.min(text.length, word.length - 1); length > 0; length--)
    if (text.endsWith(word.slice(0, length))) return length
  return 0
}
