/** Uniform integers out of a stream of bytes, without bias. */

export interface Words {
  /** The next 32 bits. */
  next(): number
  /** Uniform in 0 .. bound - 1, bound at most 2^53. */
  below(bound: number): number
}

const PIECE = 1 << 14
const TWO32 = 2 ** 32
const TWO53 = 2 ** 53

/** @param bytes a cryptographic source: its output decides what noise hides */
export function wordsFrom(bytes: (length: number) => Uint8Array): Words {
  let words: Uint32Array = new Uint32Array()
  let at = 0
  const next = (): number => {
    if (at === words.length) {
      const piece = bytes(PIECE * 4)
      const whole = piece.byteOffset % 4 === 0 ? piece : new Uint8Array(piece)
      words = new Uint32Array(whole.buffer, whole.byteOffset, PIECE)
      at = 0
    }
    return words[at++]!
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
  return { next, below }
}
