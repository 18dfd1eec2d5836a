/** Hosts that end for lack of memory: started again after a pause, and not at all when they do so again and again. */
import type { Clock } from '../util/index.ts'
import { StageMemoryError } from './errors.ts'
import { StageHostLostError } from './host/host-errors.ts'
import { memoryWords } from './host/out-of-memory.ts'
import type { BlockRange } from './stage-ranges.ts'

/** So many ends within this time, and it is not tried again for a while: each takes memory from whoever else is there. */
const MOST_ENDS = 3
const WITHIN_MS = 60_000
/** After the first, and after the second. */
const PAUSES_MS = [1_000, 4_000]
const REST_MS = 600_000

interface Ends {
  readonly at: number[]
  /** What was said of the last one. */
  why: string
  /** What the placement wants of the model. */
  wanted: string
}

export class MemoryEnds {
  readonly #clock: Clock
  readonly #models = new Map<string, Ends>()
  readonly #stopped = new AbortController()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The host of a model has ended, and this says that it was for lack of memory. @param digest or whatever tells its host from others */
  ended(digest: string, why: string): void {
    // Others may say what there is to be told apart: what nothing follows from any more is not kept.
    const before = this.#clock.now() - REST_MS
    for (const [other, { at, wanted }] of this.#models)
      if (wanted === '' && (at.at(-1) ?? -Infinity) <= before) this.#models.delete(other)
    const ends = this.#of(digest)
    ends.at.push(this.#clock.now())
    ends.at.splice(0, ends.at.length - MOST_ENDS)
    ends.why = why
  }

  /** A host did not load, or has ended by itself. @param error of either */
  failed(digest: string, error: unknown): void {
    const why = error instanceof StageHostLostError ? error.memory : memoryWords(String(error))
    if (why !== undefined) this.ended(digest, why)
  }

  /** Other blocks take other memory: what was is forgotten when a placement wants others than before. */
  wanted(digest: string, ranges: readonly BlockRange[]): void {
    const ends = this.#of(digest)
    const wanted = JSON.stringify(ranges)
    if (ends.wanted !== wanted) ends.at.length = 0
    ends.wanted = wanted
  }

  /** Resolves when a host of the model may be started. @throws StageMemoryError while none may be, the signal's reason */
  async pause(digest: string, model: string, signal?: AbortSignal): Promise<void> {
    const { at, why } = this.#models.get(digest) ?? { at: [], why: '' }
    const now = this.#clock.now()
    const [first = now, last = now] = [at[0], at.at(-1)]
    if (at.length === MOST_ENDS && last - first <= WITHIN_MS) {
      const rest = last + REST_MS - now
      if (rest > 0) throw new StageMemoryError(model, why, MOST_ENDS, rest)
      at.length = 0
    }
    const recent = at.filter((each) => now - each < WITHIN_MS).length
    const pause = last + (PAUSES_MS[recent - 1] ?? 0) - now
    const { signal: stopped } = this.#stopped
    if (pause > 0) await this.#clock.sleep(pause, signal === undefined ? stopped : AbortSignal.any([signal, stopped]))
  }

  /** Nothing is waited for any more. */
  stop(reason: Error): void {
    this.#stopped.abort(reason)
  }

  #of(digest: string): Ends {
    const known = this.#models.get(digest) ?? { at: [], why: '', wanted: '' }
    this.#models.set(digest, known)
    return known
  }
}
