/**
 * How many guesses go with a step. A step with k guesses takes longer by k rows, and by the time for which they are waited for, and
 * gives 1 + a1 + a1 a2 + ... tokens, where a is the chance of each to come true; the number with the most tokens a millisecond is
 * taken, or none. What steps and rows take is measured as the text goes: over long links a row costs little of a step and many
 * guesses pay, on one machine few do.
 */
import { MAX_GUESSES } from '../../ring/guesses.ts'

/** Steps without guesses that are looked back on. */
const PLAIN_KEPT = 9
/** Before so many the time of a step is not known. */
const PLAIN_LEAST = 2
/** A step without guesses after the time of so many: the machine may have become faster or slower. */
const PLAIN_EVERY = 40
/** Guesses must promise so much more than none. */
const MARGIN = 1.05
/** Before it was measured: a row more costs such a share of a step. */
const FIRST_ROW_SHARE = 0.2
/** Weight of what is new in a mean that follows. */
const FOLLOW = 0.25
/** By a step without guesses, towards what was taken for granted at first. */
const FORGET = 0.01

/** Guesses that could be made. */
export interface Offer {
  /** @default as many as a step can have */
  readonly most?: number
  /** Chance that a guess comes true when those before it have. @param index from 0 */
  share(index: number): number
  /** Milliseconds until so many are there. @default they are */
  wait?(size: number): number
}

export interface Choice {
  readonly size: number
  /** Tokens a millisecond; 0 where nothing is taken. */
  readonly pace: number
}

const NONE: Choice = { size: 0, pace: 0 }

export class Pace {
  readonly #plain: number[] = []
  #sincePlain = 0
  #rowMs: number | undefined

  /** Milliseconds of a step without guesses; undefined: not known. */
  get stepMs(): number | undefined {
    if (this.#plain.length < PLAIN_LEAST) return undefined
    return this.#plain.toSorted((a, b) => a - b)[this.#plain.length >> 1]!
  }

  /**
   * Mean of those that are looked back on, and how far they are from it: some are slow for a reason of their own, with guesses and
   * without.
   */
  get usual(): { readonly ms: number; readonly spread: number } {
    const count = this.#plain.length
    if (count === 0) return { ms: 0, spread: 0 }
    const ms = this.#plain.reduce((sum, each) => sum + each, 0) / count
    return { ms, spread: Math.sqrt(this.#plain.reduce((sum, each) => sum + (each - ms) ** 2, 0) / count) }
  }

  /** Milliseconds that a step with so many guesses takes; undefined: not known. */
  expected(guesses: number): number | undefined {
    const step = this.stepMs
    return step === undefined ? undefined : step + guesses * (this.#rowMs ?? step * FIRST_ROW_SHARE)
  }

  /** A step without guesses is due, or the time of one is not known. */
  get isPlainDue(): boolean {
    return this.stepMs === undefined || this.#sincePlain >= PLAIN_EVERY
  }

  /** Another route: what a step takes has to be measured anew. */
  restart(): void {
    this.#plain.length = 0
    this.#rowMs = undefined
  }

  /** @param isForced guesses are made also where they lose */
  best(offer: Offer, isForced = false): Choice {
    const step = this.stepMs
    if (step === undefined || this.isPlainDue) return NONE
    const row = this.#rowMs ?? step * FIRST_ROW_SHARE
    let best = { size: 0, pace: isForced ? 0 : MARGIN / step }
    let [tokens, chance] = [1, 1]
    const most = Math.min(MAX_GUESSES, offer.most ?? MAX_GUESSES)
    for (let size = 1; size <= most; size++) {
      chance *= offer.share(size - 1)
      tokens += chance
      const pace = tokens / (step + row * size + (offer.wait?.(size) ?? 0))
      if (pace > best.pace) best = { size, pace }
    }
    return best.size === 0 ? NONE : best
  }

  /** A step without guesses, and with nothing else beside it, took so long. */
  plain(ms: number): void {
    this.#sincePlain = 0
    // One row that was slow for another reason must not be the last that was tried.
    if (this.#rowMs !== undefined) this.#rowMs += FORGET * (ms * FIRST_ROW_SHARE - this.#rowMs)
    this.#plain.push(ms)
    if (this.#plain.length > PLAIN_KEPT) this.#plain.shift()
  }

  /** Any other step. @param waited milliseconds of it, for guesses */
  other(ms: number, guesses: number, waited = 0): void {
    this.#sincePlain += Math.min(1, ms / (this.stepMs ?? ms))
    if (guesses === 0) return
    const row = Math.max(0, ms - waited - (this.stepMs ?? ms)) / guesses
    this.#rowMs = this.#rowMs === undefined ? row : this.#rowMs + FOLLOW * (row - this.#rowMs)
  }
}
