/** How many guesses out of the text itself go with a step, and when none do because they have lost. */
import { Account } from './account.ts'
import { Pace } from './pace.ts'
import type { Choice } from './pace.ts'
import { Shares } from './shares.ts'

/** Share of the time so far that may be lost to them. */
const LOSS_SHARE = 0.02
/** Guesses after a match of so many tokens, or more than the last, are sure to different degrees: at first by so much. */
const MATCHES = [1, 2, 3, 5, 11] as const
const FIRST_TRUE = [0.15, 0.3, 0.5, 0.65, 0.8, 0.85] as const

/** A step with guesses out of the text. */
export interface Guessed {
  readonly ms: number
  readonly guesses: number
  /** That came true. */
  readonly right: number
  readonly match: number
  /** Milliseconds of it that were lost to something else. @default 0 */
  readonly beside?: number
  /** Nothing was under way before it: it says what rows take. @default true */
  readonly isAlone?: boolean
}

export class Window {
  readonly #isForced: boolean
  readonly #pace: Pace
  readonly #shares = new Shares(FIRST_TRUE)
  readonly #account = new Account(LOSS_SHARE)

  /** @param isForced guesses are made also where they lose */
  constructor(isForced = false, pace = new Pace()) {
    this.#isForced = isForced
    this.#pace = pace
  }

  /** Another route: what a step takes has to be measured anew. */
  restart(): void {
    this.#pace.restart()
  }

  /** @param match tokens that stood before the guesses as they do now; 0: there are none */
  best(match: number): Choice {
    if (match === 0 || (this.#account.isOff && !this.#isForced)) return { size: 0, pace: 0 }
    const share = this.share(match)
    return this.#pace.best({ share: () => share }, this.#isForced)
  }

  /** Chance of a guess after such a match to come true, when those before it have. */
  share(match: number): number {
    return this.#shares.of(kind(match))
  }

  size(match: number): number {
    return this.best(match).size
  }

  /**
   * A step without guesses took so long.
   * @param wouldBe whether a guess would have come true; undefined: there was none to be made
   */
  plain(ms: number, match = 0, wouldBe?: boolean): void {
    this.#pace.plain(ms)
    this.looked(ms, match, wouldBe)
  }

  /**
   * A step with none of these guesses.
   * @param saved milliseconds; less than 0: lost to some that came before
   */
  looked(ms: number, match: number, wouldBe: boolean | undefined, saved = 0): void {
    if (wouldBe !== undefined && match > 0) this.judged(match, wouldBe)
    this.#account.step(ms, saved, this.#pace.stepMs ?? 0)
  }

  /** Whether a guess came true. */
  judged(match: number, isRight: boolean): void {
    this.#shares.learn(kind(match), isRight ? 1 : 0, 1)
  }

  guessed({ ms, guesses, right, match, beside = 0, isAlone = true }: Guessed): void {
    const step = this.#pace.stepMs ?? ms
    this.#pace.other(ms - beside, isAlone ? guesses : 0)
    if (guesses > 0) this.#shares.learn(kind(match), right, Math.min(right + 1, guesses))
    this.#account.step(ms, (1 + right) * step - (ms - beside), this.#pace.stepMs ?? 0)
  }
}

function kind(match: number): number {
  const place = MATCHES.findIndex((most) => match <= most)
  return place < 0 ? MATCHES.length : place
}
