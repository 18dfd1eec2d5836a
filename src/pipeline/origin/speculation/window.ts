/** How many guesses out of the text itself go with a step, and when none do because they have lost. */
import { Account } from './account.ts'
import { Pace } from './pace.ts'
import type { Choice } from './pace.ts'
import { Shares } from './shares.ts'

/** Share of the time so far that may be lost to them. */
const LOSS_SHARE = 0.02
/** Guesses after a match of 1, 2, 3, up to 5 and more tokens are sure to different degrees: at first by so much. */
const FIRST_TRUE = [0.15, 0.3, 0.5, 0.65, 0.8] as const

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
    const share = this.#shares.of(kind(match))
    return this.#pace.best({ share: () => share }, this.#isForced)
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

  /** A step with none of these guesses. */
  looked(ms: number, match: number, wouldBe: boolean | undefined): void {
    if (wouldBe !== undefined) this.#shares.learn(kind(match), wouldBe ? 1 : 0, 1)
    this.#account.step(ms, 0, this.#pace.stepMs ?? 0)
  }

  /**
   * A step with so many guesses, of which so many came true.
   * @param beside milliseconds of it that were lost to something else
   */
  guessed(ms: number, guesses: number, right: number, match: number, beside = 0): void {
    const step = this.#pace.stepMs ?? ms
    this.#pace.other(ms - beside, guesses)
    this.#shares.learn(kind(match), right, Math.min(right + 1, guesses))
    this.#account.step(ms, (1 + right) * step - (ms - beside), this.#pace.stepMs ?? 0)
  }
}

function kind(match: number): number {
  return match <= 3 ? match - 1 : match <= 5 ? 3 : 4
}
