/**
 * Which of several ways a run that is over in milliseconds should go: with how many threads, and whether these spin between
 * its nodes. Each of the sixty products of a step wakes a sleeping thread, which costs as much as a product; spinning saves
 * that where a core is free for it, and costs twice as much where none is; a small stage is done before a second thread is
 * of use. What holds changes by the second, so it is measured all the time.
 */

/** Runs of each way that are looked back on. */
const KEPT = 6
/** Runs of another way in a row: the first one after a change is not counted. */
const TRIED = 3
/** Runs from one look at another way to the next: at worst each of `TRIED` takes twice as long, 3 % in all. */
const PERIOD = 96
/** Two runs that took so much longer than usual are reason to look at once. */
const SUDDEN = 1.5

/** Ways are numbers; 0 is always there, and the first. */
export class WayChoice {
  /** Milliseconds of runs, by way; the way that was looked at longest ago comes first. */
  readonly #times = new Map<number, number[]>([[0, []]])
  /** To be looked at, one after the other. */
  #due: number[] = []
  #best = 0
  #way = 0
  /** Runs until another way is looked at; of that one, until it is settled. */
  #left = TRIED
  /** The next run is the first after a change. */
  #isFresh = true
  #slow = 0

  /** How the next run should go. */
  get way(): number {
    return this.#way
  }

  /** Whether a way was looked at, and another is better. */
  hasLost(way: number): boolean {
    return way !== this.#best && way !== this.#way && (this.#times.get(way)?.length ?? 0) > 0
  }

  /** Another way is there: it is looked at soon. */
  add(way: number): void {
    this.#times.set(way, [])
    this.#due.push(way)
    if (this.#way === this.#best) this.#left = Math.min(this.#left, TRIED)
  }

  /** A way that has lost is there no more. */
  drop(way: number): void {
    this.#times.delete(way)
    this.#due = this.#due.filter((one) => one !== way)
  }

  /** @param ms of the run that went the chosen way */
  ran(ms: number): void {
    const times = this.#times.get(this.#way)!
    this.#slow = ms > SUDDEN * median(times) ? this.#slow + 1 : 0
    if (!this.#isFresh) times.push(ms)
    if (times.length > KEPT) times.shift()
    this.#isFresh = false
    this.#left--
    if (this.#way !== this.#best) {
      if (this.#left <= 0) this.#settle()
      return
    }
    if (this.#slow >= 2) {
      // Whatever it is, each other way may be the better one now.
      this.#due = this.#others()
      this.#left = 0
    }
    if (this.#left <= 0) this.#look()
  }

  #others(): number[] {
    return this.#times
      .keys()
      .filter((way) => way !== this.#best)
      .toArray()
  }

  #look(): void {
    const next = this.#due.shift() ?? this.#others()[0]
    this.#left = next === undefined ? PERIOD : TRIED
    if (next === undefined) return
    this.#times.delete(next)
    this.#times.set(next, [])
    this.#turn(next)
  }

  #settle(): void {
    const [tried, best] = [this.#way, this.#best].map((way) => median(this.#times.get(way)!))
    if (tried! < best!) this.#best = this.#way
    this.#left = this.#due.length > 0 ? TRIED : PERIOD
    this.#turn(this.#best)
  }

  #turn(way: number): void {
    this.#isFresh = way !== this.#way
    this.#slow = 0
    this.#way = way
  }
}

/** Of none: infinite, so that what was never tried is not chosen. */
function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Infinity
}
