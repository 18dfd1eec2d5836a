/** How often guesses of some kind come true: counted as the text goes, what is new more than what is old. */

/** Guesses that the first estimate counts for. */
const FIRST_WEIGHT = 4
/** What was longer ago than some 60 guesses counts little. */
const FADE = 0.98
/** Nothing is certain. */
const MOST = 0.99

export class Shares {
  readonly #counts: { yes: number; all: number }[]

  /** @param first shares that are taken for granted at first, one a kind */
  constructor(first: readonly number[]) {
    this.#counts = first.map((share) => ({ yes: share * FIRST_WEIGHT, all: FIRST_WEIGHT }))
  }

  of(kind: number): number {
    const { yes, all } = this.#counts[kind]!
    return Math.min(MOST, yes / all)
  }

  /** Of all kinds together. */
  get mean(): number {
    const [yes, all] = this.#counts.reduce((sum, count) => [sum[0] + count.yes, sum[1] + count.all], [0, 0])
    return Math.min(MOST, yes / all)
  }

  /** So many were looked at, and so many of them were right. */
  learn(kind: number, right: number, looked: number): void {
    const known = this.#counts[kind]!
    known.yes = known.yes * FADE + right
    known.all = known.all * FADE + looked
  }
}
