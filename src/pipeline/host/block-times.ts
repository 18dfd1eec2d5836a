/** What a decoder block takes here, seen in the runs that are made anyway. */

/** Runs that count: a median over them follows a change of load within seconds, and one slow run is not seen. */
const WINDOW = 31
/** Rows from which on the kernels work as in a prompt. */
const PREFILL_ROWS = 16

/** Medians over the last runs; null until there was one. */
export interface BlockTimes {
  /** Milliseconds of one decoder block for one row that is alone. */
  readonly one: number | null
  /** Milliseconds of one decoder block for a row of a prompt. */
  readonly prefill: number | null
  /** Milliseconds of the head for one row. */
  readonly head: number | null
  /** Runs of either kind so far. */
  readonly runs: number
}

export class BlockMeter {
  readonly #one = new Window()
  readonly #prefill = new Window()
  readonly #head = new Window()
  #runs = 0

  /** A run of so many blocks. @param ms of all of them */
  decoded(blocks: number, sessions: number, rows: number, ms: number): void {
    if (blocks === 0) return
    this.#runs++
    if (rows === 1) this.#one.add(ms / blocks)
    else if (sessions === 1 && rows >= PREFILL_ROWS) this.#prefill.add(ms / (blocks * rows))
  }

  projected(rows: number, ms: number): void {
    if (rows === 1) this.#head.add(ms)
  }

  times(): BlockTimes {
    return {
      one: this.#one.median(),
      prefill: this.#prefill.median(),
      head: this.#head.median(),
      runs: this.#runs,
    }
  }
}

class Window {
  readonly #values: number[] = []
  #next = 0

  add(value: number): void {
    this.#values[this.#next] = value
    this.#next = (this.#next + 1) % WINDOW
  }

  median(): number | null {
    const sorted = [...this.#values].sort((left, right) => left - right)
    return sorted[sorted.length >> 1] ?? null
  }
}
