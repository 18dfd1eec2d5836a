/**
 * Whether another window goes while others are under way. With w of them in flight a window comes back every max(T, w b) / w, where T
 * is what one takes from the origin and back, and b what the stages compute of that: up to T / b windows each of them takes off what
 * is waited for links. It is for nothing where a guess before it is wrong; then the row that takes its place waits for what the
 * stages still compute. On one machine T is hardly more than b, and nothing is gained.
 */
import { Account } from './account.ts'
import { LEAST_CHANCE, MAX_WINDOWS } from './flight.ts'
import type { Pace } from './pace.ts'

/** Share of the time so far that may be lost to windows in flight, against one at a time. */
const LOSS_SHARE = 0.01
/** What the stages compute for nothing is worth so much of its time to others, even where nobody waits for it. */
const WASTE = 0.15
/** Of windows that were sent: the chances that they were taken to have are held against what came of them. */
const FIRST_WEIGHT = 3
const FADE = 0.95
/** Weight of what is new in a mean that follows. */
const FOLLOW = 0.25

export interface Chain {
  /** That are under way. */
  readonly windows: number
  /** Of the one that would be sent. */
  readonly rows: number
  /** That all guesses under way come true, and its first. */
  readonly chance: number
}

/** Where guesses are to be seen, so many windows go also where they gain nothing, unless their guesses are hardly ever right. */
const FORCED_WINDOWS = 3
const FORCED_CHANCE = 0.02

export class Depth {
  readonly #pace: Pace
  readonly #isForced: boolean
  readonly #account = new Account(LOSS_SHARE)
  #busy: number | undefined
  readonly #held = { expected: FIRST_WEIGHT, seen: FIRST_WEIGHT }

  /** @param isForced windows are chained also where they lose */
  constructor(pace: Pace, isForced = false) {
    this.#pace = pace
    this.#isForced = isForced
  }

  get timesOff(): number {
    return this.#account.timesOff
  }

  /** Another route. */
  restart(): void {
    this.#busy = undefined
  }

  /** A step without guesses: stages computed, or had other rows to compute, for so many milliseconds. */
  plain(ms: number, busy: number): void {
    const share = Math.min(ms, busy)
    this.#busy = this.#busy === undefined ? share : this.#busy + FOLLOW * (share - this.#busy)
  }

  /** Milliseconds for which stages compute a window; undefined: not known. */
  busy(rows: number): number | undefined {
    const [step, all] = [this.#pace.stepMs, this.#pace.expected(rows - 1)]
    if (step === undefined || all === undefined || this.#busy === undefined) return undefined
    return this.#busy + all - step
  }

  /** A window that was taken to have such a chance came to something, or to nothing. */
  judged(chance: number, holds: boolean): void {
    this.#held.expected = this.#held.expected * FADE + chance
    this.#held.seen = this.#held.seen * FADE + (holds ? 1 : 0)
  }

  pays({ windows, rows, chance: likely }: Chain): boolean {
    const chance = likely * Math.min(1, this.#held.seen / this.#held.expected)
    if (this.#isForced && windows < FORCED_WINDOWS && likely > FORCED_CHANCE) return true
    const [busy, cycle] = [this.busy(rows), this.#pace.expected(rows - 1)]
    if (
      chance < LEAST_CHANCE ||
      busy === undefined ||
      cycle === undefined ||
      this.#account.isOff ||
      windows >= MAX_WINDOWS
    )
      return false
    const every = (count: number): number => Math.max(cycle, count * busy) / count
    const gain = every(windows) - every(windows + 1)
    const late = Math.max(0, (windows + 1) * busy - cycle)
    return chance * gain > (1 - chance) * (late + WASTE * busy)
  }

  /**
   * A step is over.
   * @param saved milliseconds, against one window at a time
   */
  step(ms: number, saved: number): void {
    const { spread } = this.#pace.usual
    this.#account.step(ms, saved, this.#pace.stepMs ?? 0, saved === 0 ? 0 : spread)
  }
}
