/**
 * Guesses out of the text itself (prompt look-up, Saxena 2023): what followed the last few tokens where they stood before.
 * Costs nothing but the look, and is right where a text is copied, edited or repeated.
 */

/** The last so many tokens are looked for, the longest first. */
const LENGTHS = [4, 3, 2, 1] as const
/** How far back a match is compared: longer ones are no more sure. */
const MOST_MATCH = 16

export interface Guess {
  readonly ids: readonly number[]
  /** Tokens before it that are those of the place where it was found. */
  readonly match: number
}

export class Lookup {
  readonly #ids: number[] = []
  /** For each length: where these tokens ended last, by a hash of them; and where before that. */
  readonly #last = LENGTHS.map(() => new Map<number, number>())
  readonly #before: number[] = LENGTHS.map(() => -1)

  push(id: number): void {
    this.#ids.push(id)
    const end = this.#ids.length
    for (const [index, length] of LENGTHS.entries()) {
      if (end < length) continue
      const key = this.#hash(end, length)
      this.#before[index] = this.#last[index]!.get(key) ?? -1
      this.#last[index]!.set(key, end)
    }
  }

  /** What may follow, at most `most` tokens; undefined: nothing like the last tokens was there before. */
  guess(most: number): Guess | undefined {
    const end = this.#ids.length
    for (const [index, length] of LENGTHS.entries()) {
      const at = this.#before[index]!
      if (at < 0 || most < 1) continue
      const match = this.#matching(at, end)
      // Another text with the same hash.
      if (match < length) continue
      const ids: number[] = []
      // Where it runs into its own end, the text repeats itself.
      for (let step = 0; step < most; step++) ids.push(this.#ids[at + step] ?? ids[at + step - end]!)
      return { ids, match }
    }
    return undefined
  }

  #matching(one: number, other: number): number {
    let match = 0
    while (match < MOST_MATCH && match < one && this.#ids[one - 1 - match] === this.#ids[other - 1 - match]) match++
    return match
  }

  #hash(end: number, length: number): number {
    let hash = length
    for (let at = end - length; at < end; at++) hash = (Math.imul(hash, 0x01000193) ^ this.#ids[at]!) >>> 0
    return hash
  }
}
