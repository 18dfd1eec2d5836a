/** What a session gives to its first hop, and when: ids of the prompt, of tokens as they come, and guesses behind them. */
import { encodeControl } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { Clock, RandomSource } from '../../util/index.ts'
import { unpackIds } from '../host/token-ids.ts'
import { GUESS_KEY_BYTES, sealGuesses } from '../ring/guesses.ts'
import { FirstHop } from './first-hop.ts'
import type { Known } from './opening.ts'
import { TextPrefix } from './prefix.ts'
import type { Waiting } from './stalls.ts'
import type { Reused, SessionInit, SessionNeeds } from './session.ts'
import { SessionText } from './session-text.ts'
import type { Lane, SpeculateMode } from '../types.ts'
import { ForcedGuesses } from './speculation/forced.ts'
import type { Guesser, Said } from './speculation/guesser.ts'
import { Speculation } from './speculation/speculation.ts'
import type { SpeculationCounter } from './speculation/speculation.ts'
import { Tracing } from './tracing.ts'

/** Every stage may let rows of the batch lane wait for those of others, each step anew. */
const YIELDING_GRACE_MS = 120_000

/** So long before its deadline a session without a route ends: whoever asked is told of that then, and not of the deadline. */
const LAST_WORD_MS = 100

/** The session that gives. */
export interface Giver {
  readonly request: number
  /** The attempt that is under way; undefined: what cannot go now goes with the next. */
  attempt(): number | undefined
  send(message: Frame): Promise<void>
}

export class Giving {
  readonly first: FirstHop
  readonly text: SessionText
  readonly tracing: Tracing
  readonly #clock: Clock
  readonly #random: RandomSource
  readonly #giver: Giver
  readonly #prefix: TextPrefix | undefined
  readonly #speculation: Guesser | undefined
  readonly #lane: Lane
  readonly #patience: (isBegun: boolean) => number
  readonly #deadline: number
  /** Time of the clock at which that is over. */
  readonly #until: number
  readonly #guessKey: Uint8Array<ArrayBuffer> | undefined
  /** Rows that each hop had when it was last resumed. */
  #held: readonly number[] = [0]

