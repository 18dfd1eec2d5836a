/** Guesses of one session: what may follow, how much of it is tried, how many windows are in flight, and what came of them. */
import type { Clock } from '../../../util/index.ts'
import { MAX_GUESSES } from '../../ring/guesses.ts'
import type { Guesses } from '../../ring/guesses.ts'
import type { SpeculateMode } from '../../types.ts'
import type { Follow } from '../follower.ts'
import { Depth } from './depth.ts'
import { Drafting } from './drafting.ts'
import type { DraftingInit } from './drafting.ts'
import { Flight } from './flight.ts'
import type { Answered, Further, SentWindow } from './flight.ts'
import type { Guesser, Said } from './guesser.ts'
import { Lookup } from './lookup.ts'
import { Pace } from './pace.ts'
import { Window } from './window.ts'

export type SpeculationCounter =
  | 'draft_tokens'
  | 'draft_accepted'
  | 'draft_model_tokens'
  | 'draft_model_accepted'
  | 'draft_off'
  | 'draft_windows'
  | 'draft_windows_ahead'
  | 'draft_windows_void'
  | 'draft_narrowed'
  | 'echo_windows'

export interface SpeculationInit {
  readonly clock: Clock
  readonly prompt: readonly number[]
  readonly follow: Follow
  readonly mode: Exclude<SpeculateMode, 'off'>
  /** A small model that guesses too. @default none */
  readonly draft?: Pick<DraftingInit, 'model' | 'names' | 'sampler'> | undefined
  /** Something more may be guessed: `further` has it. */
  more?(): void
  readonly count: (name: SpeculationCounter, by: number) => void
}

type Begun = Omit<SentWindow, 'source' | 'guesses' | 'waited'>

export class Speculation implements Guesser {
  readonly #init: SpeculationInit
  readonly #lookup = new Lookup()
  readonly #pace = new Pace()
  readonly #window: Window
  readonly #depth: Depth
  readonly #drafting: Drafting | undefined
  readonly #flight = new Flight()
  #tokens = 0
  /** A step has been over all stages of this attempt. */
  #stands = false
  /** The head of this attempt takes chained windows. */
  #chains = false
  /** Stages may have rows that come to nothing. */
  #isLate = false
  /** When the last tokens came. */
  #last = -Infinity
  /** Of the attempt: what waits for guesses in an older one waits for nothing. */
  #turn = 0

  constructor(init: SpeculationInit) {
    this.#init = init
    this.#window = new Window(init.mode === 'lookup', this.#pace)
    this.#depth = new Depth(this.#pace, init.mode !== 'auto')
    this.#drafting = draftingOf(init, this.#pace)
    for (const id of init.prompt) this.#lookup.push(id)
  }

  came(row: number, ids: readonly number[], said: Said): void {
    for (const id of ids) this.#lookup.push(id)
    this.#drafting?.came(ids)
    this.#tokens += ids.length
    const answered = this.#flight.answered(row, ids)
    const now = this.#init.clock.now()
    // Of the prompt, or said again after a reroute.
    if (answered !== undefined) {
      this.#stands = true
      this.#chains ||= said.chains
      this.#judge(answered, ids)
      this.#learn(answered.window, now, ids, said)
    }
    this.#last = now
  }

  isUnderWay(row: number): boolean {
    return this.#flight.row === row
  }

  next(row: number): readonly number[] | Promise<readonly number[] | undefined> {
    const begun = this.#begin(row, this.#lookup.guess(1)?.match ?? 0)
    if (!begun.isBeside) return this.#begun(begun, 'lookup', this.#lookups(begun.match))
    return this.#ready(begun) ?? this.#first(begun) ?? this.#waited(begun)
  }

