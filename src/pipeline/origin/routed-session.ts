/**
 * A session over the ring, from its origin's side: all hops opened, rows sent, tokens received, all hops closed. When a
 * hop is lost, another attempt takes its place in the route: hops that stay say how many rows they have, new ones are fed
 * what their predecessors kept, and the text goes on where it stopped.
 */
import { encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
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
import { FirstHop } from './first-hop.ts'
import { findSuccessor } from './hand-over.ts'
import { findRoute } from './next-route.ts'
import { openings } from './opening.ts'
import { Pacing } from './pacing.ts'
import { Relief } from './relief.ts'
import { Replaced } from './replaced.ts'
import { SessionText } from './session-text.ts'
import { requestNumber } from './token-frames.ts'
import type { RouteSegment } from './route.ts'
import type { Arrival, OriginSession, SessionInit, SessionNeeds } from './session.ts'
import { isRecoverable, Trouble } from './trouble.ts'
import { Watches } from './watches.ts'

const LEAVES = 'it is about to leave'

export class RoutedSession implements OriginSession, OriginListener {
  attempt = 0
  peers: ReadonlySet<string>
  readonly #needs: SessionNeeds
  readonly #init: SessionInit
  readonly #request: number
  readonly #replaced = new Replaced()
  readonly #relief = new Relief()
  readonly #trouble: Trouble
  readonly #text: SessionText
  readonly #stop = new AbortController()
  readonly #undo: (() => void)[] = []
  #route: readonly RouteSegment[]
  readonly #pids = new Map<number, number>()
  /** Segments that are open where they are. */
  readonly #open = new Set<RouteSegment>()
  /** Those that were fed beforehand, by the request under which they were. */
  readonly #shadows = new Map<RouteSegment, number>()
  readonly #watches = new Watches((peer) => this.#needs.watch(peer))
  #answers: Answers | undefined
  readonly #checks: Checks
  readonly #pacing: Pacing
  readonly #first = new FirstHop((message) => this.#send(this.#route[0]!.peer, message))
  #paused = true
  #begun = false
  #recovering = false
  #error: Error | undefined

  constructor(needs: SessionNeeds, init: SessionInit) {
    this.#needs = needs
    this.#init = init
    this.#request = requestNumber(needs.random)
    this.#trouble = new Trouble(needs.self, (peer) => init.failover.isReachable(peer))
    this.#route = init.route
    this.peers = new Set(init.route.map(({ peer }) => peer))
    const isHeld = init.audit?.mode === 'hold'
    this.#pacing = new Pacing(needs.clock, this.#stop.signal)
    this.#text = new SessionText(init.follow, (id, position) => void this.send([id], position), isHeld)
    this.#checks = new Checks(needs, init, {
      request: this.#request,
      first: this.#first,
      text: this.#text,
      signal: this.#stop.signal,
      attempt: () => this.attempt,
      condemned: (peer) => this.#recover(this.#trouble.condemn(this.#route, peer)),
      fail: (error) => this.#end(error),
    })
  }

  get hops(): readonly RouteHop[] {
    return this.#route.map(({ peer, from, to }) => ({ peer, pid: this.#pids.get(from) ?? 0, from, to }))
  }

  /** @throws what ended it before it began */
  async open(): Promise<void> {
    const { clock, ring } = this.#needs
    const { deadline, signal } = this.#init
    const abort = (): void => this.#end(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })
    this.#undo.push(
      () => signal.removeEventListener('abort', abort),
      clock.after(deadline, () => this.#end(new DeadlineError(deadline))),
      ring.listen(this.#request, this),
      () => this.#watches.set([]),
    )
    const seen = this.#trouble.version
    const cause = await this.#relief.open(this.#route, this.#init.failover, async (route, isAgain) => {
      if (!isAgain) return this.#attempt(route, new Set(route))
      this.#dismiss(this.#route)
      this.attempt++
      // Hops of a later attempt wait to be resumed.
      return this.#resume(await this.#attempt(route, new Set(route)))
    })
    if (this.#error !== undefined) throw this.#error
    if (cause !== undefined || seen !== this.#trouble.version)
      await this.#recoverAll(cause ?? new PeerLostError(this.#route[0]!.peer, 'a channel ended'))
    else this.#checks.begin(this.attempt, this.#route)
    this.#paused = false
    this.#begun = true
  }

  take(): Promise<Arrival> {
    return this.#text.take()
  }

  /** What cannot go now goes with the next attempt. */
  async send(ids: readonly number[], position: number): Promise<void> {
    if (position !== this.#first.rows) return
    this.#first.append(ids)
    if (this.#paused) return
    await this.#first.give(this.#request, this.attempt, position, this.#first.rows, this.#text.nextTokenRow)
  }

  readonly settle = (): Promise<readonly Arrival[]> => this.#checks.settle()

  close(): void {
    this.#checks.pause()
    this.#stop.abort()
    for (const action of this.#undo.splice(0)) action()
    for (const peer of this.peers) this.#give(peer, { type: RING.close })
  }

  opened(hop: number, pid: number): void {
    const segment = this.#route[hop]
    if (segment === undefined) return
    this.#pids.set(segment.from, pid)
    this.#open.add(segment)
    this.#answers?.answered(hop, 0)
  }

  rerouted(hop: number, taken: number): void {
    const segment = this.#route[hop]
    if (segment !== undefined) this.#shadows.delete(segment)
    this.#answers?.answered(hop, Math.min(taken, this.#first.rows))
  }

  token(message: Frame, control: ReturnType<typeof decodeToken>): void {
    if (this.#checks.isFenced(this.attempt)) return
    this.#pacing.fruit()
    const row = this.#text.nextTokenRow
    if (!this.#text.token(message, control))
      this.failed(this.#route.length - 1, new OutOfStepError('a token came out of turn', {}))
    else this.#checks.token(row, message, control)
  }

  readonly accounted = (message: Frame, account: Account): void => this.#checks.accounted(message, account)

  taken(message: Frame): void {
    this.#pacing.fruit()
    this.#text.tell({ takenTo: message.position + message.rows })
  }

  failed(hop: number, error: Error): void {
    const segment = this.#route[hop]
    const isFirst = !this.#begun && !this.#recovering
    if (segment !== undefined && isFirst && this.#relief.refuses(segment, error)) return this.#answers?.fail(error)
    if (segment === undefined || !isRecoverable(error, this.#begun)) return this.#end(error)
    this.#trouble.fail(segment, error.message)
    this.#recover(error)
  }

  broken(hop: number, peer: string, why: string, gone: boolean): void {
    if (this.#checks.refused(this.#route, hop, peer, why)) return
    this.#trouble.broken(this.#route, hop, peer, why, gone)
    this.#recover(new PeerLostError(peer, why))
  }

  lost(peer: string, why: string, gone: boolean): void {
    this.#trouble.lostPeer(this.#route, peer, why, gone)
    this.#recover(new PeerLostError(peer, why))
  }

  leaving(hop: number): void {
    // What it holds it serves until then: if nobody is ready in time, it is lost like any other. Tokens that wait for a check
    // hang on rows that a successor has not sent.
    if (!this.#checks.isHeld) void this.#handOver(hop).catch(() => undefined)
  }

  async #handOver(hop: number): Promise<void> {
    const { attempt } = this
    const { avoid } = this.#trouble
    const leaving = { request: this.#request, attempt, first: this.#first, signal: this.#stop.signal }
    const next = await findSuccessor(this.#needs, this.#init, { ...leaving, route: this.#route, avoid }, hop)
    // Another attempt has begun meanwhile, or the session is over.
    if (this.attempt !== attempt || this.#recovering || this.#error !== undefined) return next?.close()
    if (next === undefined) return
    this.#needs.count('hand_overs')
    this.#shadows.set(next.segment, next.shadow)
    this.#open.add(next.segment)
    const segment = this.#route[hop]!
    this.#trouble.lose(segment, LEAVES, next.segment)
    this.#recover(new PeerLostError(segment.peer, LEAVES))
  }

  #end(error: Error): void {
    this.#error ??= error
    this.#stop.abort(error)
    this.#answers?.fail(error)
    this.#text.fail(error)
  }

  #recover(cause: Error): void {
    this.#paused = true
    this.#checks.pause()
    this.#answers?.fail(cause)
    // While the first attempt is under way, whoever opens the session goes on from its failure.
    if (this.#recovering || !this.#begun || this.#error !== undefined) return
    void this.#recoverAll(cause).catch((reason: unknown) => this.#end(reason as Error))
  }

  async #recoverAll(cause: Error): Promise<void> {
    const until = this.#needs.clock.now() + this.#init.failover.patience
    this.#recovering = true
    this.#paused = true
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
    const [{ clock }, { failover }, { signal }] = [this.#needs, this.#init, this.#stop]
    const waiting = (nobody: NoRouteError): void => this.#text.tell({ waiting: nobody })
    const seeking = { clock, failover, trouble: this.#trouble, signal, until, waiting }
    const { route, replaced } = await findRoute(seeking, this.#route)
    const isWhole = this.#checks.restarts()
    const fresh = new Set(route.filter((segment) => isWhole || !this.#open.has(segment)))
    this.#dismiss(replaced.map(({ segment }) => segment))
    this.#trouble.settle(replaced)
    this.#replaced.add(replaced)
    const seen = this.#trouble.version
    try {
      this.attempt++
      await this.#resume(await this.#attempt(route, fresh))
      if (this.#trouble.version !== seen) return error
      this.#paused = false
      this.#checks.begin(this.attempt, this.#route)
      const told = this.#replaced.take(route, this.#first.rows, this.#needs)
      if (this.#begun) this.#text.tell({ rerouted: { attempt: this.attempt, route: this.hops, ...told } })
      return error
    } catch (reason) {
      if (this.#error !== undefined) throw this.#error
      return reason as Error
    }
  }

  /** Whoever is replaced and may still be there frees the session; what it still sends is fenced. */
  #dismiss(replaced: readonly RouteSegment[]): void {
    for (const segment of replaced) {
      this.#open.delete(segment)
      const control = encodeControl({ from: segment.from })
      if (this.#init.failover.isReachable(segment.peer)) this.#give(segment.peer, { type: RING.close, control })
    }
  }

  /** Opens hops that are new and reroutes those that stay. Returns the rows that each has. @throws what went wrong */
  async #attempt(route: readonly RouteSegment[], fresh: ReadonlySet<RouteSegment>): Promise<readonly number[]> {
    this.#route = route
    if (fresh.has(route.at(-1)!)) this.#checks.headOpens()
    this.peers = new Set(route.map(({ peer }) => peer))
    this.#replaced.joined(this.peers, (peer) => this.#init.failover.kernel(peer))
    this.#watches.set(this.peers)
    const late = (hop: number): Error => this.#trouble.silent(route[hop]!)
    const stay = [...route.keys()].filter((hop) => !fresh.has(route[hop]!))
    const { answers, cancel } = answersOf(this.#needs.clock, route.length, stay, late)
    this.#answers = answers
    try {
      const known = { fresh, shadows: this.#shadows, tokens: this.#text.tokens }
      for (const [hop, message] of openings(this.#init, route, known).entries()) this.#give(route[hop]!.peer, message)
      return await answers.all
    } finally {
      cancel()
      this.#answers = undefined
    }
  }

  async #resume(taken: readonly number[]): Promise<void> {
    const tokensFrom = this.#text.nextTokenRow
    for (const [hop, { peer }] of this.#route.entries()) {
      const control = encodeControl({ from: taken[hop + 1] ?? 0, tokensFrom })
      this.#give(peer, { type: RING.resume, hop, control })
    }
    const { attempt } = this
    const goesOn = (): boolean => this.attempt === attempt && this.#error === undefined
    await this.#first.giveAgain(this.#request, attempt, taken[0]!, tokensFrom, goesOn)
  }

  #give(peer: string, init: Partial<Frame> & Pick<Frame, 'type'>): void {
    void this.#send(peer, frame({ request: this.#request, attempt: this.attempt, ...init }))
  }

  async #send(peer: string, message: Frame): Promise<void> {
    const { attempt } = this
    try {
      await this.#needs.ring.send(peer, message)
    } catch (error) {
      if (message.type === RING.close || attempt !== this.attempt || !this.peers.has(peer)) return
      this.lost(peer, error instanceof Error ? error.message : String(error), true)
    }
  }
}
