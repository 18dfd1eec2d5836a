/** Uniform integers out of a stream of bytes, without bias. */
import { createCipheriv } from 'node:crypto'
import type { RandomSource } from '../../util/index.ts'

export interface Words {
  /** The next 32 bits. */
  next(): number
  /** Uniform in 0 .. bound - 1, bound at most 2^53. */
  below(bound: number): number
  /** The next ones, as many as there is room for: a call for each is as dear as what is done with it. */
  fill?(words: Uint32Array): void
}

/** The next words, as many as there is room for. */
export function fillWords(source: Words, words: Uint32Array): void {
  if (source.fill !== undefined) source.fill(words)
  else for (let index = 0; index < words.length; index++) words[index] = source.next()
}

const PIECE = 1 << 14
const TWO32 = 2 ** 32
const TWO53 = 2 ** 53

/** @param bytes a cryptographic source: its output decides what noise hides */
export function wordsFrom(bytes: (length: number) => Uint8Array): Words {
  let words: Uint32Array = new Uint32Array()
  let at = 0
  const renew = (): void => {
    const piece = bytes(PIECE * 4)
    const whole = piece.byteOffset % 4 === 0 ? piece : new Uint8Array(piece)
    words = new Uint32Array(whole.buffer, whole.byteOffset, PIECE)
    at = 0
  }
  const next = (): number => {
    if (at === words.length) renew()
    return words[at++]!
  }
  const fill = (into: Uint32Array): void => {
    for (let from = 0; from < into.length;) {
      if (at === words.length) renew()
      const count = Math.min(into.length - from, words.length - at)
      into.set(words.subarray(at, at + count), from)
      at += count
      from += count
    }
  }
  const below = (bound: number): number => {
    if (bound <= TWO32) {
      const fair = TWO32 - (TWO32 % bound)
      for (;;) {
        const word = next()
        if (word < fair) return word % bound
      }
    }
    const fair = Math.floor(TWO53 / bound) * bound
    for (;;) {
      const value = (next() >>> 11) * TWO32 + next()
      if (value < fair) return value % bound
    }
  }
  return { next, below, fill }
}

/** Pieces under one key: what it would tell of the words before is soon nothing. */
const PIECES_A_KEY = 64
const KEY_BYTES = 32
/** Counter 0: each key makes one stream. */
const IV = new Uint8Array(16)
const NOTHING = new Uint8Array(PIECE * 4)

/**
 * Words of AES-256 in counter mode (NIST SP 800-38A) whose keys are drawn from `random`, and drawn anew every 4 MiB: as hard to guess as
 * those keys. The system's own generator is such a stream too, with as much around it for each call as this takes in all; a model has
 * millions of coordinates, and each takes three words.
 */
export function keyedWords(random: RandomSource): Words {
  let cipher: ReturnType<typeof createCipheriv>
  let left = 0
  let last: Buffer | undefined
  return wordsFrom((length) => {
    if (left === 0) {
      cipher = createCipheriv('aes-256-ctr', random.bytes(KEY_BYTES), IV)
      left = PIECES_A_KEY
    }
    left--
    // At once, so that a step's words take one piece of memory and not as many as it has.
    if (last !== undefined && last.byteLength === last.buffer.byteLength) (last.buffer as ArrayBuffer).transfer(0)
    return (last = cipher.update(NOTHING.subarray(0, length)))
  })
}
