/**
 * What a log may not hold: prompts, answers, keys. Works on names of fields wherever they stand and on the shape of
 * secrets inside strings; also makes control characters visible, so that a log cannot be forged or move a terminal.
 */

export const REDACTED = '[redacted]'

/** Names in lower case without `_` and `-`. Numbers and booleans under them stay: `tokens: 12` is a count. */
const SECRET_NAMES = new Set([
  'prompt',
  'prompts',
  'messages',
  'content',
  'input',
  'inputs',
  'suffix',
  'text',
  'completion',
  'ids',
  'promptids',
  'token',
  'tokens',
  'accesstoken',
  'authorization',
  'proxyauthorization',
  'cookie',
  'setcookie',
  'key',
  'keys',
  'apikey',
  'apikeys',
  'networkkey',
  'privatekey',
  'secret',
  'secrets',
  'password',
  'passphrase',
  'invite',
])

/** Bearer credentials, weft's own keys and OpenAI-like keys inside a longer string. */
const SECRET_SHAPES = /\b(?:Bearer|Basic)\s+[\w.~+/=-]+|\b(?:wk|sk|weft)[_-][\w-]{16,}/gi

/** Deeper or wider than any record of ours: cut, so that a hostile object costs nothing. */
const MAX_DEPTH = 6
const MAX_ENTRIES = 64
const MAX_STRING = 2_000

export function isSecretName(name: string): boolean {
  return SECRET_NAMES.has(name.toLowerCase().replaceAll(/[_-]/g, ''))
}

/** One line, harmless on a terminal: control characters as `\n` or `\x1b`, secrets cut out, length bounded. */
export function cleanText(text: string): string {
  const cut = text.length > MAX_STRING ? `${text.slice(0, MAX_STRING)}… (${text.length} characters)` : text
  return visible(cut.replaceAll(SECRET_SHAPES, REDACTED))
}

function visible(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what it replaces
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) => {
    if (character === '\n') return '\\n'
    if (character === '\r') return '\\r'
    if (character === '\t') return '\\t'
    const code = character.codePointAt(0) ?? 0
    return code > 0xff ? `\\u${code.toString(16)}` : `\\x${code.toString(16).padStart(2, '0')}`
  })
}

/** A copy that is safe to log. Never throws, whatever getters or cycles it meets. */
export function sanitize(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return cleanText(value)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'function' || typeof value === 'symbol') return `[${typeof value}]`
  if (value === null || typeof value !== 'object') return value
  if (depth >= MAX_DEPTH) return '[deep]'
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (value instanceof Error) return sanitizeError(value, depth)
  if (value instanceof Date || value instanceof URL) return cleanText(String(value))
  if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map((entry) => sanitize(entry, depth + 1))
  return sanitizeObject(value, depth)
}

function sanitizeObject(value: object, depth: number): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const name of Object.keys(value).slice(0, MAX_ENTRIES)) {
    const entry = readField(value, name)
    const counted = typeof entry === 'number' || typeof entry === 'boolean' || entry === null
    kept[cleanText(name)] = isSecretName(name) && !counted ? REDACTED : sanitize(entry, depth + 1)
  }
  return kept
}

function readField(value: object, name: string): unknown {
  try {
    return (value as Record<string, unknown>)[name]
  } catch {
    return '[unreadable]'
  }
}

/** The stack as an array of clean lines: its text holds the message, which others may have written. */
function sanitizeError(error: Error, depth: number): Record<string, unknown> {
  const stack = (error.stack ?? '').split('\n').slice(0, 24)
  return {
    type: error.name,
    ...sanitizeObject(error, depth),
    message: cleanText(error.message),
    stack: stack.map((line) => cleanText(line.trim())),
    ...(error.cause === undefined ? {} : { cause: sanitize(error.cause, depth + 1) }),
  }
}
