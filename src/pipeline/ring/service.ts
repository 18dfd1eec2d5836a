/**
 * A peer's part of the ring: it opens segments in its stage hosts for origins that ask, passes rows on, keeps what it
 * passed on, and tells the origin when something here is lost. Sessions belong to the peer that opened them: another
 * peer's frames do not reach them, whatever number they carry.
 */
import type { Frame, Network } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import { HOST } from '../host/protocol.ts'
import type { StageHost } from '../host/stage-host.ts'
import { OutOfStepError } from '../host/errors.ts'
import { admitOpen, admitReroute, refusedHops } from './admission.ts'
import { RowsNotFiniteError } from './errors.ts'
import type { Sessions } from './admission.ts'
import type { Hop } from './hop.ts'
import { HopTable } from './hop-table.ts'
import { createLinks, NO_PAYLOAD } from './links.ts'
import type { Link, Links } from './links.ts'
import { newHop, openFrame, prepareHost } from './new-hop.ts'
import type { NewHopNeeds, ReadyHost } from './new-hop.ts'
import { passOn, resume } from './onward.ts'
import type { OnwardNeeds } from './onward.ts'
import { Openings } from './openings.ts'
import type { Opening } from './openings.ts'
import { HopPrefixes } from './prefixes.ts'
import { areFinite } from './row-check.ts'
import { takeRows } from './take-rows.ts'
import { Origins } from './origins.ts'
import type { OriginListener } from './origins.ts'
import { decodeClose, decodeOpen, decodeReroute, RING } from './protocol.ts'
import type { RouteOpen } from './protocol.ts'
import { answerQuestion } from './questions.ts'
import { countRows } from './row-counters.ts'
import { admitOrigin, refusedOver } from './site-gate.ts'
import type { SiteGate } from './site-gate.ts'
import { refuse, ToOrigin } from './to-origin.ts'
import { TraceAnswers } from './trace-answers.ts'
import { signedToken } from './witness.ts'

/** Sessions end this long after their own deadline, in case the origin's close was lost. */
const DEADLINE_MARGIN_MS = 5_000
/** An origin whose connection ended may come back by another way: it has roamed, or fell back to a relay. */
const ORPHAN_MS = 5_000
const ENDED = 'its connection ended'

export interface RingNeeds extends NewHopNeeds, SiteGate {
  readonly network: Network | null
  readonly clock: Clock
}

