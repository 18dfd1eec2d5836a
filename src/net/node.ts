/** The network of a peer: finds, dials, greets, keeps and watches the other peers, and opens channels between them. */
import type { Connection } from '@libp2p/interface'
import { aboutOf, createAcquaint } from './about.ts'
import { isCircuit, parseAddress, plainAddresses, withPeer } from './addresses.ts'
import { createAdmission } from './admission.ts'
import type { Admission } from './admission.ts'
import { PATH_TIMES, SPOKEN } from './constants.ts'
import { createReacher } from './dial.ts'
import type { Reacher } from './dial.ts'
import { Dialler } from './dialler.ts'
import type { Discovery } from './discovery.ts'
import { BadAddressError, NetworkStoppedError } from './errors.ts'
import { createGuard } from './guard.ts'
import type { Guard, GuardParts } from './guard.ts'
import { PING_PROTOCOL, servePings } from './heartbeat.ts'
import { startNode } from './libp2p-node.ts'
import type { RunningNode } from './libp2p-node.ts'
import { Links } from './links.ts'
import { describeLink, dialAddresses, remoteAddress } from './link-view.ts'
import type { Link } from './links.ts'
import type { NegotiationNeeds } from './negotiation.ts'
import { createEventHub } from './network-events.ts'
import type { EventHub } from './network-events.ts'
import { checkAddresses } from './network-init.ts'
import type { NetworkInit, NetworkNeeds } from './network-init.ts'
import { createNearby } from './nearby.ts'
import { createReach } from './reach.ts'
import type { Reach } from './reach.ts'
import { createRefuser } from './refuser.ts'
import type { Refuser } from './refuser.ts'
import { networkSecrets } from './secrets.ts'
import { createServing, serveGreetings } from './serving.ts'
import { trackTimers } from './timers.ts'
import type { Channel, ConnectedPeer, InterfaceChoice, Network, NetworkEvents, ReachView, Refusal } from './types.ts'
import { Vitals } from './vitals.ts'

/** @throws PortInUseError, ListenError, BadAddressError */
export async function createNetwork(needs: NetworkNeeds, init: NetworkInit): Promise<Network> {
  checkAddresses(init)
  const network = new WeftNetwork(needs, init)
  await network.start()
  return network
}

class WeftNetwork implements Network {
  readonly id: string
  readonly #own: { readonly self: string; stopping(): boolean }
  readonly #needs: NetworkNeeds & NegotiationNeeds
  readonly #init: NetworkInit
  readonly #secrets: ReturnType<typeof networkSecrets>
  readonly #instance: Uint8Array
  readonly #hub: EventHub
  readonly #refuser: Refuser
  readonly #admission: Admission
  readonly #vitals: Vitals
  readonly #guard: Guard
  readonly #links: Links
  readonly #dialler: Dialler
  readonly #reacher: Reacher
  readonly #serving: ReturnType<typeof createServing>
  readonly #reach: Reach
  readonly #clock: ReturnType<typeof trackTimers>
  #node!: RunningNode
  #discovery: Discovery | undefined
  #stopping: Promise<void> | undefined

