/** Windows of an answer that are under way, in the order in which they were given: each is chained to the one before it. */

/** Windows in flight. More than so many are not needed to keep stages busy: what a window takes grows with its rows. */
export const MAX_WINDOWS = 8
/** What is less likely to be of use is not sent, however long the links are, and a small model does not guess on behind it. */
export const LEAST_CHANCE = 0.15

export interface SentWindow {
  /** Of its first token: the row that this follows. */
  readonly row: number
  /** When it was begun, and how much of that was waited for guesses. */
  readonly at: number
  readonly waited: number
  readonly source: 'none' | 'lookup' | 'draft'
  /** At the tokens behind its rows, but for the last. */
  readonly guesses: readonly number[]
  /** Of a chained window: what its first row stands for. */
  readonly behind?: number | undefined
  /** Tokens that stood before the guesses where they were found; 0: nowhere. */
  readonly match: number
  /** What would have been looked up first. */
  readonly likely: number | undefined
  /** The small model computed meanwhile. */
  readonly isBeside: boolean
  /** Nothing else was under way when it began: neither the small model nor rows that come to nothing. */
  readonly isQuiet: boolean
  /** Of rows that came to nothing: it went behind them. */
  readonly isLate: boolean
  /** That all guesses before it come true, and its first. */
  readonly chance: number
}

export interface Answered {
  readonly window: SentWindow
  /** The next one, where it could be judged by these tokens, and whether it holds. */
  readonly next: { readonly window: SentWindow; readonly holds: boolean } | undefined
  /** Windows that came to nothing. */
  readonly void: readonly SentWindow[]
}

/** What may be sent behind windows that are under way. */
export interface Further {
  readonly source: 'lookup' | 'draft'
  readonly ids: readonly number[]
  readonly match: number
  /** That all guesses under way come true, and the first of these. */
  readonly chance: number
  /** There will be more of them in a moment. */
  readonly grows: boolean
}

export class Flight {
  #windows: SentWindow[] = []

  get size(): number {
    return this.#windows.length
  }

  get last(): SentWindow | undefined {
    return this.#windows.at(-1)
  }

  /** The row whose token comes next; undefined: nothing is under way. */
  get row(): number | undefined {
    return this.#windows[0]?.row
  }

  /** All guesses that are under way: what the tokens from now on are taken to be. */
  get ids(): readonly number[] {
    return this.#windows.flatMap(({ behind, guesses }, index) =>
      index === 0 || behind === undefined ? guesses : [behind, ...guesses],
    )
  }

  /** Rows behind that whose token comes next. */
  give(window: SentWindow): void {
    this.#windows.push(window)
  }

  /** Tokens of the first window have come. Undefined: it is not theirs, and nothing is under way any more. */
  answered(row: number, ids: readonly number[]): Answered | undefined {
    const [window, next] = this.#windows
    if (window?.row !== row) {
      this.clear()
      return undefined
    }
    this.#windows.shift()
    const isWhole = ids.length > window.guesses.length
    const holds = next !== undefined && isWhole && next.behind === ids.at(-1)
    const judged = next !== undefined && isWhole ? { window: next, holds } : undefined
    return { window, next: judged, void: holds ? [] : this.clear() }
  }

  /** @returns what was under way */
  clear(): readonly SentWindow[] {
    return this.#windows.splice(0)
  }
}