export class RingService {
  readonly #needs: RingNeeds
  readonly #links: Links
  readonly #hops = new HopTable()
  readonly #prefixes = new HopPrefixes()
  readonly #onward: OnwardNeeds = {
    send: (peer, message) => this.send(peer, message),
    sayAgain: (hop) => hop.answered !== undefined && this.#tell.answer(hop, hop.answered),
    failed: (hop, error) => this.#fail(hop, error),
    broken: (hop, peer, error) =>
      this.#tell.broken(hop, peer, error instanceof Error ? error.message : String(error), false),
  }
  readonly traces: TraceAnswers
  readonly #tell = new ToOrigin((hop) => this.#orphan(hop))
  readonly #origins: Origins
  readonly #hosts = new WeakSet<StageHost>()
  readonly #openings = new Openings()
  readonly #sessions: Sessions
  #nextLocal = 1
  #leaving = false

  constructor(needs: RingNeeds) {
    this.#needs = needs
    this.#sessions = { ...needs, hops: this.#hops, openings: this.#openings }
    this.traces = new TraceAnswers(needs.clock, needs.self)
    this.#origins = new Origins((name) => needs.count(name))
    this.#links = createLinks({
      self: needs.self,
      network: needs.network,
      clock: needs.clock,
      receive: (from, message) => this.#receive(from, message),
      fault: (message, error) => this.#fault(message, error),
      ended: (link, own) => this.#linkEnded(link, own),
    })
  }

  /** Sessions of other peers that have a segment here. */
  get guests(): number {
    return this.#hops.size - this.#hops.ofOrigin(this.#needs.self).length
  }

  /** This peer is the origin of `request` from now on. Returns how to end that. */
  listen(request: number, digest: string, listener: OriginListener): () => void {
    return this.#origins.listen(request, digest, listener)
  }

  async send(peer: string, message: Frame): Promise<void> {
    // Whatever chose the route, this is where it begins to leave.
    if (message.type === RING.open && peer !== this.#needs.self) this.#needs.permit?.(peer, decodeOpen(message).digest)
    return this.#links.send(peer, message)
  }

  /** Nothing more comes from this peer: its sessions here are freed unless it comes back, our own look for another route. */
  peerLost(peer: string, why = ENDED): void {
    for (const hop of this.#hops) {
      if (hop.origin.peer === peer) this.#orphan(hop)
      else if (hop.before === peer || hop.next === peer) this.#tell.broken(hop, peer, why, true)
    }
    this.#origins.lost(peer, why, true)
  }

  /** The site allows something else now: sessions that it does not any more end here, and our own go on elsewhere. */
  review(): void {
    for (const [hop, error] of refusedHops(this.#needs, this.#hops)) this.#fail(hop, error)
    this.#origins.review((peer, digest) => refusedOver(this.#needs, peer, digest))
  }

  /** What came or went by this channel is lost; other channels to the same peer may live. */
  #linkEnded(link: Link, own: boolean): void {
    const { peer } = link
    for (const hop of this.#hops) {
      if (hop.origin === link) this.#orphan(hop)
      else if (hop.previous === link || (own && hop.next === peer)) this.#tell.broken(hop, peer, ENDED, false)
    }
    if (own) this.#origins.lost(peer, ENDED, false)
  }

  /** No session is opened any more; those of others are asked to go on elsewhere. */
  leave(): void {
    this.#leaving = true
    for (const hop of this.#hops) if (hop.origin.peer !== this.#needs.self) this.#tell.leaving(hop)
  }

  async stop(): Promise<void> {
    for (const hop of this.#hops) this.#free(hop)
    await this.#links.stop()
  }

  #receive(from: Link, message: Frame): void | Promise<void> {
    if (message.type === RING.rows) return this.#rows(from, message)
    if (message.type === RING.open) void this.#open(from, message)
    else if (message.type === RING.close) this.#close(from, message)
    else if (message.type === RING.reroute) this.#reroute(from, message)
    else if (message.type === RING.resume) void this.#resume(from, message)
    else if (message.type === RING.feed || message.type === RING.account) void this.#question(from, message)
    else if (message.type !== RING.traced || !this.traces.receive(from.peer, message))
      this.#origins.receive(from.peer, message)
  }

  async #open(from: Link, message: Frame): Promise<void> {
    const { peer: origin } = from
    const { request, attempt } = message
    let opening: Opening | undefined
    try {
      const open = decodeOpen(message)
      admitOrigin(this.#needs, origin, open.digest, this.#leaving)
      const own = this.#admit(origin, message, open)
      opening = this.#openings.begin({ origin, request, from: own.from, attempt })
      const ready = await prepareHost(this.#needs.stages, open, own, origin)
      if (!this.#openings.has(opening)) return
      this.#admit(origin, message, open, opening)
      this.#openings.end(opening)
      await this.#begin(from, message, open, ready)
    } catch (error) {
      refuse(from, message, error)
    } finally {
      if (opening !== undefined) this.#openings.end(opening)
    }
  }

  /** @throws SessionRefusedError */
  #admit(origin: string, message: Frame, open: RouteOpen, opening?: Opening): RouteOpen['route'][number] {
    const { own, replaces } = admitOpen(this.#sessions, origin, message, open, opening)
    if (replaces !== undefined) this.#free(replaces)
    return own
  }

  /** The origin hears of it when the host has let it in: its memory may be full, or it may be wedged. */
  async #begin(from: Link, message: Frame, open: RouteOpen, { host, adapter }: ReadyHost): Promise<void> {
    this.#attach(host)
    const { clock } = this.#needs
    const local = this.#nextLocal++
    const hop = newHop(this.#needs, from, message, open, host, local)
    hop.expire = clock.after(open.deadline + DEADLINE_MARGIN_MS, () => this.#free(hop))
    this.#hops.add(hop)
    this.#neighbours(hop)
    this.#needs.count('sessions_opened')
    await host.send(openFrame(hop, open, this.#prefixes.wanted(hop), adapter))
  }

  #neighbours(hop: Hop): void {
    hop.watchNeighbours(this.#needs.self, this.#needs.network)
    if (hop.next !== undefined) this.#links.prepare(hop.next)
  }

  #attach(host: StageHost): void {
    if (this.#hosts.has(host)) return
    this.#hosts.add(host)
    host.onFrame((message) => this.#fromHost(message))
    void host.ended.then((error) => {
      for (const hop of this.#hops) if (hop.host === host) this.#fail(hop, error)
    })
  }

  /** Another attempt for a session that stays here. */
  #reroute(from: Link, message: Frame): void {
    try {
      const reroute = decodeReroute(message)
      const hop = admitReroute(this.#sessions, from.peer, message, reroute)
      const before = [hop.route, hop.place] as const
      const former = this.#hops.find(from.peer, message.request, reroute.from)
      if (former !== undefined && former !== hop) this.#free(former)
      if (reroute.of !== undefined) this.#hops.rename(hop, message.request)
      hop.reroute(from, message.attempt, message.hop, reroute.route)
      const apart = this.#prefixes.apart(hop, ...before)
      if (apart !== undefined) hop.host.send(apart).catch(() => undefined)
      this.#neighbours(hop)
      this.#tell.rerouted(hop)
    } catch (error) {
      refuse(from, message, error)
    }
  }

  async #resume(from: Link, message: Frame): Promise<void> {
    const hop = this.#hops.ofFrame(from.peer, message)
    if (hop?.paused === true) await resume(this.#onward, hop, message)
  }

  async #question(from: Link, message: Frame): Promise<void> {
    const hop = this.#hops.ofFrame(from.peer, message)
    const needs = { sessions: this.#sessions, onward: this.#onward, gate: this.#needs }
    if (hop !== undefined) await answerQuestion(needs, hop, from, message)
  }

  /** Resolves when the host has room for more: its sender is read no faster than that. */
  #rows(from: Link, message: Frame): Promise<void> | undefined {
    const hop = this.#hops.ofRows(from.peer, message)
    if (hop === undefined || hop === 'fenced') {
      this.#needs.count(hop === undefined ? 'frames_refused' : 'frames_fenced')
      return undefined
    }
    const run = takeRows(hop, from, message)
    if (run === 'repeated') this.#needs.count('frames_repeated')
    else if (typeof run === 'string') this.#tell.broken(hop, from.peer, run, false)
    else if (run !== undefined) {
      hop.spans.came(run, this.#needs.clock.now())
      return hop.host.send(run).catch((error: unknown) => this.#fail(hop, error))
    }
    return undefined
  }

  #fromHost(message: Frame): void {
    const hop = this.#hops.byLocal(message.request)
    if (hop === undefined) return
    if (message.type === HOST.opened) {
      if (hop.prefix === undefined) return this.#tell.opened(hop)
      this.#prefixes.opened(hop, message.position)
      return this.#tell.opened(hop, hop.taken)
    }
    if (message.type !== HOST.error) hop.spans.went(message, this.#needs.clock.now())
    countRows(message, (name, by) => this.#needs.count(name, by))
    if (message.type === HOST.rows) this.#passOn(hop, message)
    else if (message.type === HOST.token) this.#tell.answer(hop, { ...signedToken(hop, message), type: RING.token })
    else if (message.type === HOST.taken) this.#tell.answer(hop, { ...message, type: RING.taken })
    else if (message.type === HOST.error) {
      this.#tell.ended(hop, message)
      this.#free(hop)
    }
  }

  #passOn(hop: Hop, message: Frame): void {
    const { next } = hop
    if (next === undefined) {
      this.#fail(hop, new OutOfStepError('rows leave the last stage of a route', { hop: hop.place }))
      return
    }
    if (!areFinite(message)) return this.#fail(hop, new RowsNotFiniteError(hop.from, hop.to, message.position))
    passOn(this.#onward, hop, next, message)
    this.#prefixes.keep(hop)
    if (hop.shadow) this.#tell.answer(hop, { ...message, type: RING.taken, ...NO_PAYLOAD })
  }

  #orphan(hop: Hop): void {
    if (hop.origin.peer === this.#needs.self) return
    hop.orphaned ??= this.#needs.clock.after(ORPHAN_MS, () => this.#free(hop))
  }

  #close(from: Link, message: Frame): void {
    const { from: block, prefix: names, trace } = decodeClose(message)
    this.#openings.close(from.peer, message.request, block)
    for (const hop of this.#hops) {
      if (hop.origin.peer !== from.peer || hop.request !== message.request) continue
      if (block !== undefined && hop.from !== block) continue
      if (trace === true) this.#tell.traced(hop, this.#needs.clock.now())
      this.#free(hop, names)
    }
  }

  /** @param names of what follows the prompt, which is kept for others */
  #free(hop: Hop, names?: Uint8Array): void {
    if (!this.#hops.delete(hop)) return
    const close = this.#prefixes.ended(hop, names)
    hop.close()
    this.#needs.count('sessions_freed')
    hop.host.send(close).catch(() => undefined)
  }

  #fail(hop: Hop, error: unknown): void {
    this.#free(hop)
    this.#tell.failed(hop, error)
  }

  /** This peer has sent itself what it cannot read: the session that it is of fails, and nothing else. */
  #fault(message: Frame, error: unknown): void {
    const hop = message.type === RING.rows ? this.#hops.ofRows(this.#needs.self, message) : undefined
    if (typeof hop === 'object') this.#fail(hop, error)
    else this.#origins.failed(message, error)
  }
}
