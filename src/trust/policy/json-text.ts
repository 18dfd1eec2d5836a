/**
 * JSON with the place of each value kept, so that a mistake in a file that people write is told by line and column. Stricter
 * than JSON.parse: a key that stands twice is an error, and so is depth without end.
 */

export interface TextPlace {
  /** From 1. */
  readonly line: number
  readonly column: number
}

export interface PlacedJson {
  readonly value: unknown
  /** Of the value at a path of keys and indices; of the nearest that is there, where that one is not. */
  placeOf(path: readonly PropertyKey[]): TextPlace
  /** Of the key itself. */
  placeOfKey(path: readonly PropertyKey[], key: string): TextPlace
}

export class JsonTextError extends Error {
  readonly place: TextPlace

  constructor(message: string, place: TextPlace) {
    super(message)
    this.name = 'JsonTextError'
    this.place = place
  }
}

const MAX_DEPTH = 16
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
// JSON has no control characters in its texts.
// oxlint-disable-next-line no-control-regex
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const BLANK = /[ \t\r\n]*/y
const WORD = /true|false|null/y
const BYTE_ORDER_MARK = '\ufeff'

/** @throws JsonTextError */
export function parsePlacedJson(text: string): PlacedJson {
  const reader = new Reader(text.startsWith(BYTE_ORDER_MARK) ? ` ${text.slice(1)}` : text)
  const value = reader.whole()
  return {
    value,
    placeOf: (path) => {
      for (let length = path.length; length > 0; length--) {
        const at = reader.values.get(keyOf(path.slice(0, length)))
        if (at !== undefined) return reader.place(at)
      }
      return reader.place(reader.values.get(keyOf([])) ?? 0)
    },
    placeOfKey: (path, key) => reader.place(reader.keys.get(keyOf([...path, key])) ?? 0),
  }
}

function keyOf(path: readonly PropertyKey[]): string {
  return JSON.stringify(path.map(String))
}

class Reader {
  readonly values = new Map<string, number>()
  readonly keys = new Map<string, number>()
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  place(at: number): TextPlace {
    const before = this.#text.slice(0, at)
    const line = before.split('\n').length
    return { line, column: at - before.lastIndexOf('\n') }
  }

  whole(): unknown {
    this.#take(BLANK)
    const value = this.#value([], 0)
    this.#take(BLANK)
    if (this.#at < this.#text.length) throw this.#error('something follows the end of the document')
    return value
  }

  #value(path: readonly PropertyKey[], depth: number): unknown {
    if (depth > MAX_DEPTH) throw this.#error(`it is more than ${MAX_DEPTH} levels deep`)
    this.values.set(keyOf(path), this.#at)
    const next = this.#text[this.#at]
    if (next === '{') return this.#object(path, depth)
    if (next === '[') return this.#array(path, depth)
    const literal = next === '"' ? this.#take(STRING) : (this.#take(WORD) ?? this.#take(NUMBER))
    if (literal === undefined || literal === '') throw this.#error(this.#expected())
    return JSON.parse(literal) as unknown
  }

  #object(path: readonly PropertyKey[], depth: number): unknown {
    const found = new Map<string, unknown>()
    this.#list('}', () => {
      const at = this.#at
      const literal = this.#take(STRING)
      if (literal === undefined) throw this.#error('expected a name in double quotes')
      const key = JSON.parse(literal) as string
      if (found.has(key)) throw this.#error(`"${key}" stands here twice`, at)
      this.keys.set(keyOf([...path, key]), at)
      this.#take(BLANK)
      if (this.#text[this.#at] !== ':') throw this.#error(`expected ":" after "${key}"`)
      this.#at++
      this.#take(BLANK)
      found.set(key, this.#value([...path, key], depth + 1))
    })
    return Object.fromEntries(found)
  }

  #array(path: readonly PropertyKey[], depth: number): unknown[] {
    const found: unknown[] = []
    this.#list(']', () => found.push(this.#value([...path, found.length], depth + 1)))
    return found
  }

  /** What stands between brackets, with commas between and none at the end. */
  #list(end: string, item: () => void): void {
    this.#at++
    this.#take(BLANK)
    if (this.#text[this.#at] === end) {
      this.#at++
      return
    }
    for (;;) {
      item()
      this.#take(BLANK)
      const next = this.#text[this.#at]
      if (next !== ',' && next !== end) throw this.#error(`expected "," or "${end}"`)
      this.#at++
      if (next === end) return
      this.#take(BLANK)
      if (this.#text[this.#at] === end) throw this.#error(`a comma stands before "${end}": take it out`)
    }
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (match === null) return undefined
    this.#at += match[0].length
    return match[0]
  }

  #expected(): string {
    const rest = this.#text.slice(this.#at, this.#at + 2)
    if (rest === '//' || rest === '/*' || rest.startsWith('#')) return 'comments have no place in JSON: use "note"'
    return this.#at >= this.#text.length ? 'the file ends too early' : 'expected a value'
  }

  #error(message: string, at = this.#at): JsonTextError {
    return new JsonTextError(message, this.place(at))
  }
}
