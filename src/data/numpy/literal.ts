/**
 * Python literals as they stand in the header of a .npy file: a dict of texts, booleans, numbers, tuples and lists. A
 * parser of its own, since the usual way (`eval`) runs what the file says.
 */

export type Literal = string | number | boolean | null | readonly Literal[] | ReadonlyMap<string, Literal>

/** A header has three levels: the dict, a tuple in it, and a record's fields. */
const MAX_DEPTH = 8

/** @throws SyntaxError */
export function parseLiteral(text: string): Literal {
  const reader = new LiteralReader(text)
  const value = reader.value(0)
  reader.end()
  return value
}

class LiteralReader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  value(depth: number): Literal {
    if (depth > MAX_DEPTH) throw new SyntaxError('it is nested too deeply')
    const next = this.#peek()
    if (next === '{') return this.#dict(depth)
    if (next === '(') return this.#sequence(')', depth)
    if (next === '[') return this.#sequence(']', depth)
    if (next === "'" || next === '"') return this.#string()
    const word = this.#match(/[A-Za-z]+|-?\d{1,16}L?/y)
    if (word === undefined) throw new SyntaxError(`character ${this.#at} begins no value`)
    if (word === 'True' || word === 'False') return word === 'True'
    if (word === 'None') return null
    const number = Number(word.replace('L', ''))
    if (!Number.isSafeInteger(number)) throw new SyntaxError(`character ${this.#at} ends no number that is held`)
    return number
  }

  end(): void {
    if (this.#peek() !== '') throw new SyntaxError(`something follows at character ${this.#at}`)
  }

  #dict(depth: number): ReadonlyMap<string, Literal> {
    const entries = new Map<string, Literal>()
    this.#at++
    while (this.#peek() !== '}') {
      const key = this.#string()
      if (entries.has(key)) throw new SyntaxError(`a key stands twice before character ${this.#at}`)
      this.#expect(':')
      entries.set(key, this.value(depth + 1))
      if (this.#peek() !== '}') this.#expect(',')
    }
    this.#at++
    return entries
  }

  #sequence(close: string, depth: number): readonly Literal[] {
    const values: Literal[] = []
    this.#at++
    while (this.#peek() !== close) {
      values.push(this.value(depth + 1))
      if (this.#peek() !== close) this.#expect(',')
      else if (close === ')' && values.length === 1) {
        // Python's `(3)` is 3, and a shape is a tuple.
        throw new SyntaxError(`what ends at character ${this.#at} is no tuple`)
      }
    }
    this.#at++
    return values
  }

  #string(): string {
    const text = this.#match(/'[^'\\]*'|"[^"\\]*"/y)
    if (text === undefined) throw new SyntaxError(`character ${this.#at} begins no text that is read`)
    return text.slice(1, -1)
  }

  #expect(character: string): void {
    if (this.#peek() !== character) throw new SyntaxError(`"${character}" is missing at character ${this.#at}`)
    this.#at++
  }

  /** The next character that is no blank, or nothing. */
  #peek(): string {
    this.#match(/[ \t\r\n]+/y)
    return this.#text[this.#at] ?? ''
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    this.#at += found?.length ?? 0
    return found
  }
}
