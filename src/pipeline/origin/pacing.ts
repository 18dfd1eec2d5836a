/** When a session that goes on by another route tries again, and when it has tried often enough. */
import type { ErrorInfo } from '../../errors.ts'
import type { Clock } from '../../util/index.ts'
import { MemoryQuotaError, StageMemoryError } from '../errors.ts'
import { KvFullError } from '../host/errors.ts'
import { StageHostLostError } from '../host/host-errors.ts'
import { PeerLostError, SessionRefusedError } from '../ring/errors.ts'
import { MAX_ATTEMPTS } from '../ring/protocol.ts'

/** After attempts that came to nothing, the next look waits. */
const LOOK_MS = 200
const MOST_PAUSE_MS = 2_000
/** Attempts that came to nothing before a session may be given up. */
const FRUITLESS = 4
/** What fails for a reason of its own fails again: so many attempts go over three peers twice. */
const MOST_REFUSED = 6
/** What kills whoever computes it kills the next one, too. */
const MOST_LOST = 16

/** A hop that has to fetch and pack its blocks first takes this long at most. */
const OPEN_MS = 300_000
/** Of the time that the answer has: then others are asked, while whoever loads goes on with that. */
const SHARE_OF_TIME = 1 / 3
/**
 * In the middle of a text others are asked before: one of them may have the blocks, and whoever fetches them goes on with that
 * meanwhile. The first four together are longer than one of the first route.
 */
const AGAIN_MS = 10_000
const OPEN_GROWTH = 3

const LOSSES = codes(PeerLostError, StageHostLostError)
/** Room may be made. */
const FULL = codes(KvFullError, SessionRefusedError, MemoryQuotaError, StageMemoryError)

export class Pacing {
  readonly #clock: Clock
  readonly #signal: AbortSignal
  readonly #waitsUntil: (since: number) => number
  readonly #firstMs: number
  /** Time of the clock at which the answer has no time any more. */
  readonly #endsAt: number
  /** Attempts since a row came through that had not come before. */
  #fruitless = 0
  /** What ended them. */
  #lost = 0
  #refused = 0
  #since = 0
  #furthest = 0
  #cameAt: number

  /**
   * @param waitsUntil until when somebody may be waited for who is missing since then; times of the clock
   * @param deadlineMs milliseconds that the answer has
   */
  constructor(clock: Clock, signal: AbortSignal, waitsUntil: (since: number) => number, deadlineMs = Infinity) {
    this.#clock = clock
    this.#signal = signal
    this.#waitsUntil = waitsUntil
    this.#firstMs = Math.min(OPEN_MS, Math.max(AGAIN_MS, deadlineMs * SHARE_OF_TIME))
    this.#cameAt = clock.now()
    this.#endsAt = this.#cameAt + deadlineMs
  }

  /**
   * Milliseconds for a hop to be opened: of the first route a third of what the answer has, and of another one a little at first and a
   * third of what is left at most, so that more than one other is asked and there is time to come back to whoever has loaded meanwhile.
   */
  get openMs(): number {
    if (this.#fruitless === 0) return this.#firstMs
    const most = Math.max(AGAIN_MS, (this.#endsAt - this.#clock.now()) * SHARE_OF_TIME)
    return Math.min(OPEN_MS, most, AGAIN_MS * OPEN_GROWTH ** (this.#fruitless - 1))
  }

  /** Rows that have come through. */
  get furthest(): number {
    return this.#furthest
  }

  /** When a row came through that had not come before; without any, when it began. */
  get cameAt(): number {
    return this.#cameAt
  }

  /** Until when it is tried, from the first attempt that came to nothing. */
  get until(): number {
    if (this.#fruitless === 0) this.#since = this.#clock.now()
    return this.#waitsUntil(this.#since)
  }

  /** So many rows have come through. What had come before, and comes again, is none. */
  fruit(rows: number): void {
    if (rows <= this.#furthest) return
    this.#furthest = rows
    this.#cameAt = this.#clock.now()
    this.#fruitless = 0
    this.#lost = 0
    this.#refused = 0
  }

  /** Before attempt number `next`. @throws `last` when there have been enough, the signal's reason */
  async wait(next: number, until: number, last: Error): Promise<void> {
    const { code } = last as { code?: unknown }
    if (LOSSES.has(code)) this.#lost++
    else if (!FULL.has(code)) this.#refused++
    const isOver = this.#fruitless >= FRUITLESS && this.#clock.now() > until
    const isHopeless = this.#refused > MOST_REFUSED || this.#lost > MOST_LOST
    if (isOver || isHopeless || next >= MAX_ATTEMPTS) throw last
    const pause = Math.min(MOST_PAUSE_MS, LOOK_MS * 2 ** (this.#fruitless - 1))
    if (this.#fruitless > 0) await this.#clock.sleep(pause, this.#signal)
    this.#fruitless++
  }
}

function codes(...errors: readonly { readonly info: ErrorInfo }[]): ReadonlySet<unknown> {
  return new Set(errors.map(({ info }) => info.code))
}
