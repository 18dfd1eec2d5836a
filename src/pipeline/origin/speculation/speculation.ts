/** Guesses of one session: what may follow, how much of it is tried, and what came of it. */
import type { Clock } from '../../../util/index.ts'
import type { SpeculateMode } from '../../types.ts'
import type { Follow } from '../follower.ts'
import { Drafting } from './drafting.ts'
import type { DraftingInit } from './drafting.ts'
import { Lookup } from './lookup.ts'
import { Pace } from './pace.ts'
import { Window } from './window.ts'

export type SpeculationCounter =
  | 'draft_tokens'
  | 'draft_accepted'
  | 'draft_model_tokens'
  | 'draft_model_accepted'
  | 'draft_off'

export interface SpeculationInit {
  readonly clock: Clock
  readonly prompt: readonly number[]
  readonly follow: Follow
  readonly mode: Exclude<SpeculateMode, 'off'>
  /** A small model that guesses too. @default none */
  readonly draft?: Pick<DraftingInit, 'model' | 'names' | 'sampler'> | undefined
  count(name: SpeculationCounter, by: number): void
}

/** A step whose guesses are not chosen yet. */
interface Begun {
  readonly row: number
  readonly at: number
  readonly match: number
  /** What would have been looked up first. */
  readonly likely: number | undefined
  /** The small model computed meanwhile. */
  readonly isBeside: boolean
  /** Nothing of it was left to compute when the step began. */
  readonly isQuiet: boolean
}

interface Step extends Begun {
  readonly source: 'none' | 'lookup' | 'draft'
  readonly guesses: number
  /** Milliseconds before it was sent. */
  readonly waited: number
}

export class Speculation {
  readonly #init: SpeculationInit
  readonly #lookup = new Lookup()
  readonly #pace = new Pace()
  readonly #window: Window
  readonly #drafting: Drafting | undefined
  #tokens = 0
  /** That is under way. */
  #step: Step | undefined
  /** A step has been over all stages of this attempt. */
  #stands = false
  /** Of the attempt: what waits for guesses in an older one waits for nothing. */
  #turn = 0

  constructor(init: SpeculationInit) {
    this.#init = init
    this.#window = new Window(init.mode === 'lookup', this.#pace)
    this.#drafting = draftingOf(init, this.#pace)
    for (const id of init.prompt) this.#lookup.push(id)
  }

  /** Tokens have come, the first of them behind this row. */
  came(row: number, ids: readonly number[]): void {
    for (const id of ids) this.#lookup.push(id)
    this.#drafting?.came(ids)
    this.#tokens += ids.length
    const step = this.#step
    this.#step = undefined
    // Of the prompt, or said again after a reroute.
    if (step === undefined || step.row !== row) return
    this.#stands = true
    this.#learn(step, this.#init.clock.now() - step.at, ids)
  }

  /**
   * Guesses at what follows the token that came last: its row, with them, is to be given. A promise: they are waited for, which
   * is for nothing (undefined) where the attempt ends meanwhile.
   */
  next(row: number): readonly number[] | Promise<readonly number[] | undefined> {
    const at = this.#init.clock.now()
    const found = this.#lookup.guess(1)
    const isQuiet = this.#drafting?.isQuiet !== false
    const isBeside = this.#stands && this.#drafting?.begin() === true
    const step = { row, at, match: found?.match ?? 0, likely: found?.ids[0], isQuiet, isBeside }
    if (!isBeside) return this.#begun(step, 'lookup', this.#lookups(step.match))
    return this.#ready(step) ?? this.#waited(step)
  }

  /** Another attempt: what was under way comes to nothing, or to tokens that nobody waited for. */
  restart(): void {
    this.#turn++
    this.#step = undefined
    this.#stands = false
    this.#window.restart()
  }

  /** The answer is over. */
  close(): void {
    this.#turn++
    this.#drafting?.close()
  }

