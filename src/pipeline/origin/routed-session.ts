/**
 * A session over the ring, from its origin's side: all hops opened, rows sent, tokens received, all hops closed. When a
 * hop is lost, another attempt takes its place in the route: hops that stay say how many rows they have, new ones are fed
 * what their predecessors kept, and the text goes on where it stopped.
 */
import { encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { onAbort } from '../../util/index.ts'
import { OutOfStepError } from '../host/errors.ts'
import { DeadlineError, PeerLostError } from '../ring/errors.ts'
import type { NoRouteError } from '../ring/errors.ts'
import type { OriginListener } from '../ring/origins.ts'
import { RING } from '../ring/protocol.ts'
import type { Account, decodeToken } from '../ring/protocol.ts'
import type { RouteHop } from '../types.ts'
import { answersOf } from './answers.ts'
import type { Answers } from './answers.ts'
import { Checks } from './checks.ts'
import { Farewells } from './farewells.ts'
import { Giving } from './giving.ts'
import { findSuccessor } from './hand-over.ts'
import { findRoute } from './next-route.ts'
import { openings } from './opening.ts'
import { Pacing } from './pacing.ts'
import { Relief } from './relief.ts'
import { Replaced } from './replaced.ts'
import type { SessionText } from './session-text.ts'
import { requestNumber } from './token-frames.ts'
import { resumptionOf } from './resumption.ts'
import { RouteHops } from './route-hops.ts'
import type { RouteSegment } from './route.ts'
import type { Arrival, OriginSession, Reused, SessionInit, SessionNeeds } from './session.ts'
import { Stalls } from './stalls.ts'
import { Trouble } from './trouble.ts'
import { Watches } from './watches.ts'

export class RoutedSession implements OriginSession, OriginListener {
  attempt = 0
  readonly #needs: SessionNeeds
  readonly #init: SessionInit
  readonly #request: number
  readonly #replaced: Replaced
  readonly #relief = new Relief()
  readonly #trouble: Trouble
  readonly #text: SessionText
  readonly #stop = new AbortController()
  readonly #undo: (() => void)[] = []
  readonly #hops: RouteHops
  readonly #watches: Watches
  #answers: Answers | undefined
  readonly #checks: Checks
  readonly #pacing: Pacing
  readonly #giving: Giving
  readonly #stalls: Stalls
  readonly #farewells = new Farewells(this.#stop.signal, (segment, signal) => this.#handOver(segment, signal))
  #paused = true
  #begun = false
  #recovering = false
  #error: Error | undefined

  constructor(needs: SessionNeeds, init: SessionInit) {
    this.#needs = needs
    this.#init = init
    this.#request = requestNumber(needs.random)
    this.#watches = new Watches(needs)
    this.#replaced = new Replaced(needs, init)
    this.#trouble = new Trouble(needs.self, init.failover)
    this.#hops = new RouteHops(init.route)
    const waitsUntil = (since: number): number => this.#giving.waitsUntil(since, this.#begun)
    this.#pacing = new Pacing(needs.clock, this.#stop.signal, waitsUntil, init.deadline)
    const attempt = (): number | undefined => (this.#paused ? undefined : this.attempt)
    const send = (message: Frame): Promise<void> => this.#send(this.#hops.route[0]!.peer, message)
    this.#giving = new Giving(needs, init, { request: this.#request, attempt, send })
    this.#text = this.#giving.text
    const stalled = (hop: number | undefined, silentMs: number): void =>
      this.#recover(this.#trouble.stuck(this.#hops.route, hop, silentMs))
    this.#stalls = new Stalls(needs.clock, this.#giving.waiting(this.#pacing), stalled, () => this.#watches.doubt())
    this.#checks = new Checks(needs, init, {
      request: this.#request,
      first: this.#giving.first,
      text: this.#text,
      signal: this.#stop.signal,
      attempt: () => this.attempt,
      condemned: (peer) => this.#recover(this.#trouble.condemn(this.#hops.route, peer)),
      fail: (error) => this.#end(error),
    })
  }

  get hops(): readonly RouteHop[] {
    return this.#hops.all
  }

  get route(): RouteHops {
    return this.#hops
  }

  /** @throws what ended it before it began */
  async open(): Promise<void> {
    const [{ clock, ring }, { deadline, signal }] = [this.#needs, this.#init]
    this.#undo.push(
      onAbort(signal, (reason) => this.#end(reason)),
      clock.after(this.#giving.left, () => this.#end(new DeadlineError(deadline))),
      ring.listen(this.#request, this.#init.digest, this),
      () => this.#watches.set([]),
      this.#stalls.begin(),
    )
    const seen = this.#trouble.version
    const cause = await this.#relief.open(this.#hops.route, this.#init.failover, async (route, isAgain) => {
      if (isAgain) this.#again(this.#hops.route)
      const fresh = new Set(route)
      const taken = await this.#attempt(route, fresh)
      // Hops of a later attempt, and those that may have a prefix, wait to be resumed.
      if (isAgain || this.#giving.hasPrefix) await this.#resume(taken, fresh)
    })
    if (this.#error !== undefined) throw this.#error
    if (cause !== undefined || seen !== this.#trouble.version)
      await this.#recoverAll(cause ?? new PeerLostError(this.#hops.route[0]!.peer, 'a channel ended'))
    else this.#checks.begin(this.attempt, this.#hops.route)
    this.#paused = this.#giving.catchUp(this.attempt)
    this.#begun = true
    this.#farewells.stands(this.#hops.route)
    this.#replaced.begun(this.#text, this)
    this.#needs.count('prefix_hits', this.#giving.found)
  }

  get reused(): Reused {
    return this.#giving.reused
  }

  readonly take = (): Promise<Arrival> => this.#text.take()
  readonly send = (ids: readonly number[], position: number): Promise<void> => this.#giving.send(ids, position)
  readonly accounted = (message: Frame, account: Account): void => this.#checks.accounted(message, account)
  readonly settle = (): Promise<readonly Arrival[]> => this.#checks.settle()

  close(): void {
    this.#checks.pause()
    this.#stop.abort()
    this.#giving.close()
    for (const action of this.#undo.splice(0)) action()
    const session = { request: this.#request, attempt: this.attempt, route: this.#hops.route }
    const closing = this.#giving.closing(this.#needs.ring, session)
    for (const peer of this.#hops.peers) this.#give(peer, { type: RING.close, ...closing })
  }

  opened(hop: number, pid: number, rows: number): void {
    this.#hops.opened(hop, pid)
    this.#answers?.answered(hop, this.#giving.bounded(rows))
  }

  rerouted(hop: number, taken: number): void {
    this.#hops.rerouted(hop)
    this.#answers?.answered(hop, this.#giving.bounded(taken))
  }

  token(message: Frame, control: ReturnType<typeof decodeToken>): void {
    this.#giving.tracing.came(message)
    if (this.#checks.isFenced(this.attempt)) return
    const row = this.#text.nextTokenRow
    if (!this.#text.token(message, control))
      this.failed(this.#hops.route.length - 1, new OutOfStepError('a token came out of turn', {}))
    else this.#checks.token(row, message, control)
    this.#pacing.fruit(this.#text.nextTokenRow + 1)
  }

  taken(message: Frame): void {
    this.#giving.tracing.came(message)
    this.#pacing.fruit(message.position + message.rows)
    this.#text.tell({ takenTo: message.position + message.rows })
  }

  failed(hop: number, error: Error): void {
    const segment = this.#hops.route[hop]
    const isFirst = segment !== undefined && !this.#begun && !this.#recovering
    if (isFirst && this.#relief.refuses(segment, error)) return this.#answers?.fail(error)
    if (segment === undefined || !this.#trouble.survives(segment, error, this.#begun)) return this.#end(error)
    this.#trouble.fail(segment, error.message)
    this.#recover(error)
  }

  broken(hop: number, peer: string, why: string, gone: boolean): void {
    if (this.#checks.refused(this.#hops.route, hop, peer, why)) return
    this.#recover(this.#trouble.broken(this.#hops.route, hop, peer, why, gone))
  }

  lost(peer: string, why: string, gone: boolean): void {
    this.#recover(this.#trouble.lostPeer(this.#hops.route, peer, why, gone))
  }

  leaving(hop: number): void {
    const segment = this.#hops.route[hop]
    // What it holds it serves until then: if nobody is ready in time, it is lost like any other. Tokens that wait for a check
    // hang on rows that a successor has not sent.
    if (segment !== undefined && !this.#checks.isHeld) this.#farewells.said(segment)
  }

  async #handOver(leaving: RouteSegment, signal: AbortSignal): Promise<void> {
    const { first, openings: known } = this.#giving
    const own = { request: this.#request, attempt: this.attempt, first, guessKey: known.guessKey, signal }
    const among = { route: this.#hops.route, avoid: this.#trouble.avoiding() }
    const next = await findSuccessor(this.#needs, this.#init, { ...own, ...among }, leaving)
    if (next === undefined) return
    this.#needs.count('hand_overs')
    this.#hops.adopt(next)
    this.#recover(this.#trouble.leaves(leaving, next.segment))
  }

  #end(error: Error): void {
    this.#error ??= error
    this.#stop.abort(error)
    this.#answers?.fail(error)
    this.#text.fail(error)
  }

  #recover(cause: Error): void {
    this.#paused = true
    this.#farewells.moves()
    this.#checks.pause()
    this.#answers?.fail(cause)
    // While the first attempt is under way, whoever opens the session goes on from its failure.
    if (this.#recovering || !this.#begun || this.#error !== undefined) return
    void this.#recoverAll(cause).catch((reason: unknown) => this.#end(reason as Error))
  }

  async #recoverAll(cause: Error): Promise<void> {
    const { until } = this.#pacing
    this.#recovering = true
    try {
      let last = cause
      while (this.#paused && this.#error === undefined) {
        await this.#pacing.wait(this.attempt + 1, until, last)
        last = await this.#recoverOnce(last, until)
      }
    } finally {
      this.#recovering = false
    }
  }

  /** Returns what has gone wrong last. @throws NoRouteError */
  async #recoverOnce(error: Error, until: number): Promise<Error> {
    const [{ clock }, { failover }, { signal }, { cameAt }] = [this.#needs, this.#init, this.#stop, this.#pacing]
    const waiting = (nobody: NoRouteError): void => this.#text.tell({ waiting: nobody })
    const seeking = { clock, failover, trouble: this.#trouble, signal, until, cameAt, waiting }
    const { route, replaced } = await findRoute(seeking, this.#hops.route)
    const fresh = this.#checks.restarts() ? new Set(route) : this.#hops.fresh(route)
    this.#trouble.settle(replaced)
    this.#replaced.add(replaced)
    const seen = this.#trouble.version
    try {
      this.#again(replaced.map(({ segment }) => segment))
      await this.#resume(await this.#attempt(route, fresh), fresh)
      if (this.#trouble.version !== seen) return error
      this.#paused = this.#giving.catchUp(this.attempt)
      this.#farewells.stands(route)
      this.#checks.begin(this.attempt, this.#hops.route)
      this.#replaced.tell(this.#text, this, this.#giving.first.rows, this.#begun)
      return error
    } catch (reason) {
      if (this.#error !== undefined) throw this.#error
      return reason as Error
    }
  }

  /** Another attempt: whoever is replaced and may still be there frees the session; what it still sends is fenced. */
  #again(replaced: readonly RouteSegment[]): void {
    for (const segment of replaced) {
      this.#hops.forget(segment)
      const control = encodeControl({ from: segment.from })
      if (this.#init.failover.isReachable(segment.peer)) this.#give(segment.peer, { type: RING.close, control })
    }
    this.attempt++
  }

  /** Opens hops that are new and reroutes those that stay. Returns the rows that each has. @throws what went wrong */
  async #attempt(route: readonly RouteSegment[], fresh: ReadonlySet<RouteSegment>): Promise<readonly number[]> {
    this.#hops.take(route)
    if (fresh.has(route.at(-1)!)) this.#checks.headOpens()
    this.#replaced.joined(this.#hops.peers)
    this.#watches.set(this.#hops.peers)
    const late = (hop: number): Error => this.#trouble.silent(route[hop]!, fresh)
    const stay = [...route.keys()].filter((hop) => !fresh.has(route[hop]!))
    const { answers, cancel } = answersOf(this.#needs.clock, route.length, { stay, openMs: this.#pacing.openMs, late })
    this.#answers = answers
    try {
      const known = { fresh, shadows: this.#hops.shadows, tokens: this.#text.tokens, ...this.#giving.openings }
      for (const [hop, message] of openings(this.#init, route, known).entries()) this.#give(route[hop]!.peer, message)
      return await answers.all
    } finally {
      cancel()
      this.#answers = undefined
    }
  }

  async #resume(had: readonly number[], fresh: ReadonlySet<RouteSegment>): Promise<void> {
    const tokensFrom = this.#text.nextTokenRow
    const tells = this.#text.tokens.length === 0 && fresh.has(this.#hops.route.at(-1)!)
    this.#stalls.asked(had)
    const { taken, hops } = resumptionOf({ had, tokensFrom, tells, keep: this.#giving.keep })
    // The last hop answers of what comes now, and not of what it has.
    if (this.#begun) this.#text.tell({ takenTo: taken.at(-1)! })
    for (const [hop, told] of hops.entries())
      this.#give(this.#hops.route[hop]!.peer, { type: RING.resume, hop, control: encodeControl(told) })
    const { attempt } = this
    const goesOn = (): boolean => this.attempt === attempt && this.#error === undefined
    await this.#giving.again(attempt, taken, goesOn)
  }

  #give(peer: string, init: Partial<Frame> & Pick<Frame, 'type'>): void {
    void this.#send(peer, frame({ request: this.#request, attempt: this.attempt, ...init }))
  }

  async #send(peer: string, message: Frame): Promise<void> {
    const { attempt } = this
    try {
      await this.#needs.ring.send(peer, message)
    } catch (error) {
      if (message.type === RING.close || attempt !== this.attempt || !this.#hops.peers.has(peer)) return
      this.#recover(this.#trouble.unsent(this.#hops.route, peer, error))
    }
  }
}
