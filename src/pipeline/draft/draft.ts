/**
 * A small model that follows the text of an answer and guesses ahead of it, in a session of its own here. One run is under way at a
 * time; the rows that it has are always a beginning of the text with its guesses, so a guess that was wrong costs a smaller position.
 */
import { DTYPE, decodeControl, encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import { HOST, RUN } from '../host/protocol.ts'
import type { OpenControl, TokenControl } from '../host/protocol.ts'

/** Rows of a prompt that run together: they are of the batch lane, and whoever comes meanwhile waits for them. */
const CHUNK_ROWS = 32
/** What takes more rows is catching up, and says nothing of the time of a guess. */
const GUESS_ROWS = 2
/** Weight of what is new in a mean that follows. */
const FOLLOW = 0.25

export interface DraftGuess {
  readonly id: number
  /** Logit of it less the largest of the others: how sure the model is. */
  readonly lead: number
}

/** Whether a guess was the token that came. */
export interface Outcome {
  readonly lead: number
  readonly right: boolean
}

export interface DraftNeeds {
  readonly clock: Clock
  send(message: Frame): Promise<void>
  /** Of its session in the host. */
  readonly number: number
  /** It has ended, and gives its number back. */
  ended(): void
}

export interface DraftInit {
  readonly open: OpenControl
  readonly text: readonly number[]
  /** Ids from here on are none of the text's model. */
  readonly vocabulary: number
  /** Another guess is there. @default nobody is told */
  guessed?(): void
}

/** A run that is under way. */
interface Flight {
  readonly rows: number
  /** Position behind its last row. */
  readonly end: number
  readonly at: number
  /** All its rows are of the text still. */
  holds: boolean
}

export class Draft {
  readonly #needs: DraftNeeds
  readonly #init: DraftInit
  /** What the tokens are known to be. */
  readonly #text: number[]
  #ahead: DraftGuess[] = []
  /** Of the rows that the session has: a beginning of the text with what is ahead. */
  readonly #rows: number[] = []
  /** Rows that its host has been given: where fewer count, it goes back. */
  #sent = 0
  #flight: Flight | undefined
  #goesOn: (ahead: readonly DraftGuess[]) => boolean = () => false
  #waiters: (() => void)[] = []
  #state: 'opening' | 'open' | 'ended' = 'opening'
  #guessMs: number | undefined
  #isLost = false

  constructor(needs: DraftNeeds, init: DraftInit) {
    this.#needs = needs
    this.#init = init
    this.#text = [...init.text]
    this.#give({ type: HOST.open, control: encodeControl(init.open) })
  }

  get isOver(): boolean {
    return this.#state === 'ended'
  }

  /** Its host has ended before it: another one may take it up. */
  get isLost(): boolean {
    return this.#isLost
  }

  /** A run is under way. */
  get isBusy(): boolean {
    return this.#flight !== undefined
  }

  /** Milliseconds of a guess; undefined: none was made yet. */
  get guessMs(): number | undefined {
    return this.#guessMs
  }

  /** Rows of the text that it does not have yet, but for the last. */
  get lacks(): number {
    return Math.max(0, this.#text.length - 1 - this.#rows.length)
  }

  /** Guesses at what follows the text. */
  get ahead(): readonly DraftGuess[] {
    return this.#ahead
  }

  /** Tokens have come. Returns what became of the guesses at them. */
  came(ids: readonly number[]): readonly Outcome[] {
    const outcomes: Outcome[] = []
    for (const id of ids) {
      const [guess] = this.#ahead
      if (guess !== undefined) outcomes.push({ lead: guess.lead, right: guess.id === id })
      this.#ahead = guess?.id === id ? this.#ahead.slice(1) : []
      this.#text.push(id)
      const position = this.#text.length - 1
      if (this.#rows.length > position && this.#rows[position] !== id) this.#back(position)
    }
    return outcomes
  }

  /** Guesses as long as `goesOn` says so of those that there are. */
  guess(goesOn: (ahead: readonly DraftGuess[]) => boolean): void {
    this.#goesOn = goesOn
    this.#pump()
  }

  /** Makes no more than the guess that is under way. */
  rest(): void {
    this.#goesOn = () => false
  }

  /** Resolves when there is another guess, it has ended, or the time has passed. */
  more(milliseconds: number): Promise<void> {
    if (this.isOver) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = this.#needs.clock.after(milliseconds, () => resolve())
      this.#waiters.push(() => {
        cancel()
        resolve()
      })
    })
  }

  /** What its host says of the session. */
  receive(message: Frame): void {
    if (this.isOver) return
    if (message.type === HOST.opened) {
      this.#state = 'open'
      for (const id of this.#text.slice(0, message.position)) this.#rows.push(id)
      this.#sent = message.position
      return this.#pump()
    }
    if (message.type !== HOST.token && message.type !== HOST.taken) return this.#end()
    const flight = this.#flight
    this.#flight = undefined
    if (flight?.holds === true && message.type === HOST.token) this.#guessed(flight, message)
    this.#pump()
  }

  /** The answer is over. @param names of runs of its text, which its host keeps */
  close(names?: Uint8Array): void {
    if (this.isOver) return
    this.#give({ type: HOST.close, ...(names && { control: encodeControl({ names }) }) })
    this.#end()
  }

  /** Its host has ended. */
  lost(): void {
    this.#isLost = true
    this.#end()
  }

  #guessed({ rows, end, at }: Flight, message: Frame): void {
    const id = new DataView(message.payload.buffer, message.payload.byteOffset).getInt32(0, true)
    const { lead = 0 } = decodeControl(message.control) as TokenControl
    const ms = this.#needs.clock.now() - at
    if (rows <= GUESS_ROWS)
      this.#guessMs = this.#guessMs === undefined ? ms : this.#guessMs + FOLLOW * (ms - this.#guessMs)
    // The token itself was here first.
    if (end !== this.#text.length + this.#ahead.length || id >= this.#init.vocabulary) return
    this.#ahead = [...this.#ahead, { id, lead }]
    this.#wake()
    this.#init.guessed?.()
  }

  /** Rows from `position` on are of a text that is not to be. */
  #back(position: number): void {
    this.#rows.length = position
    if (this.#flight !== undefined && this.#flight.end > position) this.#flight.holds = false
  }

  #pump(): void {
    if (this.#state !== 'open' || this.#flight !== undefined || !this.#goesOn(this.#ahead)) return
    const all = this.#text.length + this.#ahead.length
    const position = Math.min(this.#rows.length, all - 1)
    if (all > this.#init.open.positions) return this.close()
    const end = Math.min(all, position + CHUNK_ROWS)
    const ids = Array.from({ length: end - position }, (_, row) => this.#at(position + row))
    this.#rows.length = position
    this.#rows.push(...ids)
    const flags = (end === all ? RUN.token : 0) | (position < this.#sent ? RUN.rewind : 0)
    this.#sent = end
    this.#flight = { rows: ids.length, end, at: this.#needs.clock.now(), holds: true }
    const payload = new Uint8Array(Int32Array.from(ids).buffer)
    this.#give({ type: HOST.run, position, flags, dtype: DTYPE.i32, dims: [ids.length], payload })
  }

  #at(position: number): number {
    return this.#text[position] ?? this.#ahead[position - this.#text.length]!.id
  }

  #give(init: Partial<Frame> & Pick<Frame, 'type'>): void {
    this.#needs.send(frame({ request: this.#needs.number, ...init })).catch(() => this.#end())
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter()
  }

  #end(): void {
    if (this.isOver) return
    this.#state = 'ended'
    this.#ahead = []
    this.#needs.ended()
    this.#wake()
  }
}
