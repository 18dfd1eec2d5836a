/** Big-endian fields and texts, as `fl-secagg/1` concatenates them. */
import { VectorLengthError } from '../errors.ts'

const encoder = new TextEncoder()

export function ascii(text: string): Uint8Array {
  return encoder.encode(text)
}

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value)
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value & 0xff)
}

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

export function f64(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setFloat64(0, value)
  return bytes
}

/** u16 length || UTF-8. @throws VectorLengthError for a text over 65,535 bytes */
export function lengthPrefixed(text: string): Uint8Array {
  const bytes = encoder.encode(text)
  if (bytes.length > 0xffff) throw new VectorLengthError(`a name has ${bytes.length} bytes, 65535 are the most`)
  return concat(u16(bytes.length), bytes)
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  return Buffer.compare(left, right)
}

export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0
}
