/**
 * A session over the ring, from its origin's side: all hops opened, rows sent, tokens received, all hops closed. When a
 * hop is lost, another attempt takes its place in the route: hops that stay say how many rows they have, new ones are fed
 * what their predecessors kept, and the text goes on where it stopped.
 */
import { encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { OutOfStepError } from '../host/errors.ts'
import { DeadlineError, PeerLostError } from '../ring/errors.ts'
import type { OriginListener } from '../ring/origins.ts'
import { MAX_ATTEMPTS, RING } from '../ring/protocol.ts'
import type { decodeToken } from '../ring/protocol.ts'
import type { RouteHop } from '../types.ts'
import { collectAnswers } from './answers.ts'
import type { Answers } from './answers.ts'
import { runAttempt } from './attempt.ts'
import type { AttemptInit } from './attempt.ts'
import { FirstHop } from './first-hop.ts'
import { findSuccessor } from './hand-over.ts'
import { findRoute } from './next-route.ts'
import { Relief } from './relief.ts'
import { Replaced } from './replaced.ts'
import { SessionText } from './session-text.ts'
import { requestNumber } from './token-frames.ts'
import type { RouteSegment } from './route.ts'
import type { Arrival, OriginSession, SessionInit, SessionNeeds } from './session.ts'
import { isRecoverable, isWantOfRoom, Trouble } from './trouble.ts'
import type { LostSegment } from './trouble.ts'
import { Watches } from './watches.ts'

/** Without a route, and after attempts that came to nothing, the next look waits. */
const LOOK_MS = 200
const MOST_PAUSE_MS = 2_000
const LEAVES = 'it is about to leave'
/** Attempts that came to nothing before a session may be given up. */
const FRUITLESS = 4

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
  readonly #first = new FirstHop((message) => this.#send(this.#route[0]!.peer, message))
  #paused = true
  #begun = false
  #recovering = false
  #error: Error | undefined
  /** Attempts since the last row or token came through. */
  #fruitless = 0

  constructor(needs: SessionNeeds, init: SessionInit) {
    this.#needs = needs
    this.#init = init
    this.#request = requestNumber(needs.random)
    this.#trouble = new Trouble(needs.self, (peer) => init.failover.isReachable(peer))
    this.#route = init.route
    this.peers = new Set(init.route.map(({ peer }) => peer))
    this.#text = new SessionText(init.follow, (id, position) => void this.send([id], position))
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
      if (isAgain) this.#startOver()
      const taken = await this.#attempt(route, new Set(route))
      // Hops of a later attempt wait for it.
      if (isAgain) await this.#resume(taken)
    })
    if (this.#error !== undefined) throw this.#error
    if (cause !== undefined || seen !== this.#trouble.version)
      await this.#recoverAll(cause ?? new PeerLostError(this.#route[0]!.peer, 'a channel ended'))
    this.#paused = false
    this.#begun = true
  }

  #startOver(): void {
    for (const segment of this.#route) this.#closeAt(segment)
    this.#open.clear()
    this.attempt++
    this.#needs.count('retries')
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

  close(): void {
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
    this.#fruitless = 0
    if (!this.#text.token(message, control))
      this.failed(this.#route.length - 1, new OutOfStepError('a token came out of turn', {}))
  }

  taken(message: Frame): void {
    this.#fruitless = 0
    this.#text.tell({ takenTo: message.position + message.rows })
  }

  failed(hop: number, error: Error): void {
    const segment = this.#route[hop]
    if (segment !== undefined && !this.#begun && !this.#recovering && isWantOfRoom(error)) {
      this.#relief.refuse(segment, error)
      return this.#answers?.fail(error)
    }
    if (segment === undefined || !isRecoverable(error, this.#begun)) return this.#end(error)
    this.#trouble.fail(segment, error.message)
    this.#recover(error)
  }

  broken(hop: number, peer: string, why: string, gone: boolean): void {
    this.#trouble.broken(this.#route, hop, peer, why, gone)
    this.#recover(new PeerLostError(peer, why))
  }

  lost(peer: string, why: string, gone: boolean): void {
    this.#trouble.lostPeer(this.#route, peer, why, gone)
    this.#recover(new PeerLostError(peer, why))
  }

  leaving(hop: number): void {
    // What it holds it serves until then: if nobody is ready in time, it is lost like any other.
    void this.#handOver(hop).catch(() => undefined)
  }

  async #handOver(hop: number): Promise<void> {
    const { attempt } = this
    const followed = { request: this.#request, attempt, first: this.#first, signal: this.#stop.signal }
    const leaving = { ...followed, route: this.#route, avoid: this.#trouble.avoid }
    const next = await findSuccessor(this.#needs, this.#init, leaving, hop)
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
    this.#answers?.fail(cause)
    // While the first attempt is under way, whoever opens the session goes on from its failure.
    if (this.#recovering || !this.#begun || this.#error !== undefined) return
    void this.#recoverAll(cause).catch((reason: unknown) => this.#end(reason as Error))
  }

  async #recoverAll(cause: Error): Promise<void> {
    const { clock } = this.#needs
    const until = clock.now() + this.#init.failover.patience
    this.#recovering = true
    this.#paused = true
    try {
      let last = cause
      while (this.#paused && this.#error === undefined) {
        const isHopeless = this.#fruitless >= FRUITLESS && clock.now() > until
        if (isHopeless || this.attempt + 1 >= MAX_ATTEMPTS) throw last
        const pause = Math.min(MOST_PAUSE_MS, LOOK_MS * 2 ** (this.#fruitless - 1))
        if (this.#fruitless > 0) await clock.sleep(pause, this.#stop.signal)
        this.#fruitless++
        last = await this.#recoverOnce(last, until)
      }
    } finally {
      this.#recovering = false
    }
  }

  /** Returns what has gone wrong last. @throws NoRouteError */
  async #recoverOnce(error: Error, until: number): Promise<Error> {
    const { route, replaced } = await findRoute(
      {
        clock: this.#needs.clock,
        failover: this.#init.failover,
        trouble: this.#trouble,
        signal: this.#stop.signal,
        until,
        waiting: (nobody) => this.#text.tell({ waiting: nobody }),
      },
      this.#route,
    )
    const fresh = new Set(route.filter((segment) => !this.#open.has(segment)))
    this.#dismiss(replaced)
    this.#trouble.settle(replaced)
    this.#replaced.add(replaced)
    const seen = this.#trouble.version
    try {
      this.attempt++
      await this.#resume(await this.#attempt(route, fresh))
      if (this.#trouble.version !== seen) return error
      this.#paused = false
      const told = this.#replaced.take(route, this.#first.rows, this.#needs)
      if (this.#begun) this.#text.tell({ rerouted: { attempt: this.attempt, route: this.hops, ...told } })
      return error
    } catch (reason) {
      if (this.#error !== undefined) throw this.#error
      return reason as Error
    }
  }

  /** Whoever is replaced and may still be there frees the session; what it still sends is fenced. */
  #dismiss(replaced: readonly LostSegment[]): void {
    for (const { segment } of replaced) {
      this.#open.delete(segment)
      this.#closeAt(segment)
    }
  }

  #closeAt({ peer, from }: RouteSegment): void {
    if (this.#init.failover.isReachable(peer)) this.#give(peer, { type: RING.close, control: encodeControl({ from }) })
  }

  /** Opens hops that are new and reroutes those that stay. Returns the rows that each has. @throws what went wrong */
  async #attempt(route: readonly RouteSegment[], fresh: ReadonlySet<RouteSegment>): Promise<readonly number[]> {
    this.#route = route
    this.peers = new Set(route.map(({ peer }) => peer))
    this.#replaced.joined(this.peers, (peer) => this.#init.failover.kernel(peer))
    this.#watches.set(this.peers)
    const answers = (this.#answers = collectAnswers(route.length))
    const silent = (segment: RouteSegment, why: string): void => this.#trouble.fail(segment, why)
    const give: AttemptInit['give'] = (peer, message) => this.#give(peer, message)
    const [session, shadows, { tokens }, { clock }] = [this.#init, this.#shadows, this.#text, this.#needs]
    try {
      return await runAttempt({ clock, session, route, fresh, shadows, tokens, give, silent }, answers)
    } finally {
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
