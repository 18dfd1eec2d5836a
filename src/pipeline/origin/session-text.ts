/** What a session has given and what has come of it: ids of all rows, the tokens, and what waits for whoever reads. */
import type { Frame } from '../../net/index.ts'
import { Inbox } from '../../util/index.ts'
import type { decodeToken } from '../ring/protocol.ts'
import { createFollower, endsText } from './follower.ts'
import type { Follow, Follower } from './follower.ts'
import type { Arrival, TokenArrival } from './session.ts'
import type { Said } from './speculation/guesser.ts'
import { arrivals } from './token-frames.ts'

/** What follows from tokens. */
export interface Steps {
  /** Gives the row behind a token to the first hop. */
  next(id: number, position: number): void
  /** The row behind a token was guessed right: the stages have it. */
  guessed(id: number, position: number): void
  /** These tokens have come, the first of them behind this row. */
  came(row: number, ids: readonly number[], said: Said): void
}

export class SessionText {
  readonly tokens: number[] = []
  readonly #follow: Follow
  #follower: Follower
  readonly #arrivals = new Inbox<Arrival>()
  readonly #steps: Steps
  /** Tokens that are not given before what they came from was checked, by the row that they follow; undefined: all are. */
  readonly #held: { readonly row: number; readonly token: TokenArrival }[] | undefined

  /** @param hold tokens wait until they are released */
  constructor(follow: Follow, steps: Steps, hold = false) {
    this.#follow = follow
    this.#steps = steps
    this.#held = hold ? [] : undefined
    this.#follower = createFollower(follow, (id, position) => steps.next(id, position))
  }

  /** The row whose token comes next. */
  get nextTokenRow(): number {
    return this.#follow.start - 1 + this.tokens.length
  }

  /** False: it is not its turn. What was here already, said again after a reroute, is passed over. */
  token(message: Frame, control: ReturnType<typeof decodeToken>): boolean {
    const said = arrivals(message, control)
    const row = this.nextTokenRow
    if (said === undefined || said.row > row) return false
    const tokens = this.#wanted(said.tokens.slice(row - said.row))
    const [last] = tokens.slice(-1)
    if (last === undefined) return true
    const unread = this.#unread
    // A row that whoever reads was to ask for first: windows that were under way then have it.
    if (this.tokens.length > 0) this.#steps.guessed(this.tokens.at(-1)!, row)
    const ids = tokens.map(({ id }) => id)
    this.#steps.came(row, ids, { busyMs: (message.micros + message.waited) / 1000, chains: control.chains === true })
    for (const [index, { id }] of tokens.entries()) {
      this.tokens.push(id)
      if (index < tokens.length - 1) this.#steps.guessed(id, row + index + 1)
    }
    this.#follower.passed(tokens.length - 1)
    this.#follower.arrived(last.id, unread)
    const together = tokens.length
    for (const [index, each] of tokens.entries()) {
      const token = together === 1 ? each : { ...each, together }
      if (this.#held === undefined) this.#arrivals.push({ token })
      else this.#held.push({ row: row + index, token })
    }
    return true
  }

  /** Nothing follows an end token, or the last that is wanted. */
  #wanted(tokens: readonly TokenArrival[]): readonly TokenArrival[] {
    const end = tokens.findIndex(({ id }, index) => endsText(this.#follow, this.tokens.length + index, id))
    const most = Math.max(1, this.#follow.limit - this.tokens.length)
    return tokens.slice(0, Math.min(most, end < 0 ? Infinity : end + 1))
  }

  /** Tokens given that came of rows from `row` on. */
  givenFrom(row: number): number {
    const given = this.tokens.length - (this.#held?.length ?? 0)
    return Math.max(0, given - Math.max(0, row - this.#follow.start + 1))
  }

  /** Tokens behind rows before `row` may be given. */
  release(row: number): void {
    const held = this.#held ?? []
    while (held[0] !== undefined && held[0].row < row) this.#arrivals.push({ token: held.shift()!.token })
  }

  /** What is held never was. @param rows that the first hop was given @returns rows that it should have been */
  rollBack(rows: number): number {
    const { start, limit } = this.#follow
    const given = this.tokens.length - (this.#held?.length ?? 0)
    this.tokens.length = given
    this.#held?.splice(0)
    const last = this.tokens.at(-1)
    const goesOn = last !== undefined && given < limit && !endsText(this.#follow, given - 1, last)
    const waiting = goesOn && rows < start + given ? last : undefined
    const next = (id: number, position: number): void => this.#steps.next(id, position)
    this.#follower = createFollower(this.#follow, next, { tokens: given, held: waiting })
    this.#follower.taken(this.#unread)
    return start + given
  }

  /** What is here and was not taken. */
  rest(): Arrival[] {
    return this.#arrivals.clear()
  }

  get #unread(): number {
    return this.#arrivals.length + (this.#held?.length ?? 0)
  }

  tell(what: Arrival): void {
    this.#arrivals.push(what)
  }

  fail(error: Error): void {
    this.#arrivals.fail(error)
  }

  /** The next thing to arrive. @throws what has ended the session */
  async take(): Promise<Arrival> {
    const next = await this.#arrivals.take()
    this.#follower.taken(this.#unread)
    return next
  }
}
