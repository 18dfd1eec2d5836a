/** How long places are held of late, and what follows from that for whoever waits for one. */

/** Of the newest time in the mean: some ten of them make it up. */
const NEWEST_SHARE = 0.15

export class ServiceTimes {
  #mean: number | undefined

  /** @param ms for which a place was held */
  held(ms: number): void {
    this.#mean = this.#mean === undefined ? ms : this.#mean + NEWEST_SHARE * (ms - this.#mean)
  }

  /**
   * Milliseconds from one end to the next, with so many places in use. Undefined: none has ended yet.
   * @param oldest for which the oldest of them is held already: a place is held for longer than that
   */
  between(places: number, oldest?: number): number | undefined {
    const known = this.#mean ?? oldest
    return known === undefined ? undefined : known / Math.max(1, places)
  }
}

/** Who is told to come again later than this asks whether there is anybody at all. */
const MOST_S = 60

/**
 * When those who are refused should come again: one after another, as places become free, since all of them at once would be
 * refused once more.
 */
export class ComeAgain {
  #last = -Infinity

  /**
   * Seconds until the place of the next one, from 1 to 60. Times in milliseconds.
   * @param between two places that become free. Undefined: nothing is known
   * @param ahead until all that wait here have theirs
   */
  next(now: number, between: number | undefined, ahead = 0): number {
    if (between === undefined) return 1
    const at = Math.max(this.#last, now + ahead) + between
    this.#last = Math.min(at, now + MOST_S * 1000)
    return Math.min(MOST_S, Math.max(1, Math.ceil((at - now) / 1000)))
  }
}