  constructor(needs: SessionNeeds, init: SessionInit, giver: Giver) {
    this.#clock = needs.clock
    this.#random = needs.random
    this.#giver = giver
    this.#prefix = TextPrefix.of(init)
    this.#speculation = speculationOf(needs, init, () => void this.#further())
    this.#lane = init.lane ?? 'interactive'
    // One that goes on with a text has begun, though it has opened nothing yet.
    this.#patience = (isBegun) => init.failover.patience(isBegun || init.at !== undefined)
    this.#deadline = init.deadline
    this.#until = (init.since ?? needs.clock.now()) + init.deadline
    if (this.#speculation !== undefined) this.#guessKey = Uint8Array.from(needs.random.bytes(GUESS_KEY_BYTES))
    const steps = {
      next: (id: number, position: number) => void this.#next(id, position),
      guessed: (id: number, position: number) => position === this.first.rows && this.first.append([id]),
      came: (row: number, ids: readonly number[], said: Said) => this.#speculation?.came(row, ids, said),
    }
    this.text = new SessionText(init.follow, steps, init.audit?.mode === 'hold')
    this.tracing = new Tracing({ clock: needs.clock, prompt: init.prompt.length, traced: init.traced })
    this.first = new FirstHop((message) => {
      this.tracing.sent(message)
      return giver.send(message)
    })
  }

  /** What hops are told beside the session itself. */
  get openings(): Pick<Known, 'prefix' | 'guessKey' | 'left'> {
    return { prefix: this.#prefix?.offered, guessKey: this.#guessKey, left: this.left }
  }

  /** Milliseconds of the deadline. */
  get left(): number {
    return Math.max(0, Math.ceil(this.#until - this.#clock.now()))
  }

  /** Until when a session without a route waits for one. @param since when it lost the one that it had; times of the clock */
  waitsUntil(since: number, isBegun: boolean): number {
    return Math.min(since + this.#patience(isBegun), this.#until - LAST_WORD_MS)
  }

  /** Hops may have rows before they were given any. */
  get hasPrefix(): boolean {
    return this.#prefix !== undefined
  }

  /** What hops have from this row on may be of guesses that came to nothing. */
  get keep(): number {
    return this.first.hasGuessed ? this.text.nextTokenRow : Infinity
  }

  /** What hops are told at the end: names of the runs behind those, for what all of them have of the text; whether to tell of it. */
  closing(...[ring, session]: Parameters<Tracing['end']>): Partial<Frame> {
    const names = this.#prefix?.more(this.first.ids(this.text.nextTokenRow))
    const told = { ...(names && { prefix: names }), ...this.tracing.end(ring, session) }
    return Object.keys(told).length === 0 ? {} : { control: encodeControl(told) }
  }

  get reused(): Reused {
    return { sent: this.first.rows, taken: this.#held.at(-1)!, found: this.found }
  }

  /** Rows of the prompt that nobody had to compute. */
  get found(): number {
    return Math.min(...this.#held)
  }

  /** What is waited for while an attempt stands. */
  waiting(through: { readonly furthest: number }): Waiting {
    return {
      furthest: () => through.furthest,
      deadlineMs: this.#deadline,
      ...(this.#lane === 'batch' && { graceMs: YIELDING_GRACE_MS }),
      outstanding: () => {
        const { tokens, nextTokenRow } = this.text
        if (this.#giver.attempt() === undefined) return 0
        const ofPrompt = tokens.length === 0 ? this.first.rows - through.furthest : 0
        return Math.max(0, ofPrompt, this.first.rows - nextTokenRow)
      },
    }
  }

  /** Nothing is guessed any more. */
  close(): void {
    this.#speculation?.close()
  }

  /** Rows that a hop can have: those that were given, and those of the prefix. */
  bounded(rows: number): number {
    return Math.min(rows, Math.max(this.first.rows, this.#prefix?.rows ?? 0))
  }

  /** Ids of the prompt. */
  async send(ids: readonly number[], position: number): Promise<void> {
    const { rows } = this.first
    // A first hop with a prefix has begun in the middle of a chunk.
    const more = ids.slice(rows - position)
    if (position > rows || more.length === 0) return
    this.first.append(more)
    const attempt = this.#giver.attempt()
    if (attempt !== undefined) await this.first.giveNext(this.#giver.request, attempt, this.text.nextTokenRow)
  }

  /** The hops have so many rows: the first gets the others, while `goesOn`. */
  async again(attempt: number, taken: readonly number[], goesOn: () => boolean): Promise<void> {
    const [{ rows }, first] = [this.first, taken[0]!]
    this.#held = taken
    this.#speculation?.restart()
    if (first > rows) this.first.append(this.#prefix?.ids(rows, first) ?? [])
    await this.first.giveAgain(this.#giver.request, attempt, first, this.text.nextTokenRow, goesOn)
  }

  /** The route stands: what came since it was last looked at goes now. Returns false. */
  catchUp(attempt: number): false {
    if (this.first.lacks) void this.first.giveNext(this.#giver.request, attempt, this.text.nextTokenRow)
    return false
  }

  /** The row behind a token, and guesses at what follows it. */
  async #next(id: number, position: number): Promise<void> {
    if (position !== this.first.rows) return
    this.first.append([id])
    if (this.#speculation?.isUnderWay(position) !== true) await this.#giveNext(position)
    await this.#further()
  }

  async #giveNext(position: number): Promise<void> {
    const { request } = this.#giver
    const attempt = this.#giver.attempt()
    if (attempt === undefined) return
    const next = this.#speculation?.next(position) ?? []
    const guesses = next instanceof Promise ? await next : next
    // Another attempt has given the row, or will; or the answer is over.
    if (guesses === undefined || this.#giver.attempt() !== attempt) return
    if (guesses.length === 0 || this.#guessKey === undefined)
      return this.first.giveNext(request, attempt, this.text.nextTokenRow)
    const sealed = sealGuesses(this.#guessKey, this.#random, position, { ids: guesses })
    // What is chained to it goes at once.
    void this.first.guess(request, attempt, guesses, sealed)
  }

  /** Windows behind those that are under way, as many as pay. */
  async #further(): Promise<void> {
    // Whoever reads is waited for: nothing is guessed ahead of a row that is not asked for.
    while (this.first.rows > this.text.nextTokenRow) {
      const attempt = this.#giver.attempt()
      const window = attempt === undefined ? undefined : this.#speculation?.further()
      if (attempt === undefined || window?.behind === undefined || this.#guessKey === undefined) return
      const sealed = sealGuesses(this.#guessKey, this.#random, this.first.given, window)
      await this.first.chain(this.#giver.request, attempt, [window.behind, ...window.ids], sealed)
    }
  }
}

/** Rows of audited sessions are signed as they come, so none of them may have been for nothing. */
function speculationOf(needs: SessionNeeds, init: SessionInit, more: () => void): Guesser | undefined {
  const { follow, speculate: mode = 'off', audit, sampler } = init
  if (audit !== undefined) return undefined
  const count = (name: SpeculationCounter, by: number): void => needs.count(name, by)
  const { forced } = sampler
  if (forced === undefined || (follow.forced ?? 0) === 0)
    return mode === 'off' ? undefined : speculation(needs, init, mode, more)
  // What is guessed behind the given tokens is guessed as if these were the prompt.
  const ids = unpackIds(forced.ids).slice(follow.start - forced.from)
  const prompt = [...init.prompt, ...ids]
  const chosen = { ...follow, start: prompt.length, limit: follow.limit - ids.length, forced: 0 }
  const after = mode === 'off' ? undefined : speculation(needs, { ...init, prompt, follow: chosen }, mode, more)
  return new ForcedGuesses({ forced, follow, after, count })
}

function speculation(
  needs: SessionNeeds,
  { prompt, follow, draft: model, sampler, names }: SessionInit,
  mode: Exclude<SpeculateMode, 'off'>,
  more: () => void,
): Speculation {
  const draft = model && { model, sampler, names }
  const { clock } = needs
  return new Speculation({ clock, prompt, follow, mode, draft, more, count: (name, by) => needs.count(name, by) })
}
