/**
 * A peer's part of the ring: it opens segments in its stage hosts for origins that ask, passes rows on, and tells the
 * origin when something here is lost. Sessions belong to the peer that opened them: another peer's frames do not reach
 * them, whatever number they carry.
 */
import { errorData } from '../../errors.ts'
import { RemoteError } from './remote-error.ts'
import { DTYPE, encodeControl, frame } from '../../net/index.ts'
import type { Frame, Network } from '../../net/index.ts'
import type { CancelTimer, Clock } from '../../util/index.ts'
import { HOST, RUN } from '../host/protocol.ts'
import type { OpenControl } from '../host/protocol.ts'
import type { StageHost } from '../host/stage-host.ts'
import { OutOfStepError } from '../host/errors.ts'
import { PeerLostError, SessionRefusedError } from './errors.ts'
import { RowDigest } from './digest.ts'
import { createLinks, forward } from './links.ts'
import type { Link, Links } from './links.ts'
import { decodeOpen, decodeOpened, decodeRingError, decodeToken, RING } from './protocol.ts'
import type { RouteOpen } from './protocol.ts'

/** Sessions that one other peer may have open here: keeps a guest from taking all the KV memory in small pieces. */
const MAX_SESSIONS_A_PEER = 64
/** Sessions end this long after their own deadline, in case the origin's close was lost. */
const DEADLINE_MARGIN_MS = 5_000
const ENDED = 'its connection ended'

export interface StageTable {
  /** The host that serves these blocks, loading them first where the placement says so. @throws StageMissingError */
  host(digest: string, from: number, to: number): Promise<StageHost>
}

export interface RingNeeds {
  readonly self: string
  readonly network: Network | null
  readonly clock: Clock
  readonly stages: StageTable
  count(name: string, by?: number): void
}

/** What an origin hears of its session. */
export interface OriginListener {
  opened(hop: number, pid: number): void
  token(message: Frame, control: ReturnType<typeof decodeToken>): void
  taken(message: Frame): void
  failed(error: Error): void
}

interface Hop {
  readonly origin: Link
  /** By which its rows come. */
  previous: Link | undefined
  readonly request: number
  readonly hop: number
  readonly open: RouteOpen
  readonly host: StageHost
  /** Number of the session in the host: origins choose theirs freely, so they may collide. */
  readonly local: number
  readonly received: RowDigest
  readonly sent: RowDigest
  readonly expire: CancelTimer
}

export class RingService {
  readonly #needs: RingNeeds
  readonly #links: Links
  readonly #hops = new Map<string, Hop>()
  readonly #byLocal = new Map<number, Hop>()
  readonly #origins = new Map<number, { readonly peers: ReadonlySet<string>; readonly listener: OriginListener }>()
  readonly #hosts = new WeakSet<StageHost>()
  /** Sessions that are being opened; false once the origin has closed them again. */
  readonly #opening = new Map<string, boolean>()
  #nextLocal = 1

