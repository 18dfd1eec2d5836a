/** The network of a simulated peer: the face of the product's, its dialler, and a transport that is computed. */
import {
  ChannelClosedError,
  NetworkStoppedError,
  PeerUnreachableError,
  ProtocolUnsupportedError,
} from '../../../src/net/index.ts'
import type {
  Channel,
  ConnectedPeer,
  Network,
  NetworkEvents,
  NetworkInit,
  NetworkNeeds,
  ReachView,
  Refusal,
} from '../../../src/net/index.ts'
import { plainAddresses, withPeer } from '../../../src/net/addresses.ts'
import { Dialler } from '../../../src/net/dialler.ts'
import type { DialOutcome } from '../../../src/net/dialler.ts'
import { createEventHub } from '../../../src/net/network-events.ts'
import { orAbort } from '../../../src/util/index.ts'
import type { SimulatedProcess } from '../process.ts'
import { SimulatedChannel } from './channel.ts'
import type { Hub } from './hub.ts'
import type { Link } from './link.ts'

/** TCP, Noise and the hello. */
const GREETING_TRIPS = 3
const DIAL_WAIT_MS = 5_000
const NEGOTIATION_BYTES = 128

export interface Place {
  readonly hub: Hub
  readonly process: SimulatedProcess
  /** Without the id. */
  readonly address: string
  /** Peers of the same find each other by themselves; undefined: those that are named alone. */
  readonly lan: string | undefined
}

export class SimulatedNetwork implements Network {
  readonly id: string
  readonly process: SimulatedProcess
  readonly address: string
  readonly lan: string | undefined
  /** It died without a word: its power failed, and no system is there to reset its connections. */
  isSilent = false
  readonly #hub: Hub
  readonly #needs: NetworkNeeds
  readonly #init: NetworkInit
  readonly #events: ReturnType<typeof createEventHub>
  readonly #handlers = new Map<string, { readonly purpose: string; readonly handler: (channel: Channel) => void }>()
  readonly #links = new Map<string, Link[]>()
  readonly #watches = new Map<string, number>()
  readonly #dialler: Dialler
  #isStopped = false

