/** Masks as streams: a vector is masked and unmasked in pieces, and no mask is ever held whole. */
import type { KeyStream } from './primitives.ts'

/** Coordinates a piece: 64 KiB of a keystream, which stay in the processor's cache; a whole number of packing groups. */
export const PIECE = 16_384

export interface Mask {
  readonly stream: KeyStream
  /** Whether the words are added or taken away. */
  readonly add: boolean
}

/** So many masks go through the words at once: the words are read and written a quarter as often. */
const ABREAST = 4

/** Adds the next words of all masks to `words`, mod 2^32; the low bits are right for any smaller modulus. */
export function applyMasks(masks: readonly Mask[], words: Uint32Array): void {
  for (const add of [true, false]) {
    const streams = masks.filter((mask) => mask.add === add).map(({ stream }) => stream)
    for (let first = 0; first < streams.length; first += ABREAST) {
      const group = streams.slice(first, first + ABREAST).map((stream) => wordsOf(stream.next(words.length * 4)))
      const [a, b, c, d] = group
      if (a !== undefined && b !== undefined && c !== undefined && d !== undefined) {
        if (add) for (let k = 0; k < words.length; k++) words[k]! += a[k]! + b[k]! + c[k]! + d[k]!
        else for (let k = 0; k < words.length; k++) words[k]! -= a[k]! + b[k]! + c[k]! + d[k]!
      } else {
        for (const mask of group) {
          if (add) for (let k = 0; k < words.length; k++) words[k]! += mask[k]!
          else for (let k = 0; k < words.length; k++) words[k]! -= mask[k]!
        }
      }
    }
  }
}

/** Keeps the low bits. */
export function reduceWords(words: Uint32Array, bits: number): void {
  if (bits === 32) return
  const low = 2 ** bits - 1
  for (let index = 0; index < words.length; index++) words[index]! &= low
}

/** Little-endian words; this code runs on little-endian processors, as the engine does. */
export function wordsOf(bytes: Uint8Array): Uint32Array {
  const whole = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes)
  return new Uint32Array(whole.buffer, whole.byteOffset, whole.length / 4)
}

/** The pieces of a vector of d coordinates. */
export function* pieces(d: number): Generator<{ readonly from: number; readonly to: number }> {
  for (let from = 0; from < d; from += PIECE) yield { from, to: Math.min(d, from + PIECE) }
}
