/**
 * Words of b bits as bytes: value k lies in bits [k b, (k + 1) b) of a stream that is filled from the low bit of byte 0.
 * Both ways work on any multiple of 32 values at a time, since those are whole 32-bit words: vectors are streamed.
 */
import { PaddingError, ParameterRangeError, VectorLengthError } from '../errors.ts'
import type { Place } from '../errors.ts'

/** A run of this many values ends on a byte and on a 32-bit word, whatever the bits. */
export const PACKING_GROUP = 32

export function packedBytes(count: number, bits: number): number {
  return Math.ceil((count * bits) / 8)
}

export function checkBits(bits: number): void {
  if (!Number.isInteger(bits) || bits < 1 || bits > 32) throw new ParameterRangeError(`${bits} bits are not 1 to 32`)
}

/** @throws ParameterRangeError for a word that has more bits, with its index */
export function pack(words: Uint32Array, bits: number): Uint8Array {
  checkBits(bits)
  const bytes = packedBytes(words.length, bits)
  if (bits === 32) return new Uint8Array(words.buffer, words.byteOffset, bytes).slice()
  const out = new Uint32Array(Math.ceil(bytes / 4))
  const most = 2 ** bits - 1
  let filled = 0
  let pending = 0
  let at = 0
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!
    if (word > most) throw new ParameterRangeError(`word ${index} has more than ${bits} bits`, { index })
    pending |= word << filled
    filled += bits
    if (filled < 32) continue
    out[at++] = pending
    filled -= 32
    pending = filled === 0 ? 0 : word >>> (bits - filled)
  }
  if (filled > 0) out[at] = pending
  return new Uint8Array(out.buffer, 0, bytes)
}

/** @throws VectorLengthError, PaddingError */
export function unpack(bytes: Uint8Array, bits: number, count: number, place: Place = {}): Uint32Array {
  checkBits(bits)
  checkPacked(bytes, bits, count, place)
  const out = new Uint32Array(count)
  addPacked(bytes, bits, out)
  return out
}

/** Length and zero padding of a whole packed vector. @throws VectorLengthError, PaddingError */
export function checkPacked(bytes: Uint8Array, bits: number, count: number, place: Place = {}): void {
  const needed = packedBytes(count, bits)
  if (bytes.length !== needed) {
    throw new VectorLengthError(`${count} words of ${bits} bits are ${needed} bytes, not ${bytes.length}`, place)
  }
  const used = (count * bits) % 8
  if (used !== 0 && bytes.at(-1)! >>> used !== 0) {
    throw new PaddingError(`bits after word ${count - 1} are not zero`, place)
  }
}

/** Adds packed words into sums mod 2^32; `bytes` start at a whole group. The caller has checked their length. */
export function addPacked(bytes: Uint8Array, bits: number, sums: Uint32Array): void {
  const words = alignedWords(bytes)
  if (bits === 32) {
    for (let index = 0; index < sums.length; index++) sums[index]! += words[index]!
    return
  }
  const mask = 2 ** bits - 1
  let at = 0
  let used = 0
  for (let index = 0; index < sums.length; index++) {
    let value = words[at]! >>> used
    used += bits
    if (used >= 32) {
      used -= 32
      at++
      if (used > 0) value |= words[at]! << (bits - used)
    }
    sums[index]! += value & mask
  }
}

/** The same bytes as little-endian words; copied only where they do not lie on words. */
function alignedWords(bytes: Uint8Array): Uint32Array {
  if (bytes.byteOffset % 4 === 0 && bytes.length % 4 === 0) {
    return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  }
  const words = new Uint32Array(Math.ceil(bytes.length / 4))
  new Uint8Array(words.buffer).set(bytes)
  return words
}
