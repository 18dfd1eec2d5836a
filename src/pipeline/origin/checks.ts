/** What a session has checked of its stages, and what it does when something is wrong. Without audits it does nothing. */
import type { Frame } from '../../net/index.ts'
import type { Account, decodeToken } from '../ring/protocol.ts'
import { OUTLIER } from '../ring/row-check.ts'
import { NOT_FINITE, UNSIGNED } from '../ring/witness.ts'
import type { AuditNews } from './audit-types.ts'
import { Auditing } from './auditing.ts'
import type { FirstHop } from './first-hop.ts'
import type { RouteSegment } from './route.ts'
import type { Arrival, SessionInit, SessionNeeds } from './session.ts'
import type { SessionText } from './session-text.ts'

export interface ChecksNeeds {
  readonly request: number
  readonly first: FirstHop
  readonly text: SessionText
  readonly signal: AbortSignal
  /** That is under way. */
  attempt(): number
  /** The session goes on without this peer. */
  condemned(peer: string): void
  fail(error: Error): void
}

export class Checks {
  readonly #session: SessionNeeds
  readonly #init: SessionInit
  readonly #needs: ChecksNeeds
  readonly #audits: Auditing | undefined
  /** The attempt whose tokens are of no use: rows of it were wrong. */
  #fenced = -1
  /** All of the route is computed again. */
  #restarts = false
  #over = false
  /** The first row whose token the head was asked for, and the tokens before. */
  #head: { readonly row: number; readonly tokens: readonly number[] } = { row: 0, tokens: [] }

  constructor(session: SessionNeeds, init: SessionInit, needs: ChecksNeeds) {
    this.#session = session
    this.#init = init
    this.#needs = needs
    const { audit } = init
    const { request, first, text, signal } = needs
    if (audit === undefined) return
    this.#audits = new Auditing({
      session,
      request,
      first,
      signal,
      init: { ...init, audit },
      release: (row) => text.release(row),
      condemn: (peer, news) => this.condemn(peer, news),
      fail: (error) => needs.fail(error),
    })
  }

  /** Tokens wait until they are checked. */
  get isHeld(): boolean {
    return this.#init.audit?.mode === 'hold'
  }

  isFenced(attempt: number): boolean {
    return attempt === this.#fenced
  }

  /** The head of an attempt is opened anew. */
  headOpens(): void {
    this.#head = { row: this.#needs.text.nextTokenRow, tokens: [...this.#needs.text.tokens] }
  }

  /** An attempt stands. */
  begin(attempt: number, route: readonly RouteSegment[]): void {
    this.#restarts = false
    this.#audits?.begin(attempt, route, this.#head)
  }

  /** The attempt does not stand any more. */
  pause(): void {
    this.#audits?.pause()
  }

  /**
   * Another attempt is about to begin. Whether all of its stages compute everything again: what they hold came of rows that
   * were wrong, or that nobody can show any more while tokens wait for it. Such tokens never were.
   */
  restarts(): boolean {
    if (!this.isHeld) return this.#restarts
    const { first, text } = this.#needs
    first.truncate(text.rollBack(first.rows))
    this.#audits?.rollBack(text.nextTokenRow)
    return true
  }

  token(row: number, message: Frame, control: ReturnType<typeof decodeToken>): void {
    if (this.#needs.text.nextTokenRow > row) this.#audits?.token(row, message, control)
  }

  accounted(message: Frame, account: Account): void {
    this.#audits?.accounts.answered(message, account)
  }

  /** A hop refuses what its neighbour sent it. False: for a reason that is nothing to be checked. */
  refused(route: readonly RouteSegment[], hop: number, neighbour: string, why: string): boolean {
    if (why !== UNSIGNED && why !== NOT_FINITE && why !== OUTLIER) return false
    const [before, at] = [route[hop - 1], route[hop]]
    // Whoever refuses rows of this peer, or of nobody before it, is the one that is wrong.
    const isBefore = before !== undefined && before.peer === neighbour && neighbour !== this.#session.self
    const segment = isBefore ? before : at
    if (segment === undefined) return true
    const { peer, from, to } = segment
    if (this.#init.audit === undefined) {
      this.#leave(peer)
      return true
    }
    this.#init.audit.skipped('refused')
    this.condemn(peer, { verdict: 'disputed', peer, from, to, position: this.#needs.text.nextTokenRow, why })
    return true
  }

  /** A peer computes no more of this session, and all that hangs on its rows is computed again. */
  condemn(peer: string, news: Omit<AuditNews, 'affected'>): void {
    const { text } = this.#needs
    text.tell({ audit: { ...news, affected: text.givenFrom(news.position) } })
    this.#leave(peer)
  }

  #leave(peer: string): void {
    if (this.#over) return
    this.#fenced = this.#needs.attempt()
    this.#restarts = true
    this.#needs.condemned(peer)
  }

  /** The text has ended; what is under way is waited for. Returns what there is to tell still. */
  async settle(): Promise<readonly Arrival[]> {
    this.#over = true
    await this.#audits?.idle()
    return this.#needs.text.rest()
  }
}