  constructor(needs: NetworkNeeds, init: NetworkInit, { hub, process, address, lan }: Place) {
    this.id = needs.identity.id
    this.process = process
    this.address = address
    this.lan = lan
    this.#hub = hub
    this.#needs = needs
    this.#init = init
    this.#events = createEventHub(needs.logger)
    this.#dialler = new Dialler(
      {
        ...needs,
        connected: (peer) => this.#link(peer) !== undefined,
        dial: (addresses) => this.#dial(addresses),
        connecting: (peer) => this.#events.emit('connecting', peer),
      },
      this.id,
    )
  }

  start(): void {
    this.#hub.add(this)
    for (const address of this.#init.bootstrap) this.keep(address)
    for (const { id, addresses } of this.#init.knownPeers ?? []) this.#dialler.add('known', id, addresses)
    if (this.lan === undefined) return
    for (const other of this.#hub.nodes()) {
      if (other === this || other.lan !== this.lan) continue
      this.#heard(other)
      other.#heard(this)
    }
  }

  /** As multicast DNS: a moment later. */
  #heard(other: SimulatedNetwork): void {
    const wait = this.#hub.skies.chance.between(20, 300)
    this.process.after(wait, () => this.#dialler.add('announced', other.id, [other.address]))
  }

  addresses(): readonly string[] {
    return [`${this.address}/p2p/${this.id}`]
  }

  interfaces(): [] {
    return []
  }

  reach(): ReachView {
    return { reachability: 'public', circuits: [], relaying: { reservations: 0, circuits: 0 } }
  }

  connected(): readonly ConnectedPeer[] {
    return [...this.#links.values()].flatMap((links) => links.slice(-1)).map((link) => this.#describe(link))
  }

  refusals(): readonly Refusal[] {
    return []
  }

  handle(protocol: string, purpose: string, handler: (channel: Channel) => void): void {
    this.#handlers.set(protocol, { purpose, handler })
  }

  handleEarly(protocol: string, purpose: string, handler: (channel: Channel) => void): void {
    this.handle(protocol, purpose, handler)
  }

  review(): void {}

  async open(peer: string, protocol: string, signal?: AbortSignal): Promise<Channel> {
    signal?.throwIfAborted()
    const opened = this.#reached(peer).then((link) => this.#negotiate(link, protocol))
    opened.catch(() => undefined)
    return signal === undefined ? opened : orAbort(opened, signal)
  }

  openLane(peer: string, protocol: string, signal?: AbortSignal): Promise<Channel> {
    return this.open(peer, protocol, signal)
  }

  lookUp(addressesOf: (peer: string) => readonly string[]): void {
    this.#dialler.lookUp = (peer) => plainAddresses(addressesOf(peer))
  }

  keep(address: string): void {
    if (this.#isStopped) throw new NetworkStoppedError()
    const [plain, peer] = address.split('/p2p/')
    this.#dialler.add('named', peer, [plain!])
  }

  watch(peer: string): () => void {
    this.#watches.set(peer, (this.#watches.get(peer) ?? 0) + 1)
    for (const link of this.#links.get(peer) ?? []) link.look()
    let isDone = false
    return () => {
      if (isDone) return
      isDone = true
      const left = this.#watches.get(peer)! - 1
      if (left === 0) this.#watches.delete(peer)
      else this.#watches.set(peer, left)
    }
  }

  isWatching(peer: string): boolean {
    return this.#watches.has(peer)
  }

  async ping(peer: string, bytes: number, signal?: AbortSignal): Promise<number> {
    await this.#reached(peer)
    const trip = this.#trip(peer) + (2 * bytes) / this.#hub.skies.way(this.id, peer).rate
    await this.process.sleep(trip, signal)
    return trip
  }

  decide(peer: string, admit: boolean): void {
    if (!admit) this.#dialler.forget(peer)
  }

  on(events: NetworkEvents): () => void {
    return this.#events.on(events)
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#dialler.stop()
    this.#hub.remove(this)
    for (const link of this.#all()) link.end(new NetworkStoppedError(), 'stopped')
  }

  /** Its process is gone. @param silent its power failed: the others hear nothing */
  die(silent: boolean): void {
    this.isSilent = silent
    this.#isStopped = true
    this.#hub.remove(this)
    for (const link of this.#all()) link.end(new ChannelClosedError(link.peer), null)
  }

  joined(link: Link): void {
    const links = this.#links.get(link.peer) ?? []
    this.#links.set(link.peer, links)
    links.push(link)
    this.#dialler.add('known', link.peer, [link.other.node.address])
    this.#dialler.joined(link.peer)
    if (links.length > 1) return
    this.#needs.telemetry?.count('peers_joined')
    this.#events.emit('connected', this.#describe(link))
    this.#events.emit('reachable', link.peer, [link.other.node.address])
  }

  left(link: Link, why: 'frozen' | 'lost' | 'stopped'): void {
    const rest = (this.#links.get(link.peer) ?? []).filter((each) => each !== link)
    this.#links.set(link.peer, rest)
    if (rest.length > 0) return
    this.#links.delete(link.peer)
    if (why !== 'stopped') this.#needs.telemetry?.count('peers_lost')
    this.#events.emit('disconnected', link.peer, why)
    this.#dialler.lost(link.peer)
  }

  countBeat(isAnswered: boolean): void {
    if (!isAnswered) this.#needs.telemetry?.count('heartbeats_missed')
  }

  #all(): Link[] {
    return [...this.#links.values()].flat()
  }

  /** The newest. */
  #link(peer: string): Link | undefined {
    return this.#links.get(peer)?.at(-1)
  }

  /** It is dialled if there is no connection to it. */
  async #reached(peer: string): Promise<Link> {
    if (this.#link(peer) === undefined)
      await this.#dial(this.#dialler.addressesOf(peer).map((address) => withPeer(address, peer)))
    const link = this.#link(peer)
    if (link === undefined) throw new PeerUnreachableError(peer)
    return link
  }

  #trip(peer: string): number {
    const { skies } = this.#hub
    return skies.way(this.id, peer).latency + skies.way(peer, this.id).latency
  }

  #describe(link: Link): ConnectedPeer {
    const { jitter } = this.#hub.skies.way(this.id, link.peer)
    return {
      id: link.peer,
      addresses: [link.other.node.address],
      rtt: Math.max(this.#trip(link.peer) + jitter, link.silent),
      jitter: jitter / 2,
      loss: 0,
      relayed: false,
      version: this.#init.version,
      name: link.other.node.#init.name,
      direction: link.direction,
      protocol: 1,
    }
  }

  async #dial(addresses: readonly string[]): Promise<DialOutcome> {
    for (const address of addresses) {
      const [plain, wanted] = address.split('/p2p/')
      const target = this.#hub.at(plain!)
      const there = target?.id ?? ''
      const isOpen = (): boolean =>
        !this.#hub.skies.isCut(this.id, there) &&
        !this.#hub.skies.isCut(there, this.id) &&
        target?.process.isFrozen === false
      if (target === undefined || target === this) {
        await this.process.sleep(2)
        continue
      }
      await this.process.sleep(isOpen() ? GREETING_TRIPS * this.#trip(there) : DIAL_WAIT_MS)
      if (this.#isStopped) break
      const isThere = this.#hub.at(plain!) === target && isOpen() && (wanted === undefined || wanted === there)
      if (!isThere) continue
      if (this.#link(there) === undefined) this.#hub.join(this, target)
      return { joined: true, peer: there }
    }
    return { joined: false, peer: null }
  }

  #negotiate(link: Link, protocol: string): Promise<Channel> {
    const { promise, resolve, reject } = Promise.withResolvers<Channel>()
    const near = new SimulatedChannel(link, protocol)
    void near.closed.then((error) => reject(error ?? new ChannelClosedError(link.peer)))
    void link.out.send(NEGOTIATION_BYTES, () => {
      const refuse = (error: Error): void =>
        void link.other.out.send(NEGOTIATION_BYTES, () => {
          reject(error)
          near.ended(error)
        })
      const served = link.other.node.#handlers.get(protocol)
      if (served === undefined) return refuse(new ProtocolUnsupportedError(link.peer, protocol))
      const far = new SimulatedChannel(link.other, protocol)
      far.other = near
      near.other = far
      void link.other.out.send(NEGOTIATION_BYTES, () => resolve(near))
      served.handler(far)
    })
    return promise
  }
}
