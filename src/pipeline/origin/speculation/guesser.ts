/** What a session asks for tokens that may follow. */
import type { Guesses } from '../../ring/guesses.ts'

/** What a head says with its tokens. */
export interface Said {
  /** Milliseconds for which stages computed the step, or others' rows while it waited there. */
  readonly busyMs: number
  /** It takes chained windows. */
  readonly chains: boolean
}

export interface Guesser {
  /** Tokens have come, the first of them behind this row. */
  came(row: number, ids: readonly number[], said: Said): void
  /** The stages have this row already: as the first of a window that is under way. */
  isUnderWay(row: number): boolean
  /**
   * Guesses at what follows the token that came last: its row, with them, is to be given. A promise: they are waited for, which
   * is for nothing (undefined) where the attempt ends meanwhile.
   */
  next(row: number): readonly number[] | Promise<readonly number[] | undefined>
  /** A window to be chained to those that are under way; undefined: none that pays. */
  further(): Guesses | undefined
  /** Another attempt: what was under way comes to nothing, or to tokens that nobody waited for. */
  restart(): void
  /** The answer is over. */
  close(): void
}
