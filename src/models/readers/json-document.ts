/** JSON from strangers: its size and depth are bounded before it is parsed, and what is read of it has its type. */
import { ModelFileError } from '../errors.ts'

/** The deepest files in use, tokenizers, have eight levels. */
const MAX_DEPTH = 64

const [QUOTE, BACKSLASH, COLON] = [0x22, 0x5c, 0x3a]
/** By byte, for headers of up to 100 MB: 1 opens an object or a list, 2 closes one, 3 begins a text, 4 is a colon. */
const KINDS = new Uint8Array(256)
for (const byte of [0x5b, 0x7b]) KINDS[byte] = 1
for (const byte of [0x5d, 0x7d]) KINDS[byte] = 2
KINDS[QUOTE] = 3
KINDS[COLON] = 4

/** @param where the file, as messages name it. @throws ModelFileError */
export function parseJson(bytes: Uint8Array, where: string): unknown {
  scanned(bytes, where)
  return parsed(bytes, where)
}

/**
 * An object none of whose own keys stands there twice: of two, a parser keeps one in silence.
 * @param most objects and lists in it. @throws ModelFileError
 */
export function parseJsonTable(bytes: Uint8Array, where: string, most: number): JsonObject {
  const { opened, keys } = scanned(bytes, where)
  if (opened > most) throw new ModelFileError(where, `it has ${opened} objects and lists, over ${most}`)
  const table = jsonObject(parsed(bytes, where), where)
  if ([...table.keys()].length !== keys) throw new ModelFileError(where, 'a name stands there twice')
  return table
}

function parsed(bytes: Uint8Array, where: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown
  } catch {
    throw new ModelFileError(where, 'it is not JSON')
  }
}

/** How many objects and lists there are, and how many keys the outermost one has. */
function scanned(bytes: Uint8Array, where: string): { readonly opened: number; readonly keys: number } {
  let [depth, opened, keys] = [0, 0, 0]
  for (let at = 0; at < bytes.length; at++) {
    const kind = KINDS[bytes[at]!]
    if (kind === 0) continue
    if (kind === 3) at = stringEnd(bytes, at)
    else if (kind === 2) depth -= 1
    else if (kind === 4) keys += depth === 1 ? 1 : 0
    else {
      depth += 1
      opened += 1
      if (depth > MAX_DEPTH) throw new ModelFileError(where, `it is nested over ${MAX_DEPTH} levels deep`)
    }
  }
  return { opened, keys }
}

function stringEnd(bytes: Uint8Array, start: number): number {
  let at = start + 1
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1
  return at
}

/** Members of a JSON object, by look-up alone: a key `__proto__` is a key. */
export interface JsonObject {
  /** The key has a value other than null. */
  has(key: string): boolean
  /** The key is there, if with null. */
  stated(key: string): boolean
  /** The value as it stands; undefined where there is none, or null. */
  raw(key: string): unknown
  /** A whole number in [least, most]. */
  count(key: string, least: number, most: number, fallback?: number): number
  /** A finite number in [least, most]. */
  real(key: string, least: number, most: number, fallback?: number): number
  text(key: string): string | undefined
  flag(key: string): boolean | undefined
  list(key: string): readonly unknown[] | undefined
  object(key: string): JsonObject | undefined
  keys(): Iterable<string>
}

/** @param where what messages call it. @throws ModelFileError when it is no object, as all look-ups do */
export function jsonObject(value: unknown, where: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ModelFileError(where, 'it is no JSON object')
  }
  const members = new Map(Object.entries(value))
  const at = (key: string): string => `${where}: ${key}`
  const raw = (key: string): unknown => members.get(key) ?? undefined
  const typed = <T>(key: string, type: string, is: (value: unknown) => value is T): T | undefined => {
    const found = raw(key)
    if (found === undefined || is(found)) return found
    throw new ModelFileError(at(key), `it is no ${type}`)
  }
  const number = (key: string, least: number, most: number, fallback: number | undefined): number => {
    const found = typed(key, 'number', (value) => typeof value === 'number') ?? fallback
    if (found === undefined) throw new ModelFileError(at(key), 'it is missing')
    if (!(found >= least && found <= most)) throw new ModelFileError(at(key), `${found} is not in ${least} to ${most}`)
    return found
  }
  return {
    has: (key) => raw(key) !== undefined,
    stated: (key) => members.has(key),
    raw,
    real: number,
    count(key, least, most, fallback) {
      const found = number(key, least, most, fallback)
      if (!Number.isInteger(found)) throw new ModelFileError(at(key), `${found} is no whole number`)
      return found
    },
    text: (key) => typed(key, 'text', (value) => typeof value === 'string'),
    flag: (key) => typed(key, 'truth value', (value) => typeof value === 'boolean'),
    list: (key) => typed(key, 'list', (value): value is readonly unknown[] => Array.isArray(value)),
    object(key) {
      const found = raw(key)
      return found === undefined ? undefined : jsonObject(found, at(key))
    },
    keys: () => members.keys(),
  }
}
