/** Expressions of dimensions read as numbers, with the names bound by the caller. */
import type { Dimension } from '../ir/index.ts'
import { isHyphenated, isName } from './names.ts'
import { MAX_TEXT } from './text.ts'

/** The size to count with for a free name, an unknown of the inference (`?3`), or nothing known at all (null). */
export type Bind = (dimension: string | null) => number

const ONE: Bind = () => 1

/** The number that a dimension is once its names are bound; free names count as 1 unless `bind` says otherwise. */
export function dimensionSize(dimension: Dimension, bind: Bind = ONE): number {
  if (typeof dimension === 'number') return dimension
  if (dimension === null || isName(dimension) || isHyphenated(dimension) || dimension.length > 2 * MAX_TEXT)
    return bind(dimension)
  return new Reader(dimension, bind).whole() ?? bind(dimension)
}

const TOKEN = /"(?:[^"\\]|\\.)*"|\d+|\?\d+|[\p{L}_][\p{L}\p{N}_.:]*|[-+*/(),]/uy

/** By descent; texts are short, so that it cannot run deep. Undefined: it is no expression, so it is a name. */
class Reader {
  readonly #tokens: readonly string[]
  readonly #bind: Bind
  #at = 0

  constructor(text: string, bind: Bind) {
    this.#bind = bind
    this.#tokens = tokens(text)
  }

  whole(): number | undefined {
    const value = this.#sum()
    return this.#at === this.#tokens.length ? value : undefined
  }

  #sum(): number | undefined {
    const negative = this.#take('-')
    let value = this.#product()
    if (negative && value !== undefined) value = 0 - value
    for (;;) {
      const sign = this.#take('+') ? 1 : this.#take('-') ? -1 : 0
      if (sign === 0) return value
      const next = this.#product()
      value = value === undefined || next === undefined ? undefined : value + sign * next
    }
  }

  #product(): number | undefined {
    let value = this.#factor()
    for (;;) {
      const divides = this.#take('/')
      if (!divides && !this.#take('*')) return value
      const next = this.#factor()
      if (value === undefined || next === undefined) value = undefined
      else value = divides ? Math.floor(value / (next === 0 ? 1 : next)) : value * next
    }
  }

  #factor(): number | undefined {
    const token = this.#tokens[this.#at++]
    if (token === undefined) return undefined
    if (token === '(') return this.#closed(this.#sum())
    if (/^\d/.test(token)) return Number(token)
    if (token.startsWith('"')) return this.#bind(JSON.parse(token) as string)
    if (!isName(token)) return undefined
    return this.#take('(') ? this.#choice(token) : this.#bind(token)
  }

  #choice(word: string): number | undefined {
    const left = this.#sum()
    if (!this.#take(',')) return undefined
    const right = this.#closed(this.#sum())
    if (left === undefined || right === undefined) return undefined
    if (word === 'max') return Math.max(left, right)
    if (word === 'min') return Math.min(left, right)
    return word === 'broadcast' ? (left === 1 ? right : left) : undefined
  }

  #closed(value: number | undefined): number | undefined {
    return this.#take(')') ? value : undefined
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false
    this.#at++
    return true
  }
}

/** Empty where the text has anything that no expression has, such as a space. */
function tokens(text: string): string[] {
  const found: string[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const match = TOKEN.exec(text)
    if (match === null) return []
    found.push(match[0])
  }
  return found
}
