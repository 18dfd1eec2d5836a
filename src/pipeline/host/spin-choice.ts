/**
 * Whether the threads of a run that is over in milliseconds should spin between its nodes. Each of the sixty products of
 * a step wakes a sleeping thread, which costs as much as a product; spinning saves that where a core is free for
 * it, and costs twice as much where none is. Which holds changes by the second, so it is measured all the time.
 */

/** Runs of each way that are looked back on. */
const KEPT = 6
/** Runs of the other way in a row: the first one after a change is not counted. */
const TRIED = 3
/** Runs from one look at the other way to the next: at worst each of `TRIED` takes twice as long, 3 % in all. */
const PERIOD = 96
/** Two runs that took so much longer than usual are reason to look at once. */
const SUDDEN = 1.5

type Way = 'still' | 'spinning'

export class SpinChoice {
  readonly #times: Readonly<Record<Way, number[]>> = { still: [], spinning: [] }
  #way: Way = 'still'
  /** Runs until the other way is looked at; below zero while it is. */
  #left = TRIED
  /** The next run is the first after a change. */
  #fresh = true
  #slow = 0

  /** How the next run should go. */
  get way(): Way {
    return this.#way
  }

  /** @param ms of the run that went the chosen way */
  ran(ms: number): void {
    const times = this.#times[this.#way]
    this.#slow = ms > SUDDEN * median(times) ? this.#slow + 1 : 0
    if (!this.#fresh) times.push(ms)
    if (times.length > KEPT) times.shift()
    this.#fresh = false
    this.#left--
    if (this.#left > 0 && this.#slow >= 2) this.#left = 0
    if (this.#left === 0) this.#look()
    else if (this.#left === -TRIED) this.#settle()
  }

  #look(): void {
    this.#turn(this.#way === 'still' ? 'spinning' : 'still')
    this.#times[this.#way].length = 0
  }

  #settle(): void {
    const better = median(this.#times.spinning) < median(this.#times.still) ? 'spinning' : 'still'
    this.#left = PERIOD
    this.#turn(better)
  }

  #turn(way: Way): void {
    this.#fresh = way !== this.#way
    this.#slow = 0
    this.#way = way
  }
}

/** Of none: infinite, so that what was never tried is not chosen. */
function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Infinity
}
