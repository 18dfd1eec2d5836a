/** Bodies from anybody: depth is measured before anything parses them, and no key may reach a prototype. */
import { BodyNotJsonError } from './request-errors.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** An empty body is an empty object, for routes that need no field. @throws BodyNotJsonError */
export function parseJsonBody(bytes: Uint8Array, maxDepth: number): unknown {
  if (bytes.length === 0) return {}
  if (depthOf(bytes, maxDepth) > maxDepth) throw new BodyNotJsonError(`nested deeper than ${maxDepth}`)
  const value = parse(bytes)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BodyNotJsonError('expected an object')
  refusePrototypeKeys(value)
  return value
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    // The parser's message quotes the body, which may be a prompt.
    throw new BodyNotJsonError('it does not parse')
  }
}

/** Deepest nesting outside strings; stops counting once it is over the limit. */
function depthOf(bytes: Uint8Array, limit: number): number {
  let depth = 0
  let deepest = 0
  let inString = false
  for (let index = 0; index < bytes.length && deepest <= limit; index += 1) {
    const byte = bytes[index]
    if (inString) {
      if (byte === BACKSLASH) index += 1
      else if (byte === QUOTE) inString = false
    } else if (byte === QUOTE) inString = true
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      depth += 1
      if (depth > deepest) deepest = depth
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth -= 1
  }
  return deepest
}

/** Recursion is safe: the depth was checked. */
function refusePrototypeKeys(value: object): void {
  for (const [name, entry] of Object.entries(value)) {
    if (name === '__proto__') throw new BodyNotJsonError('the key __proto__ is refused')
    if (typeof entry !== 'object' || entry === null) continue
    if (name === 'constructor' && Object.hasOwn(entry, 'prototype'))
      throw new BodyNotJsonError('the key constructor.prototype is refused')
    refusePrototypeKeys(entry)
  }
}
