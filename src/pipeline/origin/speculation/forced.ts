/**
 * Windows of tokens that are given (SamplerInit.forced): each guess is right, so windows are as large and as many as the wire
 * takes, chained to each other. What follows the last of them is guessed at as ever.
 */
import { unpackIds } from '../../host/token-ids.ts'
import type { ForcedTokens } from '../../host/sampler.ts'
import { MAX_GUESSES } from '../../ring/guesses.ts'
import type { Guesses } from '../../ring/guesses.ts'
import type { Follow } from '../follower.ts'
import { MAX_WINDOWS } from './flight.ts'
import type { Guesser, Said } from './guesser.ts'

export interface ForcedGuessesInit {
  readonly forced: ForcedTokens
  readonly follow: Pick<Follow, 'start' | 'limit'>
  /** Guesses behind the last of them. Undefined: nothing is guessed there. */
  readonly after: Guesser | undefined
  readonly count: (name: 'echo_windows', by: number) => void
}

/** Rows [from, to) that are under way. */
interface ForcedWindow {
  readonly from: number
  readonly to: number
}

export class ForcedGuesses implements Guesser {
  readonly #init: ForcedGuessesInit
  readonly #ids: readonly number[]
  #windows: ForcedWindow[] = []
  /** The head of this attempt takes chained windows. */
  #chains = false

  constructor(init: ForcedGuessesInit) {
    this.#init = init
    this.#ids = unpackIds(init.forced.ids)
  }

  came(row: number, ids: readonly number[], said: Said): void {
    this.#chains ||= said.chains
    const [first] = this.#windows
    if (first?.from === row && row + ids.length === first.to) this.#windows.shift()
    else this.#windows = []
    const chosen = ids.slice(Math.max(0, this.#end - (row + 1)))
    if (chosen.length > 0) this.#init.after?.came(row + ids.length - chosen.length, chosen, said)
  }

  isUnderWay(row: number): boolean {
    return this.#windows[0]?.from === row || this.#init.after?.isUnderWay(row) === true
  }

  next(row: number): ReturnType<Guesser['next']> {
    if (row >= this.#end) return this.#init.after?.next(row) ?? []
    return this.#window(row, row + 1)
  }

  further(): Guesses | undefined {
    const from = this.#windows.at(-1)?.to
    if (from === undefined) return this.#init.after?.further()
    if (!this.#chains || this.#windows.length >= MAX_WINDOWS || from >= this.#wanted) return undefined
    return { behind: this.#ids[from - this.#init.forced.from]!, ids: this.#window(from, from + 1) }
  }

  restart(): void {
    this.#windows = []
    this.#chains = false
    this.#init.after?.restart()
  }

  close(): void {
    this.#windows = []
    this.#init.after?.close()
  }

  /** Position behind the last. */
  get #end(): number {
    return this.#init.forced.from + this.#ids.length
  }

  /** End of the rows whose following token is wanted, and that are of given tokens. */
  get #wanted(): number {
    const { start, limit } = this.#init.follow
    return Math.min(this.#end, start + limit - 1)
  }

  /** A window of this row and of those of given tokens behind it. @returns what stands at the rows from `from` on */
  #window(row: number, from: number): readonly number[] {
    const to = Math.max(from, Math.min(from + MAX_GUESSES, this.#wanted))
    this.#windows.push({ from: row, to })
    if (to > from) this.#init.count('echo_windows', 1)
    const first = this.#init.forced.from
    return this.#ids.slice(from - first, to - first)
  }
}
