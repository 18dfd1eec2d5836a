/**
 * Sees a route fall silent: nothing has come for longer than lately, and something is waited for. Its peers are asked then whether
 * they are there, and not with their next beat, so that one that stands still is known up to a second earlier.
 */
import type { Clock } from '../../util/index.ts'
import type { Waiting } from './stalls.ts'

const LOOK_MS = 150
/** How much longer than lately nothing may come. A question too many costs a beat. */
const FACTOR = 2
/** Looks at which something had come that count as lately. */
const LATELY = 16

export class Doubt {
  readonly #clock: Clock
  readonly #waiting: Pick<Waiting, 'furthest' | 'outstanding'>
  readonly #doubted: () => void
  #seen = 0
  #since = 0
  /** Milliseconds between looks at which something had come, the newest last. */
  readonly #gaps: number[] = []
  /** It has been told of this silence. */
  #told = false

  constructor(clock: Clock, waiting: Pick<Waiting, 'furthest' | 'outstanding'>, doubted: () => void) {
    this.#clock = clock
    this.#waiting = waiting
    this.#doubted = doubted
  }

  /** Returns how to end it. */
  begin(): () => void {
    this.#since = this.#clock.now()
    let cancel = (): void => undefined
    const look = (): void => {
      this.#look()
      cancel = this.#clock.after(LOOK_MS, look)
    }
    cancel = this.#clock.after(LOOK_MS, look)
    return () => cancel()
  }

  #look(): void {
    const now = this.#clock.now()
    const rows = this.#waiting.furthest()
    const hasCome = rows !== this.#seen
    if (hasCome) {
      this.#gaps.push(now - this.#since)
      if (this.#gaps.length > LATELY) this.#gaps.shift()
    }
    if (hasCome || this.#waiting.outstanding() === 0) {
      this.#seen = rows
      this.#since = now
      this.#told = false
      return
    }
    // Before anything has come nobody knows how long that takes.
    if (this.#told || this.#gaps.length === 0 || now - this.#since < FACTOR * Math.max(...this.#gaps)) return
    this.#told = true
    this.#doubted()
  }
}
