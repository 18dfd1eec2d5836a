/** What a session has given and what has come of it: ids of all rows, the tokens, and what waits for whoever reads. */
import type { Frame } from '../../net/index.ts'
import { Inbox } from '../../util/index.ts'
import type { decodeToken } from '../ring/protocol.ts'
import { createFollower } from './follower.ts'
import type { Follow, Follower } from './follower.ts'
import type { Arrival, TokenArrival } from './session.ts'
import { arrival } from './token-frames.ts'

export class SessionText {
  readonly tokens: number[] = []
  readonly #follow: Follow
  #follower: Follower
  readonly #arrivals = new Inbox<Arrival>()
  readonly #next: (id: number, position: number) => void
  /** Tokens that are not given before what they came from was checked, by the row that they follow; undefined: all are. */
  readonly #held: { readonly row: number; readonly token: TokenArrival }[] | undefined

  /** @param next gives the row behind a token to the first hop @param hold tokens wait until they are released */
  constructor(follow: Follow, next: (id: number, position: number) => void, hold = false) {
    this.#follow = follow
    this.#next = next
    this.#held = hold ? [] : undefined
    this.#follower = createFollower(follow, next)
  }

  /** The row whose token comes next. */
  get nextTokenRow(): number {
    return this.#follow.start - 1 + this.tokens.length
  }

  /** False: it is not its turn. One that was here already, said again after a reroute, is passed over. */
  token(message: Frame, control: ReturnType<typeof decodeToken>): boolean {
    const row = message.position + message.rows - 1
    if (row !== this.nextTokenRow) return row < this.nextTokenRow
    const token = arrival(message, control)
    this.tokens.push(token.id)
    this.#follower.arrived(token.id, this.#unread)
    if (this.#held === undefined) this.#arrivals.push({ token })
    else this.#held.push({ row, token })
    return true
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
    const { start, limit, endTokens } = this.#follow
    const given = this.tokens.length - (this.#held?.length ?? 0)
    this.tokens.length = given
    this.#held?.splice(0)
    const last = this.tokens.at(-1)
    const goesOn = last !== undefined && given < limit && !endTokens.has(last)
    const waiting = goesOn && rows < start + given ? last : undefined
    this.#follower = createFollower(this.#follow, this.#next, { tokens: given, held: waiting })
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
