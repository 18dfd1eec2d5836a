/**
 * Reads the wire format of protobuf (protobuf.dev, Encoding) from a file, a window at a time: what is skipped is not
 * read. Lengths, types and depth are checked before they are believed.
 */
import { readSync } from 'node:fs'
import { OnnxLimitError, OnnxMalformedError } from './errors.ts'
import { MOST_NESTED } from './limits.ts'
import type { ReadLimits } from './limits.ts'

const WINDOW_BYTES = 64 * 1024
const LONGEST_VARINT = 10
const TWO_TO_32 = 2 ** 32
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

/** Bytes of the file. */
export interface Span {
  readonly offset: number
  readonly length: number
}

export class WireReader {
  readonly path: string
  /** Number of the field that `next` has found. */
  field = 0
  #wire = 0
  readonly #descriptor: number
  readonly #limits: ReadLimits
  readonly #window = Buffer.allocUnsafe(WINDOW_BYTES)
  /** Offset in the file of the window's first byte, and how many bytes of it are there. */
  #base = 0
  #filled = 0
  #at = 0
  /** Where the message ends in which we are. */
  #end: number
  #held = 0
  readonly #around: string[] = []
  #low = 0
  #high = 0

  /** The descriptor stays the caller's. Reads are synchronous: parsing holds the thread anyway. */
  constructor(path: string, descriptor: number, size: number, limits: ReadLimits) {
    this.path = path
    this.#descriptor = descriptor
    this.#limits = limits
    this.#end = size
  }

  get position(): number {
    return this.#base + this.#at
  }

  get where(): string {
    return this.#around.join(' > ')
  }

  fail(why: string, offset = this.position): never {
    throw new OnnxMalformedError(this.path, this.where, why, offset)
  }

