/** The network of a peer: finds, dials, greets, keeps and watches the other peers, and opens channels between them. */
import type { Connection } from '@libp2p/interface'
import { parseAddress, plainAddresses, withPeer } from './addresses.ts'
import { createAdmission } from './admission.ts'
import type { Admission } from './admission.ts'
import { HELLO_WAIT_MS, MAX_ADDRESSES, SPOKEN } from './constants.ts'
import { createReacher } from './dial.ts'
import type { Reacher } from './dial.ts'
import { Dialler } from './dialler.ts'
import { NotAdmittedError, OtherNetworkError, OwnIdentityError, PeerUnreachableError } from './discovery-errors.ts'
import { Discovery } from './discovery.ts'
import { BadAddressError, NetworkStoppedError } from './errors.ts'
import { PING_PROTOCOL, servePings } from './heartbeat.ts'
import { HELLO_PROTOCOL } from './hello.ts'
import { startNode } from './libp2p-node.ts'
import type { RunningNode } from './libp2p-node.ts'
import { Links } from './links.ts'
import { describeLink, dialAddresses, remoteAddress } from './link-view.ts'
import type { Link } from './links.ts'
import { createEventHub } from './network-events.ts'
import type { EventHub } from './network-events.ts'
import { checkAddresses } from './network-init.ts'
import type { NetworkInit, NetworkNeeds } from './network-init.ts'
import type { HandshakeNote } from './noise.ts'
import { createRefusalBook } from './refusals.ts'
import type { RefusalBook } from './refusals.ts'
import { networkSecrets } from './secrets.ts'
import { createServing, register } from './serving.ts'
import type { Serving } from './serving.ts'
import type { NetworkSecrets } from './secrets.ts'
import { trackTimers } from './timers.ts'
import type { TrackedClock } from './timers.ts'
import type { Channel, ConnectedPeer, InterfaceChoice, Network, NetworkEvents, Refusal } from './types.ts'
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
  readonly #needs: NetworkNeeds
  readonly #init: NetworkInit
  readonly #secrets: NetworkSecrets
  readonly #instance: Uint8Array
  readonly #hub: EventHub
  readonly #refusals: RefusalBook
  readonly #admission: Admission
  readonly #vitals: Vitals
  readonly #links: Links
  readonly #dialler: Dialler
  readonly #reacher: Reacher
  readonly #serving: Serving
  readonly #clock: TrackedClock
  #node!: RunningNode
  #discovery: Discovery | undefined
  #stopping: Promise<void> | undefined

  constructor(needs: NetworkNeeds, init: NetworkInit) {
    this.id = needs.identity.id
    this.#clock = trackTimers(needs.clock)
    this.#needs = { ...needs, clock: this.#clock }
    this.#init = init
    this.#secrets = networkSecrets(init.networkName, init.networkKey)
    this.#instance = needs.random.bytes(16)
    this.#hub = createEventHub(needs.logger)
    this.#refusals = createRefusalBook({ ...this.#needs, tell: (refusal) => this.#tellRefusal(refusal) })
    this.#admission = createAdmission({ ...init, approved: init.approved ?? [] })
    this.#vitals = new Vitals(this.#needs)
    this.#links = this.#createLinks()
    this.#reacher = createReacher({
      ...this.#needs,
      libp2p: () => this.#node.libp2p,
      links: this.#links,
      refuse: (peer, address, error) => this.#refuse(peer, address, error),
      self: this.id,
    })
    this.#serving = createServing({
      ...this.#needs,
      membership: init.membership,
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
      },
      this.id,
    )
  }

  async start(): Promise<void> {
    const { identity } = this.#needs
    this.#node = await startNode(
      {
        privateKey: identity.privateKey,
        secrets: this.#secrets,
        instance: this.#instance,
        note: (note) => this.#onHandshakeNote(note),
        prepare: (libp2p) => {
          libp2p.addEventListener('connection:open', ({ detail }) => this.#onConnection(detail))
          libp2p.addEventListener('connection:close', ({ detail }) => this.#links.closed(detail))
          register({ libp2p, logger: this.#needs.logger }, HELLO_PROTOCOL, 1, (stream, connection) =>
            this.#links.hello(stream, connection),
          )
        },
      },
      this.#init.listen,
    )
    this.#discovery = this.#createDiscovery()
    this.#serving.start()
    this.handle(PING_PROTOCOL, 'connect', servePings)
    this.#discovery.start()
    for (const address of this.#init.bootstrap) this.keep(address)
    for (const { id, addresses } of this.#init.knownPeers ?? [])
      this.#dialler.add('known', id, plainAddresses(addresses))
    this.#needs.logger.info({ peer: this.id, addresses: this.addresses() }, 'listening')
  }

  addresses(): readonly string[] {
    return (this.#discovery?.addresses() ?? []).map((address) => withPeer(address, this.id))
  }

  interfaces(): readonly InterfaceChoice[] {
    return this.#discovery?.interfaces() ?? []
  }

  connected(): readonly ConnectedPeer[] {
    return this.#links.joined().map((link) => describeLink(link, this.interfaces(), this.#vitals.rtt(link)))
  }

  refusals(): readonly Refusal[] {
    return this.#refusals.list()
  }

  handle(protocol: string, purpose: string, handler: (channel: Channel) => void): void {
    this.#serving.handle(protocol, purpose, handler)
  }

  async open(peer: string, protocol: string, signal?: AbortSignal): Promise<Channel> {
    return this.#serving.open(await this.#reach(peer, signal), protocol, signal)
  }

  async openLane(peer: string, protocol: string, signal?: AbortSignal): Promise<Channel> {
    return this.#serving.openLane(await this.#reach(peer, signal), protocol, signal)
  }

  keep(address: string): void {
    if (this.#stopping !== undefined) throw new NetworkStoppedError()
    const parsed = parseAddress(address)
    if (parsed === undefined) throw new BadAddressError(address)
    if (parsed.peer === null) this.#reacher.chosen(parsed.plain)
    else this.#admission.approve(parsed.peer)
    this.#dialler.add('named', parsed.peer ?? undefined, [parsed.plain])
  }

  watch(peer: string): () => void {
    return this.#vitals.watch(peer)
  }

  async ping(peer: string, bytes: number, signal?: AbortSignal): Promise<number> {
    return this.#vitals.ping(await this.#reach(peer, signal), bytes, signal)
  }

  decide(peer: string, admit: boolean): void {
    this.#admission.decide(peer, admit)
    if (admit) this.#refusals.forget(peer, [])
    else this.#dialler.forget(peer)
    if (admit || this.#links.primary(peer) === undefined) return
    const error = new NotAdmittedError(peer, 'a person here said no')
    this.#refuse(peer, null, error)
    this.#links.drop(peer, error)
  }

  on(events: NetworkEvents): () => void {
    return this.#hub.on(events)
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    this.#dialler.stop()
    await this.#discovery?.stop()
    this.#vitals.stop()
    this.#links.stop()
    await this.#serving.stop()
    await this.#node.libp2p.stop()
    this.#clock.cancelAll()
  }

  async #reach(peer: string, signal: AbortSignal | undefined): Promise<Link> {
    signal?.throwIfAborted()
    if (this.#stopping !== undefined) throw new NetworkStoppedError()
    const link = this.#links.primary(peer)
    if (link !== undefined) return link
    const addresses = this.#dialler.addressesOf(peer).map((address) => withPeer(address, peer))
    if (peer === this.id) throw new PeerUnreachableError(peer, 'it is this peer itself')
    if (addresses.length === 0) throw new PeerUnreachableError(peer, 'no address of it is known')
    const signals = [AbortSignal.timeout(HELLO_WAIT_MS), ...(signal === undefined ? [] : [signal])]
    await this.#reacher.dial(addresses, peer, undefined, AbortSignal.any(signals))
    signal?.throwIfAborted()
    const reached = this.#links.primary(peer)
    if (reached !== undefined) return reached
    throw new PeerUnreachableError(peer, this.#refusals.list().find((one) => one.id === peer)?.why)
  }

  #onConnection(connection: Connection): void {
    if (this.#stopping !== undefined) return connection.abort(new NetworkStoppedError())
    const peer = connection.remotePeer.toString()
    if (connection.direction === 'outbound' && this.#reacher.isChosen(connection)) this.#admission.approve(peer)
    this.#links.opened(connection)
  }

  #onJoined(link: Link): void {
    const first = this.#links.of(link.peer).filter((one) => one.state === 'joined').length === 1
    const addresses = dialAddresses(link, this.interfaces())
    this.#vitals.begin(link)
    this.#refusals.forget(link.peer, addresses)
    this.#dialler.add('known', link.peer, addresses)
    this.#dialler.joined(link.peer)
    if (!first) return
    this.#needs.telemetry?.count('peers_joined')
    this.#needs.logger.info({ peer: link.peer, name: link.outcome?.about.name }, 'peer joined')
    this.#hub.emit('connected', describeLink(link, this.interfaces(), this.#vitals.rtt(link)))
    if (addresses.length > 0) this.#hub.emit('reachable', link.peer, addresses)
  }

  #onLeft(link: Link): void {
    const frozen = this.#vitals.end(link)
    this.#serving.left(link)
    if (this.#links.primary(link.peer) !== undefined) return
    const why = this.#stopping !== undefined ? 'stopped' : frozen ? 'frozen' : 'lost'
    if (why !== 'stopped') this.#needs.telemetry?.count('peers_lost')
    this.#needs.logger.info({ peer: link.peer, why }, 'peer left')
    this.#hub.emit('disconnected', link.peer, why)
    this.#dialler.lost(link.peer)
  }

  #onHandshakeNote(note: HandshakeNote): void {
    this.#reacher.noted(note)
    const parsed = note.address === null ? undefined : parseAddress(note.address)
    const address = parsed?.plain ?? note.address
    if (note.failure === 'other-network')
      this.#refuse(parsed?.peer ?? null, address, new OtherNetworkError(parsed?.peer ?? address ?? 'a peer'))
    else if (note.failure === 'own-identity') this.#refuse(this.id, address, new OwnIdentityError(this.id))
  }

  #refuse(peer: string | null, address: string | null, error: Error): void {
    if (this.#stopping === undefined) this.#refusals.add({ id: peer, address }, error)
  }

  #tellRefusal(refusal: Refusal): void {
    this.#needs.logger.warn({ ...refusal }, 'seen and not joined')
    this.#hub.emit('refused', refusal)
  }

  #createLinks(): Links {
    return new Links(
      {
        ...this.#needs,
        admission: this.#admission,
        answers: (link) => this.#vitals.answers(link),
        joined: (link) => this.#onJoined(link),
        left: (link) => this.#onLeft(link),
        pending: (peer, name) => this.#hub.emit('pending', peer, name),
        refused: (link, error) => this.#refuse(link.peer, remoteAddress(link), error),
      },
      {
        self: this.id,
        versions: this.#init.protocolVersions ?? SPOKEN,
        proofKey: this.#secrets.proof,
        about: () => ({
          software: this.#init.version,
          name: this.#init.name,
          network: this.#init.networkName,
          instance: Buffer.from(this.#instance).toString('hex'),
          epoch: this.#init.membership.epoch,
          addresses: (this.#discovery?.addresses() ?? []).slice(0, MAX_ADDRESSES),
        }),
      },
    )
  }

  #createDiscovery(): Discovery {
    return new Discovery(
      {
        ...this.#needs,
        found: (peer, addresses) => {
          if (!this.#admission.isDenied(peer)) this.#dialler.add('announced', peer, addresses)
        },
        stranger: (peer, address, network) => {
          const where = network === '' ? 'a network with a key' : `the open network '${network}'`
          this.#refuse(peer, address, new OtherNetworkError(`${peer} (of ${where})`))
        },
        copy: (addresses) => this.#reacher.verifyCopy(addresses),
        changed: () => this.#hub.emit('addresses', this.addresses()),
      },
      {
        ...this.#init,
        self: this.id,
        instance: Buffer.from(this.#instance).toString('hex'),
        secrets: this.#secrets,
        listening: this.#node.listening,
        active: this.#init.discovery && this.#init.lan !== 'off',
      },
    )
  }
}
