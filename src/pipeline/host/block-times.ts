/** What a decoder block takes here, seen in the runs that are made anyway. */
import type { BatchPoint } from '../../placement/index.ts'

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
  /** How many times as long as for one row it takes for several of different sessions; of sizes that were seen. */
  readonly batch: readonly BatchPoint[]
  /** Runs of either kind so far. */
  readonly runs: number
}

/** Rows in company up to which the kernels cost what they cost for a few. */
const FEW_ROWS = 16
/** Sizes of a batch that are told of: a run counts for the one that is nearest by its ratio. */
const BATCH_ROWS = [2, 4, 8, 16] as const
/** Fewer runs of a size say nothing yet. */
const ENOUGH_BATCHES = 5
/** Share of a person's run that rows of the batch lane may add to it. */
const RIDERS_SHARE = 0.1
const MOST_RIDERS = 8

export class BlockMeter {
  readonly #one = new Window()
  readonly #prefill = new Window()
  readonly #head = new Window()
  /** Milliseconds of one block for one row more, beside a few others. */
  readonly #further = new Window()
  /** Milliseconds of one block for a row of a run of many, of one session or several. */
  readonly #many = new Window()
  /** By the size: what each row more took, as a share of the first. */
  readonly #batches = new Map(BATCH_ROWS.map((rows) => [rows, new Window()] as const))
  #runs = 0

  /** A run of so many blocks. @param ms of all of them */
  decoded(blocks: number, sessions: number, rows: number, ms: number): void {
    if (blocks === 0) return
    this.#runs++
    if (rows >= PREFILL_ROWS) this.#many.add(ms / (blocks * rows))
    if (rows === 1) this.#one.add(ms / blocks)
    else if (sessions > 1 && rows <= FEW_ROWS) this.#add(ms / blocks, rows)
    else if (sessions === 1 && rows >= PREFILL_ROWS) this.#prefill.add(ms / (blocks * rows))
  }

  #add(blockMs: number, rows: number): void {
    const one = this.#one.median()
    if (one === null || one === 0) return
    const further = Math.max(0, blockMs - one) / (rows - 1)
    this.#further.add(further)
    // Against one row as it is now: under another load both take longer.
    this.#batches.get(nearest(rows))!.add(further / one)
  }

  /** One-row jobs that may go along with a person's row and cost it next to nothing; 0 before that is known. */
  get riders(): number {
    const [one, further] = [this.#one.median(), this.#further.median() ?? this.#prefill.median()]
    if (one === null || further === null) return 0
    return Math.min(MOST_RIDERS, Math.floor((RIDERS_SHARE * one) / Math.max(further, Number.EPSILON)))
  }

  /**
   * How many times as long as for one row it takes for so many of different sessions: as seen with about so many, else by what
   * each row more took in the next larger or smaller runs; undefined: not seen often enough.
   */
  factor(rows: number): number | undefined {
    if (rows <= 1) return 1
    const size = nearest(rows)
    const seen = BATCH_ROWS.filter((other) => this.#share(other) !== undefined)
    const best = seen.find((other) => other >= size) ?? seen.at(-1)
    return best === undefined ? undefined : 1 + this.#share(best)! * (rows - 1)
  }

  /** What each row more takes in runs of such a size, of the first. */
  #share(size: (typeof BATCH_ROWS)[number]): number | undefined {
    const window = this.#batches.get(size)!
    return window.size < ENOUGH_BATCHES ? undefined : (window.median() ?? undefined)
  }

  /** Rows of prompts that so many blocks run in about so long; undefined: no run of many was seen yet. */
  rowsWithin(ms: number, blocks: number): number | undefined {
    const row = this.#many.median()
    return row === null || blocks === 0 ? undefined : Math.floor(ms / Math.max(row * blocks, Number.EPSILON))
  }

  /** Milliseconds of one row that is alone through so many blocks, or through the head; null: not seen. */
  alone(blocks: number): number | null {
    const one = blocks === 0 ? this.#head.median() : this.#one.median()
    return one === null ? null : one * Math.max(1, blocks)
  }

  projected(rows: number, ms: number): void {
    if (rows === 1) this.#head.add(ms)
  }

  times(): BlockTimes {
    return {
      one: this.#one.median(),
      prefill: this.#prefill.median(),
      head: this.#head.median(),
      batch: BATCH_ROWS.flatMap((rows) => {
        const share = this.#share(rows)
        return share === undefined ? [] : [{ rows, factor: 1 + share * (rows - 1) }]
      }),
      runs: this.#runs,
    }
  }
}

function nearest(rows: number): (typeof BATCH_ROWS)[number] {
  return BATCH_ROWS.find((size) => rows <= size * Math.SQRT2) ?? BATCH_ROWS.at(-1)!
}

class Window {
  readonly #values: number[] = []
  #next = 0

  get size(): number {
    return this.#values.length
  }

  add(value: number): void {
    this.#values[this.#next] = value
    this.#next = (this.#next + 1) % WINDOW
  }

  median(): number | null {
    const sorted = [...this.#values].sort((left, right) => left - right)
    return sorted[sorted.length >> 1] ?? null
  }
}