  /** Counts memory that the caller is about to take. @throws OnnxLimitError */
  hold(bytes: number): void {
    this.#held += bytes
    const limit = this.#limits.heldBytes
    if (this.#held > limit) throw new OnnxLimitError(this.path, 'bytes of names, attributes and small tensors', limit)
  }

  /** Reads the message of this field with `body`, which must read all of it (`while (next())`). */
  message<T>(label: string, body: () => T): T {
    const length = this.#length()
    return this.within(label, { offset: this.position, length }, body)
  }

  /** Reads a part of the file as a message of its own; the position goes to its end. */
  within<T>(label: string, span: Span, body: () => T): T {
    if (this.#around.length > MOST_NESTED)
      throw new OnnxLimitError(this.path, 'messages inside one another', MOST_NESTED)
    const outer = this.#end
    this.seek(span.offset)
    this.#end = span.offset + span.length
    this.#around.push(label)
    const result = body()
    this.#around.pop()
    this.#end = outer
    return result
  }

  /** Goes to the next field of the message; false at its end. */
  next(): boolean {
    const offset = this.position
    if (offset === this.#end) return false
    this.#varint()
    this.field = this.#low >>> 3
    this.#wire = this.#low & 7
    if (this.#high !== 0 || this.field === 0) this.fail('no field has this number', offset)
    return true
  }

  skip(): void {
    if (this.#wire === WIRE.varint) this.#varint()
    else if (this.#wire === WIRE.bytes) {
      const length = this.#length()
      this.seek(this.position + length)
    } else if (this.#wire === WIRE.fixed64) this.#take(8)
    else if (this.#wire === WIRE.fixed32) this.#take(4)
    else this.fail(`there is no wire type ${this.#wire} in ONNX`)
  }

  /** The bytes of this field, left where they are. */
  span(): Span {
    const length = this.#length()
    const offset = this.position
    this.seek(offset + length)
    return { offset, length }
  }

  bytes(): Uint8Array {
    return this.copy(this.span())
  }

  /** Into memory, from anywhere in the file; the position goes to its end. */
  copy({ offset, length }: Span): Uint8Array {
    this.hold(length)
    const copy = new Uint8Array(length)
    this.seek(offset)
    if (length <= WINDOW_BYTES) {
      const at = this.#take(length)
      copy.set(this.#window.subarray(at, at + length))
      return copy
    }
    for (let done = 0; done < length;) {
      const read = readSync(this.#descriptor, copy, done, length - done, offset + done)
      if (read === 0) this.fail('the file was cut while it was read', offset + done)
      done += read
    }
    this.seek(offset + length)
    return copy
  }

  string(): string {
    const length = this.#length()
    this.hold(2 * length)
    const offset = this.position
    if (length > WINDOW_BYTES) return this.#strict(this.copy({ offset, length }), offset)
    const at = this.#take(length)
    const text = this.#window.toString('utf8', at, at + length)
    // The quick decoder puts this mark for what is no UTF-8; a name may also have it.
    return text.includes('\ufffd') ? this.#strict(this.#window.subarray(at, at + length), offset) : text
  }

  #strict(bytes: Uint8Array, offset: number): string {
    try {
      return UTF8.decode(bytes)
    } catch {
      return this.fail('a text is not UTF-8', offset)
    }
  }

  /** int32 and enums: the low 32 bits, as protobuf has it. */
  int32(): number {
    this.#expect(WIRE.varint)
    this.#varint()
    return this.#low | 0
  }

  int64(): bigint {
    this.#expect(WIRE.varint)
    this.#varint()
    return this.#signed()
  }

  /** An int64 that must be a safe integer. */
  integer(): number {
    this.#expect(WIRE.varint)
    this.#varint()
    return this.#safe()
  }

  float(): number {
    this.#expect(WIRE.fixed32)
    return this.#window.readFloatLE(this.#take(4))
  }

  /** One or many values of a repeated field, packed or not. */
  floats(into: number[]): void {
    this.#repeated(WIRE.fixed32, () => {
      this.hold(8)
      into.push(this.#window.readFloatLE(this.#take(4)))
    })
  }

  int64s(into: bigint[]): void {
    this.#repeated(WIRE.varint, () => {
      this.hold(32)
      this.#varint()
      into.push(this.#signed())
    })
  }

  integers(into: number[]): void {
    this.#repeated(WIRE.varint, () => {
      this.hold(8)
      this.#varint()
      into.push(this.#safe())
    })
  }

  /** Where the values of this occurrence of a repeated numeric field lie, to be read when their type is known. */
  valueSpan(): Span {
    if (this.#wire === WIRE.bytes) return this.span()
    const offset = this.position
    this.skip()
    return { offset, length: this.position - offset }
  }

  /** Calls `put` with the low and high 32 bits of each varint in a span. */
  varints(span: Span, put: (low: number, high: number) => void): void {
    this.within('values', span, () => {
      while (this.position < this.#end) {
        this.#varint()
        put(this.#low, this.#high)
      }
    })
  }

  #repeated(wire: number, read: () => void): void {
    if (this.#wire === wire) return read()
    const length = this.#length()
    this.within('values', { offset: this.position, length }, () => {
      while (this.position < this.#end) read()
    })
  }

  #expect(wire: number): void {
    if (this.#wire !== wire) this.fail(`field ${this.field} has wire type ${this.#wire} instead of ${wire}`)
  }

  #length(): number {
    this.#expect(WIRE.bytes)
    const offset = this.position
    this.#varint()
    const length = (this.#high >>> 0) * TWO_TO_32 + (this.#low >>> 0)
    const left = this.#end - this.position
    if (length > left) this.fail(`field ${this.field} claims ${length} bytes, and ${left} are left`, offset)
    return length
  }

  #signed(): bigint {
    if (this.#high === 0) return BigInt(this.#low >>> 0)
    return BigInt.asIntN(64, (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0))
  }

  #safe(): number {
    const value = (this.#high | 0) * TWO_TO_32 + (this.#low >>> 0)
    return Number.isSafeInteger(value) ? value : this.fail(`the number ${this.#signed()} is out of range`)
  }

  #varint(): void {
    if (this.#filled - this.#at < LONGEST_VARINT) this.#fill()
    const window = this.#window
    const stop = Math.min(this.#filled, this.#end - this.#base)
    let at = this.#at
    let low = 0
    let high = 0
    for (let index = 0; index < LONGEST_VARINT; index++) {
      if (at >= stop) this.fail('a number is cut off')
      const byte = window[at++]!
      const part = byte & 0x7f
      if (index < 4) low |= part << (7 * index)
      else if (index > 4) high |= part << (7 * index - 32)
      else {
        low |= part << 28
        high = part >>> 4
      }
      if (byte === part) {
        this.#at = at
        this.#low = low
        this.#high = high
        return
      }
    }
    this.fail(`a number has more than ${LONGEST_VARINT} bytes`)
  }

  /** Makes `count` bytes of the message ready and steps over them: where they begin in the window. */
  #take(count: number): number {
    if (count > this.#end - this.position) this.fail('a value is cut off')
    if (this.#filled - this.#at < count) this.#fill()
    if (this.#filled - this.#at < count) this.fail('the file was cut while it was read')
    const at = this.#at
    this.#at += count
    return at
  }

  seek(offset: number): void {
    if (offset >= this.#base && offset <= this.#base + this.#filled) this.#at = offset - this.#base
    else {
      this.#base = offset
      this.#at = 0
      this.#filled = 0
    }
  }

  #fill(): void {
    this.#window.copyWithin(0, this.#at, this.#filled)
    this.#base += this.#at
    this.#filled -= this.#at
    this.#at = 0
    while (this.#filled < WINDOW_BYTES) {
      const room = WINDOW_BYTES - this.#filled
      const read = readSync(this.#descriptor, this.#window, this.#filled, room, this.#base + this.#filled)
      if (read === 0) return
      this.#filled += read
    }
  }
}
