/** Control maps: small plain values (routes, options, reasons) in MessagePack, scanned before they are decoded. */
import { Packr, Unpackr } from 'msgpackr'
import { MAX_CONTROL_DEPTH, MAX_CONTROL_VALUES } from './constants.ts'
import { ControlError } from './errors.ts'
import { MAX_CONTROL_BYTES } from './frame.ts'

const OPTIONS = {
  useRecords: false,
  mapsAsObjects: true,
  moreTypes: false,
  useToJSON: false,
  int64AsType: 'number',
  encodeUndefinedAsNil: true,
} as const

/** A map without entries. Each token comes with one, and the code for all others has left the caches by then. */
const EMPTY_MAP = 0x80

const packr = new Packr(OPTIONS)
const unpackr = new Unpackr(OPTIONS)

/**
 * Plain data only: objects with string keys, arrays, strings, finite or infinite numbers, booleans, null, bytes.
 * `undefined` becomes null, and -0 becomes 0.
 * @throws ControlError for what `decodeControl` would refuse
 */
export function encodeControl(value: unknown): Uint8Array {
  if (isEmpty(value)) return Uint8Array.of(EMPTY_MAP)
  const bytes = new Uint8Array(packr.pack(value))
  scan(bytes)
  return bytes
}

/**
 * The value; its shape is for the caller to check.
 * @throws ControlError when it is too large, too deep, truncated, or holds anything but plain data; nothing has been
 * built then
 */
export function decodeControl(bytes: Uint8Array): unknown {
  if (bytes.length === 1 && bytes[0] === EMPTY_MAP) return {}
  scan(bytes)
  return unpackr.unpack(bytes) as unknown
}

function isEmpty(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return false
  return Object.keys(value).length === 0
}

/** Fixed lengths by first byte (after it), for the types that have no length of their own. */
const FIXED: Readonly<Record<number, number>> = {
  0xc0: 0,
  0xc2: 0,
  0xc3: 0,
  0xca: 4,
  0xcb: 8,
  0xcc: 1,
  0xcd: 2,
  0xce: 4,
  0xcf: 8,
  0xd0: 1,
  0xd1: 2,
  0xd2: 4,
  0xd3: 8,
}

/** Bytes of the length field of strings, byte strings, arrays and maps. */
const LENGTH_FIELD: Readonly<Record<number, 1 | 2 | 4>> = {
  0xc4: 1,
  0xc5: 2,
  0xc6: 4,
  0xd9: 1,
  0xda: 2,
  0xdb: 4,
  0xdc: 2,
  0xdd: 4,
  0xde: 2,
  0xdf: 4,
}

const LEAST_SAFE = BigInt(Number.MIN_SAFE_INTEGER)
const MOST_SAFE = BigInt(Number.MAX_SAFE_INTEGER)

type Kind = 'scalar' | 'text' | 'array' | 'map'

interface Head {
  readonly kind: Kind
  /** Bytes of the body of a scalar or text, values in an array, pairs in a map. */
  readonly size: number
  readonly next: number
}

/** Walks the message without building anything: every size is held against the bytes that are left. */
function scan(bytes: Uint8Array): void {
  if (bytes.length > MAX_CONTROL_BYTES) throw new ControlError('size', `${bytes.length} bytes in a control map`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  /** Values still to come on each level; `keys` says that the next value of a map is a key. */
  const left: number[] = [1]
  const keys: boolean[] = [false]
  let at = 0
  let values = 0
  while (left.length > 0) {
    const level = left.length - 1
    if (left[level] === 0) {
      left.pop()
      keys.pop()
      continue
    }
    if (++values > MAX_CONTROL_VALUES) throw new ControlError('count', `more than ${MAX_CONTROL_VALUES} values`)
    const isKey = keys[level] === true && left[level]! % 2 === 0
    left[level]! -= 1
    const head = readHead(view, at)
    if (isKey) checkKey(bytes, head, at)
    at = head.next
    if (head.kind === 'scalar' || head.kind === 'text') continue
    const count = head.kind === 'map' ? 2 * head.size : head.size
    if (count > bytes.length - at) throw new ControlError('count', 'more values are announced than bytes are left')
    if (left.length >= MAX_CONTROL_DEPTH) throw new ControlError('depth', `nested deeper than ${MAX_CONTROL_DEPTH}`)
    left.push(count)
    keys.push(head.kind === 'map')
  }
  if (at !== bytes.length) throw new ControlError('length', `${bytes.length - at} bytes follow the value`)
}

function readHead(view: DataView, at: number): Head {
  if (at >= view.byteLength) throw new ControlError('length', 'the control map is cut short')
  const first = view.getUint8(at)
  const body = at + 1
  if (first <= 0x7f || first >= 0xe0) return { kind: 'scalar', size: 0, next: body }
  if (first <= 0x8f) return { kind: 'map', size: first & 15, next: body }
  if (first <= 0x9f) return { kind: 'array', size: first & 15, next: body }
  if (first <= 0xbf) return skip(view, 'text', first & 31, body)
  const fixed = FIXED[first]
  if (fixed !== undefined) {
    const head = skip(view, 'scalar', fixed, body)
    if (first === 0xcf || first === 0xd3) checkInteger(view, first, body)
    return head
  }
  const field = LENGTH_FIELD[first]
  if (field === undefined) throw new ControlError('type', `type 0x${first.toString(16)} is not plain data`)
  if (body + field > view.byteLength) throw new ControlError('length', 'the control map is cut short')
  const size = field === 1 ? view.getUint8(body) : field === 2 ? view.getUint16(body) : view.getUint32(body)
  if (first >= 0xdc) return { kind: first <= 0xdd ? 'array' : 'map', size, next: body + field }
  return skip(view, first >= 0xd9 ? 'text' : 'scalar', size, body + field)
}

function skip(view: DataView, kind: Kind, size: number, body: number): Head {
  if (size > view.byteLength - body) throw new ControlError('length', 'the control map is cut short')
  return { kind, size, next: body + size }
}

/** A 64-bit integer must be one that a number can hold. */
function checkInteger(view: DataView, first: number, at: number): void {
  const value = first === 0xcf ? view.getBigUint64(at) : view.getBigInt64(at)
  if (value < LEAST_SAFE || value > MOST_SAFE) throw new ControlError('integer', `${value} does not fit a number`)
}

const PROTO = new TextEncoder().encode('__proto__')

/** Keys are text, and never the one that reaches an object's prototype. */
function checkKey(bytes: Uint8Array, head: Head, at: number): void {
  if (head.kind !== 'text') throw new ControlError('key', `a key at byte ${at} is not text`)
  if (head.size !== PROTO.length) return
  const start = head.next - head.size
  if (PROTO.every((byte, index) => bytes[start + index] === byte)) throw new ControlError('key', 'a key is __proto__')
}