  further(): Guesses | undefined {
    const { last, ids: under } = this.#flight
    if (!this.#chains || last === undefined || this.#pace.isPlainDue) return undefined
    const room = Math.min(MAX_GUESSES + 1, this.#room - under.length)
    const isPlain = last.source === 'none'
    // What stands behind a step that is to be plain would be in its way.
    const byText = isPlain ? undefined : this.#furtherLookups(under, room)
    const byModel = isPlain && !last.isBeside ? undefined : this.#drafting?.further(under, room)
    const offers = [byText, byModel]
    const [best] = offers.filter((offer) => offer !== undefined).toSorted((a, b) => b.chance - a.chance)
    if (best === undefined || !this.#pays(best, last)) return undefined
    const [behind, ...guesses] = best.ids
    const begun = this.#begin(last.row + last.guesses.length + 1, best.match)
    this.#begun({ ...begun, behind, likely: undefined, chance: best.chance }, best.source, guesses)
    return { behind: behind!, ids: guesses }
  }

  restart(): void {
    this.#turn++
    this.#flight.clear()
    this.#stands = this.#chains = this.#isLate = false
    this.#window.restart()
    this.#depth.restart()
  }

  close(): void {
    this.#turn++
    this.#flight.clear()
    this.#drafting?.close()
  }

  get #room(): number {
    // The token behind the last guess is wanted too.
    return this.#init.follow.limit - this.#tokens - 1
  }

  #begin(row: number, match: number): Begun {
    const isQuiet = this.#drafting?.isQuiet !== false && !this.#isLate
    const isBeside = this.#stands && this.#drafting?.begin() === true
    const likely = this.#lookup.guess(1)?.ids[0]
    return { row, at: this.#init.clock.now(), match, likely, isQuiet, isBeside, isLate: this.#isLate, chance: 1 }
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

  /** What is there now, where the others are to follow it; undefined: they are not. */
  #first(step: Begun): readonly number[] | undefined {
    const drafting = this.#drafting!
    const ready = drafting.ready.slice(0, Math.min(MAX_GUESSES, this.#room))
    // Whoever asks for guesses of the small model gets one: on a busy machine it would be late each time.
    if (ready.length === 0 && this.#init.mode === 'draft') return undefined
    const rows = drafting.best(this.#room).size - ready.length
    const chance = drafting.chance(ready.length + 1)
    const follows = this.#chains && this.#depth.pays({ windows: 1, rows, chance })
    return follows ? this.#begun(step, 'draft', ready) : undefined
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
      const ready = drafting.ready.slice(0, Math.min(MAX_GUESSES, this.#room))
      const now = isLate ? this.#begun(step, 'draft', ready) : this.#ready(step)
      if (now !== undefined) return now
    }
  }

  /** A step goes with these guesses. */
  #begun(step: Begun, from: 'lookup' | 'draft', guesses: readonly number[]): readonly number[] {
    const { count, clock } = this.#init
    const isChained = step.behind !== undefined
    const all = guesses.length + (isChained ? 1 : 0)
    const source = all === 0 ? 'none' : from
    this.#flight.give({ ...step, source, guesses, waited: clock.now() - step.at })
    this.#isLate = false
    if (all === 0) return guesses
    count('draft_windows', 1)
    count('draft_tokens', all)
    if (isChained) count('draft_windows_ahead', 1)
    if (source === 'draft') count('draft_model_tokens', all)
    return guesses
  }

  #lookups(match: number): readonly number[] {
    if (!this.#stands || this.#init.mode === 'draft' || match === 0) return []
    const most = Math.min(this.#room, this.#window.size(match))
    return this.#toEnd(this.#lookup.guess(most)?.ids ?? [])
  }

  /** Out of the text behind what is under way, where that is what would be looked up now. */
  #furtherLookups(under: readonly number[], room: number): Further | undefined {
    if (this.#init.mode === 'draft' || room < 1) return undefined
    const found = this.#lookup.guess(under.length + room)
    if (found === undefined || this.#window.size(found.match) === 0) return undefined
    if (under.some((id, at) => id !== found.ids[at])) return undefined
    const ids = this.#toEnd(found.ids).slice(under.length)
    const chance = this.#window.share(found.match) ** (under.length + 1)
    return ids.length === 0 ? undefined : { source: 'lookup', ids, match: found.match, chance, grows: false }
  }

  /** Nothing follows an end token. */
  #toEnd(ids: readonly number[]): readonly number[] {
    const end = ids.findIndex((id) => this.#init.follow.endTokens.has(id))
    return end < 0 ? ids : ids.slice(0, end)
  }

  #pays({ ids, chance, grows }: Further, last: SentWindow): boolean {
    const [rows, windows] = [ids.length, this.#flight.size]
    // While the stages compute the one before it, more guesses may come to fill it.
    const isEarly =
      grows && rows <= MAX_GUESSES && this.#init.clock.now() - last.at < (this.#depth.busy(rows) ?? Infinity)
    return !isEarly && this.#depth.pays({ windows, rows, chance })
  }

  /** What tokens say of guesses. */
  #judge({ window, next, void: came }: Answered, ids: readonly number[]): void {
    const { count } = this.#init
    const accepted = (source: SentWindow['source'], by: number): void => {
      if (by === 0 || source === 'none') return
      count('draft_accepted', by)
      if (source === 'draft') count('draft_model_accepted', by)
    }
    accepted(window.source, ids.length - 1)
    if (next !== undefined) {
      accepted(next.window.source, next.holds ? 1 : 0)
      if (next.window.source === 'lookup') this.#window.judged(next.window.match, next.holds)
    }
    for (const { chance } of came) this.#depth.judged(chance, false)
    if (next?.holds === true) this.#depth.judged(next.window.chance, true)
    if (came.length > 0) count('draft_windows_void', came.length)
    this.#isLate ||= came.length > 0
  }

  #learn(window: SentWindow, now: number, ids: readonly number[], { busyMs }: Said): void {
    const { source, guesses, match, likely, isBeside, isQuiet, isLate, behind, waited } = window
    const [right, looked] = [ids.length - 1, guesses.length]
    const wouldBe = likely === undefined ? undefined : likely === ids[0]
    const usual = this.#pace.usual.ms
    // Of windows in flight each has the time from the tokens before.
    const ms = now - Math.max(window.at, this.#last)
    const isAlone = behind === undefined && !isLate
    this.#weigh(window, ms)
    if (source === 'draft') {
      this.#pace.other(ms, isAlone ? looked : 0, waited)
      this.#window.looked(ms, behind === undefined ? match : 0, wouldBe)
      this.#drafting?.stepped(ms, (1 + right) * usual, looked + (behind === undefined ? 0 : 1))
    } else if (source === 'lookup') {
      // What it takes longer than it should is lost to the small model beside it.
      const beside = isBeside && isAlone ? ms - (this.#pace.expected(looked) ?? ms) : 0
      this.#window.guessed({ ms, guesses: looked, right, match, beside, isAlone })
      if (isBeside) this.#drafting?.stepped(ms, ms - beside, 0)
    } else if (isBeside || !isQuiet) {
      this.#pace.other(ms, 0)
      this.#window.looked(ms, match, wouldBe, isLate ? usual - ms : 0)
      if (isBeside) this.#drafting?.stepped(ms, usual, 0)
    } else {
      this.#window.plain(ms, match, wouldBe)
      this.#depth.plain(ms, busyMs)
    }
    if (!isBeside && source !== 'draft') this.#drafting?.passed(ms)
  }

  /** What windows in flight gave against one at a time. */
  #weigh({ guesses, behind, isLate }: SentWindow, ms: number): void {
    const expected = this.#pace.expected(guesses.length) ?? ms
    const before = this.#depth.timesOff
    this.#depth.step(ms, behind !== undefined || isLate ? expected - ms : 0)
    if (this.#depth.timesOff > before) this.#init.count('draft_narrowed', 1)
  }
}

function draftingOf(init: SpeculationInit, pace: Pace): Drafting | undefined {
  const { draft, follow, mode, prompt } = init
  if (draft === undefined || mode === 'lookup') return undefined
  const count = (name: 'draft_off', by: number): void => init.count(name, by)
  const more = (): void => init.more?.()
  return new Drafting({ ...draft, follow, prompt, isForced: mode === 'draft', count, more }, pace)
}
