/**
 * Writes the wire format of protobuf from the end to the beginning, so that the length of a message is known when it is
 * written: nothing is measured twice or moved. Fields of a message are therefore given in falling order, and lists from
 * their last element. Bytes that lie in files are only named, so the result is a list of pieces.
 */
import type { TensorBytes } from './types.ts'

export type Piece = Uint8Array | Extract<TensorBytes, { readonly kind: 'range' }>

const CHUNK_BYTES = 64 * 1024
const LONGEST_VARINT = 10
/** From here on bytes are taken as they are, not copied. */
const COPIED_BYTES = 4096
const WIRE = { varint: 0, bytes: 2, fixed32: 5 } as const

export class WireWriter {
  /** Bytes written so far. */
  size = 0
  /** From the last to the first. */
  readonly #pieces: Piece[] = []
  #chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  /** Bytes of the chunk from here on are written. */
  #at = CHUNK_BYTES

  /** The pieces in the order of the file. */
  finish(): readonly Piece[] {
    this.#close()
    return this.#pieces.toReversed()
  }

  message(field: number, body: () => void): void {
    const before = this.size
    body()
    this.#varint(this.size - before)
    this.#tag(field, WIRE.bytes)
  }

  /** Each element with `write`, so that they stand in the file in the order of the list. */
  list<T>(values: Iterable<T>, write: (value: T) => void): void {
    const all = Array.isArray(values) ? (values as readonly T[]) : [...values]
    for (let index = all.length - 1; index >= 0; index--) write(all[index]!)
  }

  string(field: number, text: string): void {
    const length = Buffer.byteLength(text)
    if (length > CHUNK_BYTES) this.#raw(Buffer.from(text))
    else {
      const at = this.#room(length)
      this.#chunk.write(text, at, 'utf8')
    }
    this.#varint(length)
    this.#tag(field, WIRE.bytes)
  }

  bytes(field: number, bytes: Uint8Array): void {
    this.#raw(bytes)
    this.#varint(bytes.length)
    this.#tag(field, WIRE.bytes)
  }

  /** Bytes of a file as the value of a field. */
  range(field: number, range: Extract<TensorBytes, { readonly kind: 'range' }>): void {
    this.#close()
    this.#pieces.push(range)
    this.size += range.length
    this.#varint(range.length)
    this.#tag(field, WIRE.bytes)
  }

  int(field: number, value: number | bigint): void {
    this.#varint(value)
    this.#tag(field, WIRE.varint)
  }

  float(field: number, value: number): void {
    this.#float(value)
    this.#tag(field, WIRE.fixed32)
  }

  /** Packed; nothing for an empty list. */
  ints(field: number, values: readonly (number | bigint)[]): void {
    if (values.length === 0) return
    this.message(field, () => this.list(values, (value) => this.#varint(value)))
  }

  floats(field: number, values: readonly number[]): void {
    if (values.length === 0) return
    this.message(field, () => this.list(values, (value) => this.#float(value)))
  }

  #tag(field: number, wire: number): void {
    this.#varint(field * 8 + wire)
  }

  #float(value: number): void {
    const at = this.#room(4)
    this.#chunk.writeFloatLE(value, at)
  }

  #raw(bytes: Uint8Array): void {
    if (bytes.length <= COPIED_BYTES) {
      const at = this.#room(bytes.length)
      this.#chunk.set(bytes, at)
      return
    }
    this.#close()
    this.#pieces.push(bytes)
    this.size += bytes.length
  }

  #varint(value: number | bigint): void {
    if (typeof value === 'bigint' || value < 0) this.#longVarint(BigInt.asUintN(64, BigInt(value)))
    else if (value < 2 ** 31) this.#shortVarint(value)
    else this.#longVarint(BigInt(value))
  }

  #shortVarint(value: number): void {
    let length = 1
    while (value >>> (7 * length) !== 0 && length < 5) length++
    const at = this.#room(length)
    for (let index = 0; index < length; index++) {
      const more = index < length - 1 ? 0x80 : 0
      this.#chunk[at + index] = ((value >>> (7 * index)) & 0x7f) | more
    }
  }

  #longVarint(value: bigint): void {
    const parts: number[] = []
    for (let left = value; parts.length < LONGEST_VARINT; left >>= 7n) {
      parts.push(Number(left & 0x7fn))
      if (left < 0x80n) break
    }
    const at = this.#room(parts.length)
    for (const [index, part] of parts.entries()) this.#chunk[at + index] = index < parts.length - 1 ? part | 0x80 : part
  }

  /** Makes room for `count` bytes before what is written: where they go in the chunk, which may be a new one. */
  #room(count: number): number {
    if (this.#at < count) {
      this.#close()
      if (this.#at < count) this.#fresh()
    }
    this.#at -= count
    this.size += count
    return this.#at
  }

  #close(): void {
    if (this.#at < this.#chunk.length) this.#pieces.push(this.#chunk.subarray(this.#at))
    // What is left of the chunk serves on: large tensors alternate with a few bytes of names.
    if (this.#at < COPIED_BYTES) this.#fresh()
    else this.#chunk = this.#chunk.subarray(0, this.#at)
  }

  #fresh(): void {
    this.#chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    this.#at = CHUNK_BYTES
  }
}
