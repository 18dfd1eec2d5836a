/**
 * How many guesses go with a step. A step with k guesses takes longer by k rows, and gives 1 + a + a² + ... + a^k tokens, where a
 * is the share of guesses that come true; the number with the most tokens a millisecond is taken, or none. Both are measured as
 * the text goes. Over long links a row costs little of a step and many guesses pay, on one machine few do.
 */
import { MAX_GUESSES } from '../../ring/guesses.ts'

/** Steps without guesses that are looked back on. */
const PLAIN_KEPT = 9
/** Before so many the time of a step is not known. */
const PLAIN_LEAST = 2
/** A step without guesses after so many with them: the machine may have become faster or slower. */
const PLAIN_EVERY = 40
/** Guesses must promise so much more than none. */
const MARGIN = 1.05
/** Before it was measured: a row more costs such a share of a step. */
const FIRST_ROW_SHARE = 0.2
/** Weight of what is new in a mean that follows. */
const FOLLOW = 0.25
/** By a step without guesses, towards what was taken for granted at first. */
const FORGET = 0.01
/** Share of the time so far that may be lost to guesses, and steps besides; once it is, none are made until it is half of that. */
const LOSS_SHARE = 0.02
const LOSS_STEPS = 1

/** Guesses after a match of 1, 2, 3, up to 5 and more tokens are sure to different degrees: at first by so much. */
const FIRST_TRUE = [0.15, 0.3, 0.5, 0.65, 0.8] as const
/** Guesses that the first estimate counts for. */
const FIRST_WEIGHT = 4
/** What was longer ago than some 60 guesses counts little. */
const FADE = 0.98

export class Window {
  readonly #isForced: boolean
  readonly #plain: number[] = []
  #sincePlain = 0
  #rowMs: number | undefined
  readonly #true = FIRST_TRUE.map((share) => ({ yes: share * FIRST_WEIGHT, all: FIRST_WEIGHT }))
  /** Milliseconds that guesses have saved so far, and all that steps have taken. */
  #saved = 0
  #spent = 0
  #isOff = false

  /** @param isForced guesses are made also where they lose */
  constructor(isForced = false) {
    this.#isForced = isForced
  }

  /** Milliseconds of a step without guesses; undefined: not known. */
  get stepMs(): number | undefined {
    if (this.#plain.length < PLAIN_LEAST) return undefined
    return this.#plain.toSorted((a, b) => a - b)[this.#plain.length >> 1]!
  }

  /** Another route: what a step takes has to be measured anew. */
  restart(): void {
    this.#plain.length = 0
    this.#rowMs = undefined
  }

  /** Guesses to be made of those that can be. @param match tokens that stood before them as they do now */
  size(match: number): number {
    const step = this.stepMs
    if (step === undefined || this.#sincePlain >= PLAIN_EVERY || (this.#isOff && !this.#isForced)) return 0
    const row = this.#rowMs ?? step * FIRST_ROW_SHARE
    const share = this.#share(match)
    let [best, pace] = [0, this.#isForced ? 0 : MARGIN / step]
    let tokens = 1
    for (let size = 1; size <= MAX_GUESSES; size++) {
      tokens += share ** size
      const reached = tokens / (step + row * size)
      if (reached > pace) [best, pace] = [size, reached]
    }
    return best
  }

  /**
   * A step without guesses took so long.
   * @param wouldBe whether a guess would have come true; undefined: there was none to be made
   */
  plain(ms: number, match = 0, wouldBe?: boolean): void {
    this.#sincePlain = 0
    if (wouldBe !== undefined) this.#learn(match, wouldBe ? 1 : 0, 1)
    // One row that was slow for another reason must not be the last that was tried.
    if (this.#rowMs !== undefined) this.#rowMs += FORGET * (ms * FIRST_ROW_SHARE - this.#rowMs)
    this.#spent += ms
    this.#plain.push(ms)
    if (this.#plain.length > PLAIN_KEPT) this.#plain.shift()
    this.#judge()
  }

  /** A step with so many guesses, of which so many came true. */
  guessed(ms: number, guesses: number, right: number, match: number): void {
    this.#sincePlain++
    this.#spent += ms
    const step = this.stepMs ?? ms
    const row = Math.max(0, ms - step) / guesses
    this.#rowMs = this.#rowMs === undefined ? row : this.#rowMs + FOLLOW * (row - this.#rowMs)
    this.#saved += (1 + right) * step - ms
    this.#learn(match, right, Math.min(right + 1, guesses))
    this.#judge()
  }

  /** So many guesses were looked at, and so many of them were right. */
  #learn(match: number, right: number, looked: number): void {
    const known = this.#true[kind(match)]!
    known.yes = known.yes * FADE + right
    known.all = known.all * FADE + looked
  }

  #share(match: number): number {
    const { yes, all } = this.#true[kind(match)]!
    return Math.min(0.99, yes / all)
  }

  #judge(): void {
    const allowed = LOSS_SHARE * this.#spent + LOSS_STEPS * (this.stepMs ?? 0)
    this.#isOff = -this.#saved > (this.#isOff ? allowed / 2 : allowed)
  }
}

function kind(match: number): number {
  return match <= 3 ? match - 1 : match <= 5 ? 3 : 4
}
