/** What a session has given and what has come of it: ids of all rows, the tokens, and what waits for whoever reads. */
import type { Frame } from '../../net/index.ts'
import { Inbox } from '../../util/index.ts'
import type { decodeToken } from '../ring/protocol.ts'
import { createFollower } from './follower.ts'
import type { Follow, Follower } from './follower.ts'
import type { Arrival } from './session.ts'
import { arrival } from './token-frames.ts'

export class SessionText {
  readonly tokens: number[] = []
  readonly #follow: Follow
  readonly #follower: Follower
  readonly #arrivals = new Inbox<Arrival>()

  /** @param next gives the row behind a token to the first hop */
  constructor(follow: Follow, next: (id: number, position: number) => void) {
    this.#follow = follow
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
    this.#follower.arrived(token.id, this.#arrivals.length)
    this.#arrivals.push({ token })
    return true
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
    this.#follower.taken(this.#arrivals.length)
    return next
  }
}