  get #room(): number {
    // The token behind the last guess is wanted too.
    return this.#init.follow.limit - this.#tokens - 1
  }

  /** The best that is there now; undefined: something better is on its way. */
  #ready(step: Begun): readonly number[] | undefined {
    const drafting = this.#drafting!
    const [byText, byModel] = [this.#window.best(step.match), drafting.best(this.#room)]
    const lookups = this.#init.mode === 'draft' ? [] : this.#lookups(step.match)
    if (byModel.size === 0 || (lookups.length > 0 && byText.pace >= byModel.pace))
      return this.#begun(step, 'lookup', lookups)
    const { ready } = drafting
    if (byModel.size > ready.length) return undefined
    return this.#begun(step, 'draft', ready.slice(0, byModel.size))
  }

  async #waited(step: Begun): Promise<readonly number[] | undefined> {
    const { clock } = this.#init
    const drafting = this.#drafting!
    const turn = this.#turn
    const until = step.at + drafting.patience(drafting.best(this.#room).size)
    for (;;) {
      const left = until - clock.now()
      if (left > 0) await drafting.more(left)
      if (turn !== this.#turn) return undefined
      const isLate = clock.now() >= until
      const now = isLate ? this.#begun(step, 'draft', drafting.ready.slice(0, this.#room)) : this.#ready(step)
      if (now !== undefined) return now
    }
  }

  /** A step goes with these guesses. */
  #begun(step: Begun, from: 'lookup' | 'draft', guesses: readonly number[]): readonly number[] {
    const init = this.#init
    const source = guesses.length === 0 ? 'none' : from
    this.#step = { ...step, source, guesses: guesses.length, waited: init.clock.now() - step.at }
    if (guesses.length > 0) init.count('draft_tokens', guesses.length)
    if (source === 'draft') init.count('draft_model_tokens', guesses.length)
    return guesses
  }

  #lookups(match: number): readonly number[] {
    if (!this.#stands || this.#init.mode === 'draft' || match === 0) return []
    const ids = this.#lookup.guess(Math.min(this.#room, this.#window.size(match)))?.ids ?? []
    const end = ids.findIndex((id) => this.#init.follow.endTokens.has(id))
    return end < 0 ? ids : ids.slice(0, end)
  }

  #learn(step: Step, ms: number, ids: readonly number[]): void {
    const { source, guesses, match, likely, isBeside, isQuiet, waited } = step
    const right = ids.length - 1
    const wouldBe = likely === undefined ? undefined : likely === ids[0]
    const usual = this.#pace.usual.ms
    if (guesses > 0) this.#init.count('draft_accepted', right)
    if (source === 'draft') {
      this.#init.count('draft_model_accepted', right)
      this.#pace.other(ms, guesses, waited)
      this.#window.looked(ms, match, wouldBe)
      this.#drafting?.stepped(ms, (1 + right) * usual, guesses)
    } else if (source === 'lookup') {
      // What it takes longer than it should is lost to the small model beside it.
      const beside = isBeside ? ms - (this.#pace.expected(guesses) ?? ms) : 0
      this.#window.guessed(ms, guesses, right, match, beside)
      if (isBeside) this.#drafting?.stepped(ms, ms - beside, 0)
    } else if (isBeside || !isQuiet) {
      this.#pace.other(ms, 0)
      this.#window.looked(ms, match, wouldBe)
      if (isBeside) this.#drafting?.stepped(ms, usual, 0)
    } else this.#window.plain(ms, match, wouldBe)
    if (!isBeside && source !== 'draft') this.#drafting?.passed(ms)
  }
}

function draftingOf(init: SpeculationInit, pace: Pace): Drafting | undefined {
  const { draft, follow, mode, prompt } = init
  if (draft === undefined || mode === 'lookup') return undefined
  const count = (name: 'draft_off', by: number): void => init.count(name, by)
  return new Drafting({ ...draft, follow, prompt, isForced: mode === 'draft', count }, pace)
}