  constructor(needs: NetworkNeeds, init: NetworkInit) {
    this.id = needs.identity.id
    this.#own = { self: this.id, stopping: () => this.#stopping !== undefined }
    this.#clock = trackTimers(needs.clock)
    this.#needs = { ...needs, membership: init.membership, defence: init.defence, clock: this.#clock }
    this.#init = init
    this.#secrets = networkSecrets(init.networkName, init.networkKey, init.cluster)
    this.#instance = needs.random.bytes(16)
    this.#hub = createEventHub(needs.logger)
    this.#refuser = createRefuser({ ...this.#needs, ...this.#own, tell: (...told) => this.#hub.emit(...told) })
    this.#admission = createAdmission({ ...init, isCluster: init.cluster !== undefined, approved: init.approved ?? [] })
    this.#vitals = new Vitals({ ...this.#needs, lane: (link) => this.#serving.tryLane(link, PING_PROTOCOL) })
    const parts = (): GuardParts => ({ links: this.#links, serving: this.#serving, dialler: this.#dialler })
    this.#guard = createGuard({ ...this.#needs, ...init, self: this.id, refuser: this.#refuser, parts })
    this.#links = this.#createLinks()
    this.#reacher = createReacher({
      ...this.#needs,
      libp2p: () => this.#node.libp2p,
      circuits: () => this.#reach.circuits,
      listening: () => this.#discovery?.addresses() ?? [],
      headStart: { ...PATH_TIMES, ...init.pathTimes }.headStart,
      links: this.#links,
      refuse: (peer, address, error) => this.#refuser.refuse(peer, address, error),
      self: this.id,
    })
    this.#serving = createServing({
      ...this.#needs,
      links: this.#links,
      libp2p: () => this.#node.libp2p,
      listening: () => this.#node.listening,
    })
    this.#dialler = new Dialler(
      {
        ...this.#needs,
        connected: (peer) => this.#links.primary(peer) !== undefined,
        dial: (addresses, peer, retry) => this.#reacher.dial(addresses, peer, retry),
        connecting: (peer) => this.#hub.emit('connecting', peer),
        keepsAway: (peer) => init.membership.isRemoved(peer),
      },
      this.id,
    )
    this.#reach = this.#createReach()
  }

  async start(): Promise<void> {
    this.#node = await startNode(
      {
        privateKey: this.#needs.identity.privateKey,
        secrets: this.#secrets,
        instance: this.#instance,
        defence: this.#init.defence,
        arrivals: this.#guard.arrivals,
        note: (note) => {
          this.#reacher.noted(note)
          this.#refuser.handshake(note)
        },
        keepsOut: (peer, connection) => this.#guard.keepsOut(peer, connection),
        prepare: (libp2p) => serveGreetings({ ...this.#needs, libp2p }, this.#links, (one) => this.#onConnection(one)),
      },
      this.#init.listen,
    )
    this.#discovery = this.#createDiscovery()
    this.#serving.start()
    this.handle(PING_PROTOCOL, 'connect', servePings)
    this.#reach.start()
    this.#discovery.start()
    for (const address of this.#init.bootstrap) this.keep(address)
    for (const { id, addresses: at } of this.#init.knownPeers ?? []) this.#dialler.add('known', id, plainAddresses(at))
    this.#needs.logger.info({ peer: this.id, addresses: this.addresses() }, 'listening')
  }

  addresses(): readonly string[] {
    return (this.#discovery?.addresses() ?? []).map((address) => withPeer(address, this.id))
  }

  interfaces(): readonly InterfaceChoice[] {
    return this.#discovery?.interfaces() ?? []
  }

  reach(): ReachView {
    return this.#reach.view()
  }

  connected(): readonly ConnectedPeer[] {
    return this.#links.joined().map((link) => describeLink(link, this.interfaces(), this.#vitals.quality(link)))
  }

  refusals(): readonly Refusal[] {
    return this.#refuser.book.list()
  }

  handle(protocol: string, purpose: string, handler: (channel: Channel) => void): void {
    this.#serving.handle(protocol, purpose, handler)
  }

  handleEarly(...served: Parameters<Network['handleEarly']>): void {
    this.#serving.handleEarly(...served)
  }

  review(): void {
    this.#guard.review()
    this.#reach.review()
  }

  async open(peer: string, protocol: string, signal?: AbortSignal): Promise<Channel> {
    return this.#serving.open(await this.#reach.link(peer, signal), protocol, signal)
  }

  async openLane(peer: string, protocol: string, signal?: AbortSignal): Promise<Channel> {
    return this.#serving.openLane(await this.#reach.link(peer, signal), protocol, signal)
  }

  keep(address: string): void {
    if (this.#stopping !== undefined) throw new NetworkStoppedError()
    const parsed = parseAddress(address)
    if (parsed === undefined || (isCircuit(address) && parsed.peer === null)) throw new BadAddressError(address)
    if (parsed.peer === null) this.#reacher.chosen(parsed.plain)
    else this.#admission.approve(parsed.peer)
    this.#dialler.add('named', parsed.peer ?? undefined, [parsed.plain])
  }

  lookUp(addressesOf: (peer: string) => readonly string[]): void {
    this.#dialler.lookUp = (peer) => plainAddresses(addressesOf(peer))
  }

  watch(peer: string): () => void {
    return this.#vitals.watch(peer)
  }

  async ping(peer: string, bytes: number, signal?: AbortSignal): Promise<number> {
    return this.#vitals.ping(await this.#reach.link(peer, signal), bytes, signal)
  }

  decide(peer: string, admit: boolean): void {
    this.#admission.decide(peer, admit)
    this.#guard.decided(peer, admit)
  }

  on(events: NetworkEvents): () => void {
    return this.#hub.on(events)
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop())
  }

  async #stop(): Promise<void> {
    this.#dialler.stop()
    this.#reach.stop()
    await this.#discovery?.stop()
    this.#vitals.stop()
    this.#links.stop()
    await this.#serving.stop()
    await this.#node.libp2p.stop()
    this.#clock.cancelAll()
  }

  #onConnection(connection: Connection): void {
    if (this.#stopping !== undefined) return connection.abort(new NetworkStoppedError())
    if (this.#reach.isTrial(connection)) return
    if (this.#reacher.isChosen(connection)) this.#admission.approve(connection.remotePeer.toString())
    this.#links.opened(connection)
  }

  #onJoined(link: Link): void {
    const first = this.#links.of(link.peer).filter((one) => one.state === 'joined').length === 1
    const addresses = this.#reach.isPunched(link) ? [] : dialAddresses(link, this.interfaces())
    this.#vitals.begin(link)
    this.#refuser.book.forget(link.peer, addresses)
    this.#dialler.add('known', link.peer, addresses)
    this.#dialler.joined(link.peer)
    this.#reach.joined(link)
    this.#guard.joined(link)
    if (!first) return
    this.#needs.telemetry?.count('peers_joined')
    this.#needs.logger.info({ peer: link.peer, name: link.outcome?.about.name }, 'peer joined')
    this.#hub.emit('connected', describeLink(link, this.interfaces(), this.#vitals.quality(link)))
    if (addresses.length > 0) this.#hub.emit('reachable', link.peer, addresses)
  }

  #onLeft(link: Link): void {
    this.#guard.saw(link)
    const frozen = this.#vitals.end(link)
    this.#serving.left(link)
    this.#reach.left(link)
    if (this.#links.primary(link.peer) !== undefined) return
    const why = this.#stopping !== undefined ? 'stopped' : frozen ? 'frozen' : 'lost'
    if (why !== 'stopped') this.#needs.telemetry?.count('peers_lost')
    this.#needs.logger.info({ peer: link.peer, why }, 'peer left')
    this.#hub.emit('disconnected', link.peer, why)
    this.#dialler.lost(link.peer)
  }

  #createReach(): Reach {
    return createReach(
      {
        ...this.#needs,
        admission: this.#admission,
        links: this.#links,
        serving: this.#serving,
        vitals: this.#vitals,
        refuser: this.#refuser,
        ...this.#own,
        libp2p: () => this.#node.libp2p,
        upgrader: () => this.#node.upgrader,
        from: () => this.#node.from,
        reacher: () => this.#reacher,
        dialler: () => this.#dialler,
        interfaces: () => this.interfaces(),
        changed: () => this.#hub.emit('addresses', this.addresses()),
      },
      this.#init,
    )
  }

  #createLinks(): Links {
    return new Links(
      {
        ...this.#needs,
        admission: this.#admission,
        acquaint: createAcquaint(this.#init, (link, protocol) => this.#serving.open(link, protocol, undefined)),
        answers: (link) => this.#vitals.answers(link),
        joined: (link) => this.#onJoined(link),
        left: (link) => this.#onLeft(link),
        pending: (peer, name) => this.#hub.emit('pending', peer, name),
        refused: (link, error) => this.#refuser.refuse(link.peer, remoteAddress(link), error),
      },
      {
        self: this.id,
        versions: this.#init.protocolVersions ?? SPOKEN,
        proofKey: this.#secrets.proof,
        veiled: this.#init.cluster !== undefined,
        about: (peer) => {
          const addresses = [...(this.#discovery?.addresses() ?? []), ...this.#reach.view().circuits]
          return aboutOf(this.#init, { instance: this.#instance, clock: this.#needs.clock }, peer, addresses)
        },
      },
    )
  }

  #createDiscovery(): Discovery {
    const run = { self: this.id, instance: this.#instance, secrets: this.#secrets, listening: this.#node.listening }
    return createNearby(this.#needs, this.#init, run, {
      admission: this.#admission,
      dialler: this.#dialler,
      reacher: this.#reacher,
      refuser: this.#refuser,
      changed: () => {
        this.#hub.emit('addresses', this.addresses())
        this.#reach.moved()
      },
    })
  }
}
