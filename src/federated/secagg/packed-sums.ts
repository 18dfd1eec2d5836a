/** Whole vectors and sums, packed, a piece at a time: none is in memory twice. */
import { pieces, reduceWords } from './masking.ts'
import { addPacked, pack, packedBytes } from './packing.ts'
import type { Primitives } from './primitives.ts'

/** Adds a packed vector in pieces. */
export function addVector(packed: Uint8Array, bits: number, sum: Uint32Array): void {
  for (const { from, to } of pieces(sum.length)) {
    const start = (from * bits) / 8
    addPacked(packed.subarray(start, start + packedBytes(to - from, bits)), bits, sum.subarray(from, to))
  }
}

/** The words mod 2^bits, packed; they stay as they are. */
export function packSum(sum: Uint32Array, bits: number): Uint8Array {
  const packed = new Uint8Array(packedBytes(sum.length, bits))
  for (const { from, to } of pieces(sum.length)) {
    const words = sum.slice(from, to)
    reduceWords(words, bits)
    packed.set(pack(words, bits), (from * bits) / 8)
  }
  return packed
}

export function sumDigest(crypto: Primitives, words: Uint32Array, bits: number): Uint8Array {
  const hash = crypto.hash()
  for (const { from, to } of pieces(words.length)) hash.update(pack(words.subarray(from, to), bits))
  return hash.digest()
}
