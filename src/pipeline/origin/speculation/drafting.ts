/**
 * Guesses of a small model: how far ahead of the text it goes, how many of its guesses go with a step, and when it stops because it
 * has lost. It works while the stages do, so what it has guessed by then is there for nothing; more may be worth the wait.
 */
import type { Draft, DraftGuess, DraftInit } from '../../draft/draft.ts'
import { MAX_GUESSES } from '../../ring/guesses.ts'
import { NAME_BYTES, RUN_ROWS } from '../../prefix/names.ts'
import type { PrefixNames } from '../../prefix/names.ts'
import type { SamplerInit } from '../../host/sampler.ts'
import type { Follow } from '../follower.ts'
import { Account } from './account.ts'
import { LEAST_CHANCE } from './flight.ts'
import type { Further } from './flight.ts'
import type { Choice, Offer, Pace } from './pace.ts'
import { Shares } from './shares.ts'

/** A small model of the same vocabulary, here. */
export interface DraftModel {
  readonly blocks: number
  /** Positions that it can see. */
  readonly context: number
  readonly vocabulary: number
  /** A session; undefined: it is not loaded now. */
  open(init: DraftInit): Draft | undefined
}

export interface DraftingInit {
  readonly model: DraftModel
  readonly isForced: boolean
  readonly prompt: readonly number[]
  readonly sampler: SamplerInit
  readonly follow: Follow
  readonly names?: PrefixNames | undefined
  /** It has guessed something. */
  more(): void
  count(name: 'draft_off', by: number): void
}

/** Share of the time so far that may be lost to it; guesses out of the text may lose as much again and more. */
const LOSS_SHARE = 0.01
/** Guesses whose logit leads by less than these, and by more than the last, are sure to different degrees: at first by so much. */
const LEADS = [0, 0.5, 1, 2, 3, 5] as const
const FIRST_TRUE = [0.2, 0.3, 0.45, 0.6, 0.7, 0.85, 0.92] as const
const MOST_AHEAD = 4 * (MAX_GUESSES + 1)
/** With more rows of the text to be computed it is not waited for. */
const CLOSE = 4
/** Steps in a row without a guess of its own, after which it rests, and for how many. */
const USELESS = 24
const REST = 200
/** Beyond what is expected of it a guess is not waited for, */
const PATIENCE = 2
const PATIENCE_MS = 5
/** but where it is to be seen. */
const FORCED_MS = 2_000
const SCOPE = 'draft'

export class Drafting {
  readonly #init: DraftingInit
  readonly #pace: Pace
  readonly #shares = new Shares(FIRST_TRUE)
  readonly #account = new Account(LOSS_SHARE)
  readonly #text: number[]
  #draft: Draft | undefined
  #useless = 0
  #restsFor = 0

  constructor(init: DraftingInit, pace: Pace) {
    this.#init = init
    this.#pace = pace
    this.#text = [...init.prompt]
  }

  /** It computes nothing now. */
  get isQuiet(): boolean {
    return this.#draft?.isBusy !== true
  }

