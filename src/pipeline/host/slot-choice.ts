/**
 * How many session slots the graph of a run has. A slot that nobody is in costs about as much as one in use, and a graph of
 * another size costs a load and some memory; so few sizes are there from the first, and another one comes when runs have lost as
 * much time to empty slots as its load takes: at worst that doubles what is lost.
 */

/** Sizes that are loaded when nothing that is there has room for a run. */
const FIRST_SIZES = [1, 4, 16] as const
/** All sizes, rising. */
const SIZES = [1, 2, 3, 4, 6, 8, 12, 16] as const
export const MAX_SLOTS = 16

/** Of a run's time, what an empty slot of so many is taken to cost: half its share, since the matrices do not grow with it. */
const IDLE_SHARE = 0.5

export class SlotChoice {
  readonly #there = new Set<number>()
  /** By the size that would have fitted: milliseconds that runs lost to empty slots. */
  readonly #lost = new Map<number, number>()
  /** Milliseconds of the longest load. */
  #loadMs = 0
  /** One could not be loaded, or nobody measures: the first sizes are all that there will be. */
  #isShort = false

  /** Slots of the graph for a run of so many sessions. */
  slots(jobs: number): number {
    const [fitting, first] = [fit(SIZES, jobs)!, firstSize(jobs)]
    const there = this.#smallestThere(jobs) ?? Infinity
    const isWorth = !this.#isShort && (this.#lost.get(fitting) ?? 0) >= this.#loadMs
    return isWorth && there > fitting ? fitting : Math.min(there, first)
  }

  /** The size for such a run could not be loaded: no further one is tried. @returns one that is there */
  failed(jobs: number): number | undefined {
    this.#isShort = true
    return this.#smallestThere(jobs)
  }

  /** A graph of so many slots was loaded. @param ms undefined: nobody measured it, and no further size is tried */
  loaded(slots: number, ms: number | undefined): void {
    this.#there.add(slots)
    if (ms === undefined) this.#isShort = true
    else this.#loadMs = Math.max(ms, this.#loadMs)
  }

  /** A run of so many sessions in so many slots. @param ms that it took */
  ran(jobs: number, slots: number, ms: number): void {
    const fitting = fit(SIZES, jobs)!
    if (fitting === slots) return
    const lost = (IDLE_SHARE * ms * (slots - fitting)) / slots
    this.#lost.set(fitting, (this.#lost.get(fitting) ?? 0) + lost)
  }

  #smallestThere(jobs: number): number | undefined {
    return fit(
      [...this.#there].toSorted((one, other) => one - other),
      jobs,
    )
  }
}

/** Of those that are loaded where nothing is there, the smallest that has room. */
export function firstSize(jobs: number): number {
  return fit(FIRST_SIZES, jobs)!
}

/** The smallest that has room. */
function fit(sizes: readonly number[], jobs: number): number | undefined {
  return sizes.find((size) => size >= jobs)
}
