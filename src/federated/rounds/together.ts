/** Several that go on when all of them have come so far, or are out. */
import { RoundAbortedError } from '../plan/errors.ts'

export class Together {
  readonly #count: number
  readonly #least: number
  readonly #session: number
  readonly #all = Promise.withResolvers<void>()
  #arrived = 0
  #out = 0

  /** @param least of them: with fewer nobody goes on */
  constructor(session: number, count: number, least: number) {
    this.#session = session
    this.#count = count
    this.#least = least
    // Where nobody waits any more nobody has to hear it.
    this.#all.promise.catch(() => undefined)
  }

  /** @throws RoundAbortedError: too few have come so far */
  arrive(): Promise<void> {
    this.#arrived++
    this.#look()
    return this.#all.promise
  }

  /** One that does not come any more. */
  leave(): void {
    this.#out++
    this.#look()
  }

  #look(): void {
    if (this.#arrived + this.#out < this.#count) return
    if (this.#arrived >= this.#least) this.#all.resolve()
    else
      this.#all.reject(
        new RoundAbortedError(this.#session, 'sums', `${this.#arrived} sums are signed, and ${this.#least} are needed`),
      )
  }
}
