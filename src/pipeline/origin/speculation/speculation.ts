/** Guesses of one session: what may follow, how much of it is tried, and what came of it. */
import type { Clock } from '../../../util/index.ts'
import type { SpeculateMode } from '../../types.ts'
import type { Follow } from '../follower.ts'
import { Lookup } from './lookup.ts'
import { Window } from './window.ts'

export interface SpeculationInit {
  readonly clock: Clock
  readonly prompt: readonly number[]
  readonly follow: Follow
  readonly mode: Exclude<SpeculateMode, 'off'>
  count(name: 'draft_tokens' | 'draft_accepted', by: number): void
}

interface Step {
  readonly row: number
  readonly at: number
  readonly guesses: number
  readonly match: number
  /** What would have been guessed first. */
  readonly likely: number | undefined
}

export class Speculation {
  readonly #init: SpeculationInit
  readonly #lookup = new Lookup()
  readonly #window: Window
  #tokens = 0
  /** That is under way. */
  #step: Step | undefined
  /** A step has been over all stages of this attempt. */
  #stands = false

  constructor(init: SpeculationInit) {
    this.#init = init
    this.#window = new Window(init.mode === 'lookup')
    for (const id of init.prompt) this.#lookup.push(id)
  }

  /** Tokens have come, the first of them behind this row. */
  came(row: number, ids: readonly number[]): void {
    for (const id of ids) this.#lookup.push(id)
    this.#tokens += ids.length
    const step = this.#step
    this.#step = undefined
    // Of the prompt, or said again after a reroute.
    if (step === undefined || step.row !== row) return
    const ms = this.#init.clock.now() - step.at
    this.#stands = true
    if (step.guesses === 0)
      return this.#window.plain(ms, step.match, step.likely === undefined ? undefined : step.likely === ids[0])
    const right = ids.length - 1
    this.#window.guessed(ms, step.guesses, right, step.match)
    this.#init.count('draft_accepted', right)
  }

  /** Guesses at what follows the token that came last. Its row, with them, is given now. */
  next(row: number): readonly number[] {
    const found = this.#lookup.guess(1)
    const ids = found === undefined ? [] : this.#guess(found.match)
    const [likely] = found?.ids ?? []
    this.#step = { row, at: this.#init.clock.now(), guesses: ids.length, match: found?.match ?? 0, likely }
    if (ids.length > 0) this.#init.count('draft_tokens', ids.length)
    return ids
  }

  /** Another attempt: what was under way comes to nothing, or to tokens that nobody waited for. */
  restart(): void {
    this.#step = undefined
    this.#stands = false
    this.#window.restart()
  }

  #guess(match: number): readonly number[] {
    const { limit, endTokens } = this.#init.follow
    if (!this.#stands) return []
    // The token behind the last guess is wanted too.
    const size = Math.min(limit - this.#tokens - 1, this.#window.size(match))
    const ids = this.#lookup.guess(size)?.ids ?? []
    const end = ids.findIndex((id) => endTokens.has(id))
    return end < 0 ? ids : ids.slice(0, end)
  }
}
