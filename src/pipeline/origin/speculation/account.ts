/** What guesses of one source have saved and lost: where they have lost too much, none are made for a while. */

/** Steps that may be lost besides the share of the time. */
const LOSS_STEPS = 1

export class Account {
  readonly #share: number
  /** Milliseconds. */
  #saved = 0
  #spent = 0
  #isOff = false
  #timesOff = 0
  /** What chance alone makes of the steps, squared. */
  #chance = 0

  /** @param share of the time so far that may be lost */
  constructor(share: number) {
    this.#share = share
  }

  /** None are made until what was lost is half of what may be. */
  get isOff(): boolean {
    return this.#isOff
  }

  get timesOff(): number {
    return this.#timesOff
  }

  /**
   * A step took so long, and that was so much less than without.
   * @param stepMs of a step without guesses
   * @param spread milliseconds by which these differ from each other: what is lost by chance is no loss
   */
  step(ms: number, saved: number, stepMs: number, spread = 0): void {
    this.#spent += ms
    this.#saved += saved
    this.#chance += spread ** 2
    const allowed = this.#share * this.#spent + LOSS_STEPS * stepMs + Math.sqrt(this.#chance)
    const isOff = -this.#saved > (this.#isOff ? allowed / 2 : allowed)
    if (isOff && !this.#isOff) this.#timesOff++
    this.#isOff = isOff
  }
}
