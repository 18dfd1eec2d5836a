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
    if (step.guesses === 0) return this.#window.plain(ms)
    const right = ids.length - 1
    this.#window.guessed(ms, step.guesses, right, step.match)
    this.#init.count('draft_accepted', right)
  }

  /** Guesses at what follows the token that came last. Its row, with them, is given now. */
  next(row: number): readonly number[] {
    const { ids, match } = this.#guess()
    this.#step = { row, at: this.#init.clock.now(), guesses: ids.length, match }
    if (ids.length > 0) this.#init.count('draft_tokens', ids.length)
    return ids
  }

  /** Another attempt: what was under way comes to nothing, or to tokens that nobody waited for. */
  restart(): void {
    this.#step = undefined
    this.#stands = false
    this.#window.restart()
  }

  #guess(): { readonly ids: readonly number[]; readonly match: number } {
    const { follow } = this.#init
    const none = { ids: [], match: 0 }
    // The token behind the last guess is wanted too.
    const most = follow.limit - this.#tokens - 1
    if (!this.#stands || most < 1) return none
    const found = this.#lookup.guess(1)
    if (found === undefined) return none
    const size = Math.min(most, this.#window.size(found.match))
    const { ids = [] } = size < 1 ? {} : (this.#lookup.guess(size) ?? {})
    const end = ids.findIndex((id) => follow.endTokens.has(id))
    return { ids: end < 0 ? ids : ids.slice(0, end), match: found.match }
  }
}