  /** Guesses that are there, up to the end of the text. */
  get ready(): readonly number[] {
    const { endTokens } = this.#init.follow
    const ids = (this.#draft?.ahead ?? []).map(({ id }) => id)
    const end = ids.findIndex((id) => endTokens.has(id))
    return end < 0 ? ids : ids.slice(0, end)
  }

  /** Tokens have come. */
  came(ids: readonly number[]): void {
    for (const id of ids) this.#text.push(id)
    for (const { lead, right } of this.#draft?.came(ids) ?? []) this.#shares.learn(kind(lead), right ? 1 : 0, 1)
  }

  /** A step begins: whether it guesses meanwhile. */
  begin(): boolean {
    if (this.#restsFor > 0) this.#restsFor--
    const { isForced } = this.#init
    const mayNot = !isForced && (this.#account.isOff || this.#restsFor > 0)
    if (mayNot || this.#pace.isPlainDue) {
      this.#draft?.rest()
      return false
    }
    if (this.#draft === undefined || this.#draft.isLost) this.#draft = this.#open()
    if (this.#draft === undefined || this.#draft.isOver) return false
    this.#draft.guess((ahead) => this.#goesOn(ahead))
    return true
  }

  /** @param room guesses that the answer has left */
  best(room: number): Choice {
    const best = this.#pace.best(this.#offer(room), this.#init.isForced)
    // Whoever wants to see it guess waits until it does.
    const isAwaited = this.#init.isForced && best.size === 0 && room > 0 && this.#goesOn(this.#draft?.ahead ?? [])
    return isAwaited && this.#draft?.isOver === false ? { size: 1, pace: Number.MIN_VALUE } : best
  }

  /**
   * Guesses behind those that are under way, where these are its own too; undefined: there are none.
   * @param most that one window may have
   */
  further(under: readonly number[], most: number): Further | undefined {
    const { ready } = this
    const ids = ready.slice(under.length, under.length + most)
    const ahead = this.#draft?.ahead ?? []
    if (ids.length === 0 || under.some((id, at) => id !== ready[at])) return undefined
    const grows = ahead.length === ready.length && this.#goesOn(ahead)
    return { source: 'draft', ids, match: 0, chance: this.chance(under.length + 1), grows }
  }

  /** That so many guesses come true, those that are not there yet included. */
  chance(count: number): number {
    const ahead = (this.#draft?.ahead ?? []).slice(0, count)
    const known = ahead.reduce((product, { lead }) => product * this.#shares.of(kind(lead)), 1)
    return known * this.#shares.mean ** (count - ahead.length)
  }

  /** Resolves when there is another guess, or none to be waited for. */
  async more(milliseconds: number): Promise<void> {
    await this.#draft?.more(milliseconds)
  }

  /** Milliseconds after which more are not waited for. */
  patience(size: number): number {
    return this.#init.isForced ? FORCED_MS : PATIENCE_MS + PATIENCE * this.#waitFor(size)
  }

  /** Milliseconds in which so many are there, if all goes well. */
  #waitFor(size: number): number {
    return Math.max(0, size - this.ready.length) * (this.#draft?.guessMs ?? 0)
  }

  /**
   * A step was taken while it guessed.
   * @param expected milliseconds that its tokens would have taken without
   * @param guesses of its own that went along
   */
  stepped(ms: number, expected: number, guesses: number): void {
    this.#useless = guesses > 0 ? 0 : this.#useless + 1
    if (this.#useless >= USELESS) [this.#useless, this.#restsFor] = [0, REST]
    const before = this.#account.timesOff
    this.#account.step(ms, expected - ms, this.#pace.stepMs ?? 0, this.#pace.usual.spread)
    if (this.#account.timesOff > before) this.#init.count('draft_off', 1)
  }

  /** A step was taken without it. */
  passed(ms: number): void {
    this.#account.step(ms, 0, this.#pace.stepMs ?? 0)
  }

  close(): void {
    const { names } = this.#init
    this.#draft?.close(names?.of(this.#text).subarray(this.#offered().length))
  }

  #offer(room: number): Offer {
    const { ready } = this
    const draft = this.#draft
    const ahead = draft?.ahead ?? []
    const isSlow = draft === undefined || draft.lacks > CLOSE
    const mayGrow = !isSlow && draft.guessMs !== undefined && ahead.length === ready.length && this.#goesOn(ahead)
    return {
      most: Math.min(room, mayGrow ? MAX_GUESSES : ready.length),
      share: (index) => (index < ready.length ? this.#shares.of(kind(ahead[index]!.lead)) : this.#shares.mean),
      wait: (size) => this.#waitFor(size),
    }
  }

  #goesOn(ahead: readonly DraftGuess[]): boolean {
    const { start, limit, endTokens } = this.#init.follow
    const last = ahead.at(-1)
    if (ahead.length >= MOST_AHEAD || this.#text.length + ahead.length >= start + limit) return false
    if (last !== undefined && endTokens.has(last.id)) return false
    // All that is guessed comes true: what is on its way, and the next window, which is not sent below this either.
    return ahead.reduce((chance, { lead }) => chance * this.#shares.of(kind(lead)), 1) >= LEAST_CHANCE
  }

  #open(): Draft | undefined {
    const { model, follow, sampler } = this.#init
    const positions = Math.min(model.context, follow.start + follow.limit + MOST_AHEAD)
    if (this.#text.length >= positions) return undefined
    const names = this.#offered()
    const most = names.length / NAME_BYTES
    return model.open({
      text: this.#text,
      guessed: () => this.#init.more(),
      vocabulary: model.vocabulary,
      open: {
        from: 0,
        to: model.blocks,
        positions,
        // A form would have to be taken back with each guess that was wrong.
        sampler: { sampling: sampler.sampling, logprobs: -1, history: sampler.history },
        ...(most > 0 && { prefix: { scope: SCOPE, names, most } }),
        lane: 'batch',
        guessesFrom: follow.start,
      },
    })
  }

  /** Names of the runs that the prompt begins with, but for its last row. */
  #offered(): Uint8Array<ArrayBuffer> {
    const { names, prompt } = this.#init
    const whole = Math.floor((prompt.length - 1) / RUN_ROWS) * RUN_ROWS
    return names?.of(prompt.slice(0, whole)) ?? new Uint8Array(0)
  }
}

function kind(lead: number): number {
  const place = LEADS.findIndex((least) => lead < least)
  return place < 0 ? LEADS.length : place
}
