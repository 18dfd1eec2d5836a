/**
 * Finds a route on which nothing moves though all its peers are there: a frame that was lost, or a peer that takes rows and passes
 * none on. First all hops are asked how far they are, which also gives again what was lost; when still nothing comes,
 * whoever had more than the one behind it is replaced.
 */
import type { Clock } from '../../util/index.ts'
import { Doubt } from './doubt.ts'

const LOOK_MS = 500
/** Beyond the work itself: other users' prompts are computed meanwhile. */
const GRACE_MS = 2_500
/** Before anything has come, graphs of another size may be loaded, and others' prompts stand before this one. */
const FIRST_MS = 20_000
/** How much slower than lately a row may be. */
const SLOWDOWN = 8
/** Looks at which something had come that count as lately: one that waited for a replacement is forgotten. */
const LATELY = 16
/**
 * Of the time that the answer has: who is asked later than a third of it, and replaced later than two thirds, is asked in vain.
 * Asking costs a sound route nothing but that rows are sent again.
 */
const SHARE_OF_TIME = 1 / 3
/** A row of a prompt, before anything is known. */
const FIRST_ROW_MS = 100
/** A peer is replaced later than it is asked. */
const BEFORE_LOSS = 2

export interface Waiting {
  /** Rows given of which nothing has come; 0: nothing is waited for. */
  outstanding(): number
  /** Rows that have come through. */
  furthest(): number
  /** Milliseconds that others may keep it waiting. @default GRACE_MS */
  readonly graceMs?: number
  /** Milliseconds that the whole answer may take. @default no end */
  readonly deadlineMs?: number
}

export class Stalls {
  readonly #clock: Clock
  readonly #waiting: Waiting
  readonly #stalled: (hop: number | undefined, silentMs: number) => void
  readonly #doubt: Doubt
  #seen = 0
  #since = 0
  /** Milliseconds a row, the newest last. */
  readonly #paces: number[] = []
  /** All hops are being asked; what they had then. */
  #asking = false
  #had: readonly number[] | undefined

  /**
   * @param stalled hop: the one that passes nothing on; undefined: it is not known yet
   * @param doubted long before: nothing has come for longer than lately
   */
  constructor(
    clock: Clock,
    waiting: Waiting,
    stalled: (hop: number | undefined, silentMs: number) => void,
    doubted: () => void,
  ) {
    this.#clock = clock
    this.#waiting = waiting
    this.#stalled = stalled
    this.#doubt = new Doubt(clock, waiting, doubted)
  }

  /** Returns how to end it. */
  begin(): () => void {
    this.#since = this.#clock.now()
    const endDoubt = this.#doubt.begin()
    let cancel = (): void => undefined
    const look = (): void => {
      this.#look()
      cancel = this.#clock.after(LOOK_MS, look)
    }
    cancel = this.#clock.after(LOOK_MS, look)
    return () => {
      endDoubt()
      cancel()
    }
  }

  /** All hops have said how many rows they have. */
  asked(had: readonly number[]): void {
    if (this.#asking) this.#had = had
    this.#asking = false
    this.#since = this.#clock.now()
  }

  #look(): void {
    const now = this.#clock.now()
    const [rows, outstanding] = [this.#waiting.furthest(), this.#waiting.outstanding()]
    if (rows !== this.#seen) {
      // Seen at the looks alone: a row took no longer than this.
      this.#paces.push((now - this.#since) / (rows - this.#seen))
      if (this.#paces.length > LATELY) this.#paces.shift()
      this.#had = undefined
    }
    if (rows !== this.#seen || outstanding === 0) {
      this.#seen = rows
      this.#since = now
      return
    }
    const silent = now - this.#since
    if (silent < this.#allowed(outstanding)) return
    const hop = this.#had === undefined ? undefined : lagging(this.#had)
    this.#asking = hop === undefined
    this.#had = undefined
    this.#since = now
    this.#stalled(hop, silent)
  }

  /** Milliseconds of silence until hops are asked, or, once they were, until one of them is replaced. */
  #allowed(outstanding: number): number {
    const { graceMs = GRACE_MS, deadlineMs = Infinity } = this.#waiting
    const isFirst = this.#paces.length === 0
    const slowest = isFirst ? FIRST_ROW_MS : Math.max(...this.#paces)
    const grace = isFirst ? Math.max(FIRST_MS, graceMs) : graceMs
    const allowed = (grace + SLOWDOWN * outstanding * slowest) * (this.#had === undefined ? 1 : BEFORE_LOSS)
    return Math.min(allowed, Math.max(graceMs, deadlineMs * SHARE_OF_TIME))
  }
}

/** The hop whose rows the next one does not have; the last where all have the same. */
function lagging(had: readonly number[]): number {
  const hop = had.findIndex((rows, index) => rows > (had[index + 1] ?? rows))
  return hop < 0 ? had.length - 1 : hop
}
