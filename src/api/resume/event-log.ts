/** The events of one answer, as they were sent, for a client that lost some: bounded, the oldest go first. */

export interface LogLimits {
  /** Events of one answer. */
  readonly keptEvents: number
  /** Bytes of one answer. */
  readonly keptBytes: number
}

/** Bytes that all answers together keep, and what each may keep once that is too much. */
export interface LogBudget {
  readonly limit: number
  used: number
}

/** A part of the limit of one answer that it keeps also when all together are over theirs. */
const LEAST_PART = 16

export class EventLog {
  readonly #limits: LogLimits
  readonly #budget: LogBudget
  readonly #events: string[] = []
  #first = 1
  #bytes = 0
  #released = false

  constructor(limits: LogLimits, budget: LogBudget) {
    this.#limits = limits
    this.#budget = budget
  }

  /** Number of the last event; 0 before the first. */
  get last(): number {
    return this.#first + this.#events.length - 1
  }

  /** Number of the oldest that is kept. */
  get first(): number {
    return this.#first
  }

  append(text: string): void {
    this.#events.push(text)
    this.#take(Buffer.byteLength(text))
  }

  /** Undefined: not yet there, or no longer. */
  at(number: number): string | undefined {
    return this.#events[number - this.#first]
  }

  /** Lets the oldest go that are too many; only to be called when the reader has all. */
  trim(): void {
    const { keptEvents, keptBytes } = this.#limits
    for (;;) {
      const most = this.#budget.used > this.#budget.limit ? keptBytes / LEAST_PART : keptBytes
      if (this.#events.length <= keptEvents && this.#bytes <= most) return
      const oldest = this.#events.shift()
      if (oldest === undefined) return
      this.#first += 1
      this.#take(-Buffer.byteLength(oldest))
    }
  }

  /** Its bytes count no longer: nobody but the reader of this moment will ask for them. */
  release(): void {
    this.#take(-this.#bytes)
    this.#released = true
  }

  #take(bytes: number): void {
    if (this.#released) return
    this.#bytes += bytes
    this.#budget.used += bytes
  }
}
