/** Those that wait for room on one route, in line, and what is known of when there will be some. */
import { ComeAgain, orAbort, ServiceTimes } from '../util/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'

/** Answers that wait for one route: each holds its prompt, and a connection. */
export const MAX_WAITING = 256
/** Milliseconds that one waits: proxies and people give up soon after. */
export const MAX_WAIT_MS = 30_000
/** Milliseconds between two tries while nothing of this peer ends: other origins have sessions there too. */
const RETRY_MS = 1_000

export interface Refusal {
  readonly waiting: number
  readonly running: number
  /** Seconds. */
  readonly again: number
}

export class Line {
  readonly #clock: Clock
  /** Those of the lowest rank first, of one rank in the order in which they came. */
  readonly #waiting: Place[] = []
  readonly #held = new Set<{ readonly since: number }>()
  readonly #times = new ServiceTimes()
  readonly #again = new ComeAgain()
  #trying: Place | undefined
  /** Room was made while one tried. */
  #missed = false
  #cancelRetry: CancelTimer = () => undefined
  /** Being opened now. */
  opening = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Answers of this peer whose end makes room. */
  get running(): number {
    return this.#held.size
  }

  get isUnused(): boolean {
    return this.#waiting.length + this.#held.size + this.opening === 0
  }

  isBehind(rank: number): boolean {
    return this.#waiting.some((other) => other.rank <= rank)
  }

  /** An answer begins. Returns what is called at its end, once. */
  begin(): () => void {
    const held = { since: this.#clock.now() }
    this.#held.add(held)
    return () => {
      if (!this.#held.delete(held)) return
      this.#times.held(this.#clock.now() - held.since)
      this.#wake()
    }
  }

  /** Undefined: it would wait too long, or behind too many. */
  enter(rank: number): Place | undefined {
    const ahead = this.#waiting.filter((other) => other.rank <= rank).length
    if ((ahead + 1) * (this.#between() ?? 0) > MAX_WAIT_MS) return undefined
    const last = this.#waiting.at(-1)
    if (this.#waiting.length >= MAX_WAITING) {
      if (last === undefined || last.rank <= rank) return undefined
      last.refuse()
      this.#waiting.pop()
    }
    const place = new Place(this, this.#clock, rank)
    this.#waiting.splice(ahead, 0, place)
    this.#retryLater()
    return place
  }

  /** What one that is sent away is told; the next one is told a later time. */
  refusal(): Refusal {
    const between = this.#between()
    const again = this.#again.next(this.#clock.now(), between, this.waiting * (between ?? 0))
    return { waiting: this.waiting, running: this.running, again }
  }

  /** It has tried, or waits for its first turn. */
  turnOf(place: Place): void {
    if (this.#trying !== place) return
    this.#trying = undefined
    if (this.#missed) this.#wake()
    else this.#retryLater()
  }

  leave(place: Place): void {
    const at = this.#waiting.indexOf(place)
    if (at >= 0) this.#waiting.splice(at, 1)
    if (this.#waiting.length === 0) this.#cancelRetry()
    if (this.#trying !== place) return
    this.#trying = undefined
    this.#wake()
  }

  #between(): number | undefined {
    const [oldest] = this.#held
    return this.#times.between(this.#held.size, oldest && this.#clock.now() - oldest.since)
  }

  #wake(): void {
    this.#missed = this.#trying !== undefined
    const first = this.#waiting[0]
    if (this.#missed || first === undefined) return
    this.#cancelRetry()
    this.#trying = first
    first.go()
  }

  #retryLater(): void {
    this.#cancelRetry()
    this.#cancelRetry = this.#clock.after(RETRY_MS, () => this.#wake())
  }
}

/** One that waits. */
export class Place {
  readonly #line: Line
  readonly rank: number
  readonly #cancel: CancelTimer
  #turn = Promise.withResolvers<boolean>()
  #isRefused = false

  constructor(line: Line, clock: Clock, rank: number) {
    this.#line = line
    this.rank = rank
    this.#cancel = clock.after(MAX_WAIT_MS, () => this.refuse())
  }

  /** Resolves when it may try: with false, when its time is over. @throws the signal's reason */
  async turn(signal: AbortSignal): Promise<boolean> {
    if (this.#isRefused) return false
    const turn = orAbort(this.#turn.promise, signal)
    this.#line.turnOf(this)
    return turn
  }

  go(): void {
    const turn = this.#turn
    this.#turn = Promise.withResolvers()
    turn.resolve(true)
  }

  refuse(): void {
    this.#isRefused = true
    this.#turn.resolve(false)
  }

  leave(): void {
    this.#cancel()
    this.#line.leave(this)
  }
}