  constructor(needs: RingNeeds) {
    this.#needs = needs
    this.#links = createLinks({
      self: needs.self,
      network: needs.network,
      clock: needs.clock,
      receive: (from, message) => this.#receive(from, message),
      ended: (link, own) => this.#linkEnded(link, own),
    })
  }

  /** Sessions of other peers and of this one that have a segment here. */
  get sessions(): number {
    return this.#hops.size
  }

  /** This peer is the origin of `request` from now on. Returns how to end that. */
  listen(request: number, peers: readonly string[], listener: OriginListener): () => void {
    this.#origins.set(request, { peers: new Set(peers), listener })
    return () => this.#origins.delete(request)
  }

  send(peer: string, message: Frame): Promise<void> {
    return this.#links.send(peer, message)
  }

  /** Nothing more comes from this peer: its sessions here are freed, our own over it fail. */
  peerLost(peer: string, why = ENDED): void {
    for (const hop of this.#hops.values()) {
      // It may be back by another way and wait for an answer: it is told, which costs nothing if it is not.
      if (hop.origin.peer === peer) this.#fail(hop, new PeerLostError(peer, why))
      else if (neighbours(hop).includes(peer)) this.#fail(hop, new PeerLostError(peer, why))
    }
    for (const [, origin] of this.#origins)
      if (origin.peers.has(peer)) origin.listener.failed(new PeerLostError(peer, why))
  }

  /** What came or went by this channel is lost; other channels to the same peer may live. */
  #linkEnded(link: Link, own: boolean): void {
    const { peer } = link
    for (const hop of this.#hops.values()) {
      const next = hop.open.route[hop.hop + 1]?.peer
      if (hop.origin === link) this.#free(hop)
      else if (hop.previous === link || (own && next === peer)) this.#fail(hop, new PeerLostError(peer, ENDED))
    }
    if (!own) return
    for (const [, origin] of this.#origins) {
      if (origin.peers.has(peer)) origin.listener.failed(new PeerLostError(peer, ENDED))
    }
  }

  async stop(): Promise<void> {
    for (const hop of this.#hops.values()) this.#free(hop)
    await this.#links.stop()
  }

  #receive(from: Link, message: Frame): void {
    if (message.type === RING.open) void this.#open(from, message)
    else if (message.type === RING.rows) this.#rows(from, message)
    else if (message.type === RING.close) this.#close(from, message)
    else this.#toOrigin(from, message)
  }

  async #open(from: Link, message: Frame): Promise<void> {
    const key = hopKey(from.peer, message)
    try {
      const open = decodeOpen(message)
      const own = open.route[message.hop]
      if (own === undefined || own.peer !== this.#needs.self || this.#hops.has(key)) {
        throw new SessionRefusedError('the route does not name this peer at this place', {
          from: from.peer,
          hop: message.hop,
        })
      }
      if (this.#sessionsOf(from.peer) >= MAX_SESSIONS_A_PEER && from.peer !== this.#needs.self) {
        throw new SessionRefusedError(`${MAX_SESSIONS_A_PEER} sessions of one peer are open already`, {
          from: from.peer,
        })
      }
      this.#opening.set(key, true)
      const host = await this.#needs.stages.host(open.digest, own.from, own.to)
      if (this.#opening.get(key) !== true) return
      this.#attach(host)
      const hop: Hop = {
        origin: from,
        previous: undefined,
        request: message.request,
        hop: message.hop,
        open,
        host,
        local: this.#nextLocal++,
        received: new RowDigest(),
        sent: new RowDigest(),
        expire: this.#needs.clock.after(open.deadline + DEADLINE_MARGIN_MS, () => this.#free(hop)),
      }
      this.#hops.set(key, hop)
      this.#byLocal.set(hop.local, hop)
      this.#needs.count('sessions_opened')
      const control: OpenControl = { from: own.from, to: own.to, positions: open.positions, sampler: open.sampler }
      await host.send(frame({ type: HOST.open, request: hop.local, hop: hop.hop, control: encodeControl(control) }))
      await from.send(forward(message, { type: RING.opened, control: encodeControl({ pid: host.pid }) }))
    } catch (error) {
      this.#refuse(from, message, error)
    } finally {
      this.#opening.delete(key)
    }
  }

  #sessionsOf(origin: string): number {
    let count = 0
    for (const hop of this.#hops.values()) if (hop.origin.peer === origin) count++
    return count
  }

  #attach(host: StageHost): void {
    if (this.#hosts.has(host)) return
    this.#hosts.add(host)
    host.onFrame((message) => this.#fromHost(message))
    void host.ended.then((error) => {
      for (const hop of this.#hops.values()) if (hop.host === host) this.#fail(hop, error)
    })
  }

  #rows(from: Link, message: Frame): void {
    const hop = this.#findHop(from, message)
    if (hop === undefined) {
      this.#needs.count('frames_refused')
      return
    }
    hop.previous = from
    if (!hop.received.matches(message.payload, message.digest)) {
      this.#fail(
        hop,
        new OutOfStepError('rows do not match their running digest', { from: from.peer, position: message.position }),
      )
      return
    }
    hop.host
      .send(forward(message, { type: HOST.run, request: hop.local }))
      .catch((error: unknown) => this.#fail(hop, error))
  }

  /** The hop's session if `from` is the neighbour that its rows come from. */
  #findHop(from: Link, message: Frame): Hop | undefined {
    for (const hop of this.#hops.values()) {
      if (hop.request !== message.request || hop.hop !== message.hop) continue
      const before = hop.hop === 0 ? hop.origin.peer : hop.open.route[hop.hop - 1]!.peer
      if (before === from.peer) return hop
    }
    return undefined
  }

  #fromHost(message: Frame): void {
    const hop = this.#byLocal.get(message.request)
    if (hop === undefined) return
    this.#needs.count('rows', message.rows)
    if ((message.flags & RUN.batched) !== 0) this.#needs.count('batched_rows', message.rows)
    if ((message.flags & RUN.single) !== 0) this.#needs.count('single_rows', message.rows)
    if ((message.flags & RUN.spun) !== 0) this.#needs.count('spun_rows', message.rows)
    if (message.type === HOST.rows) this.#passOn(hop, message)
    else if (message.type === HOST.token) this.#answer(hop, message, RING.token)
    else if (message.type === HOST.taken) this.#answer(hop, message, RING.taken)
    else if (message.type === HOST.error) {
      this.#answer(hop, message, RING.error)
      this.#free(hop)
    }
  }

  #passOn(hop: Hop, message: Frame): void {
    const next = hop.open.route[hop.hop + 1]
    if (next === undefined) {
      this.#fail(hop, new OutOfStepError('rows leave the last stage of a route', { hop: hop.hop }))
      return
    }
    const digest = hop.sent.next(message.payload)
    const flags = message.flags & RUN.token
    const rows = forward(message, { type: RING.rows, request: hop.request, hop: hop.hop + 1, flags, digest })
    this.send(next.peer, rows).catch((error: unknown) => this.#fail(hop, error))
  }

  #answer(hop: Hop, message: Frame, type: number): void {
    hop.origin.send(forward(message, { type, request: hop.request, hop: hop.hop })).catch(() => this.#free(hop))
  }

  #close(from: Link, message: Frame): void {
    const key = hopKey(from.peer, message)
    if (this.#opening.has(key)) this.#opening.set(key, false)
    const hop = this.#hops.get(key)
    if (hop !== undefined) this.#free(hop)
  }

  #free(hop: Hop): void {
    const key = `${hop.origin.peer}/${hop.request}/${hop.hop}`
    if (this.#hops.get(key) !== hop) return
    this.#hops.delete(key)
    this.#byLocal.delete(hop.local)
    hop.expire()
    this.#needs.count('sessions_freed')
    hop.host.send(frame({ type: HOST.close, request: hop.local, hop: hop.hop })).catch(() => undefined)
  }

  #fail(hop: Hop, error: unknown): void {
    this.#free(hop)
    this.#refuse(hop.origin, frame({ type: RING.error, request: hop.request, hop: hop.hop }), error)
  }

  #refuse(origin: Link, message: Frame, error: unknown): void {
    const control = encodeControl(errorData(error))
    const answer = forward(message, {
      type: RING.error,
      dtype: DTYPE.none,
      dims: [],
      payload: new Uint8Array(0),
      control,
    })
    origin.send(answer).catch(() => undefined)
  }

  #toOrigin(from: Link, message: Frame): void {
    const origin = this.#origins.get(message.request)
    if (origin === undefined || !origin.peers.has(from.peer)) {
      this.#needs.count('frames_refused')
      return
    }
    const { listener } = origin
    if (message.type === RING.opened) listener.opened(message.hop, decodeOpened(message).pid)
    else if (message.type === RING.token) listener.token(message, decodeToken(message))
    else if (message.type === RING.taken) listener.taken(message)
    else if (message.type === RING.error) listener.failed(new RemoteError(from.peer, decodeRingError(message)))
  }
}

function hopKey(origin: string, message: Frame): string {
  return `${origin}/${message.request}/${message.hop}`
}

function neighbours(hop: Hop): string[] {
  const { route } = hop.open
  return [route[hop.hop - 1]?.peer, route[hop.hop + 1]?.peer].filter((peer) => peer !== undefined)
}
