/** When a session that goes on by another route tries again, and when it has tried often enough. */
import type { Clock } from '../../util/index.ts'
import { MAX_ATTEMPTS } from '../ring/protocol.ts'

/** After attempts that came to nothing, the next look waits. */
const LOOK_MS = 200
const MOST_PAUSE_MS = 2_000
/** Attempts that came to nothing before a session may be given up. */
const FRUITLESS = 4

export class Pacing {
  readonly #clock: Clock
  readonly #signal: AbortSignal
  /** Attempts since the last row or token came through. */
  #fruitless = 0

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock
    this.#signal = signal
  }

  /** A row or token came through. */
  fruit(): void {
    this.#fruitless = 0
  }

  /** Before attempt number `next`. @throws `last` when there have been enough, the signal's reason */
  async wait(next: number, until: number, last: Error): Promise<void> {
    const isHopeless = this.#fruitless >= FRUITLESS && this.#clock.now() > until
    if (isHopeless || next >= MAX_ATTEMPTS) throw last
    const pause = Math.min(MOST_PAUSE_MS, LOOK_MS * 2 ** (this.#fruitless - 1))
    if (this.#fruitless > 0) await this.#clock.sleep(pause, this.#signal)
    this.#fruitless++
  }
}
