/** Finding peers nearby: multicast DNS on the used interfaces, files on this machine, and a watch on the interfaces. */
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import { isLoopback, parseAddress, plainAddresses } from './addresses.ts'
import { keyedCodec, MAX_ANNOUNCED_ADDRESSES, OPEN_TAG, openCodec } from './announcement.ts'
import type { Announcement, AnnouncementCodec } from './announcement.ts'
import { MAX_TARGETS } from './constants.ts'
import { announced, chooseInterfaces } from './interfaces.ts'
import { MDNS_PORT, startMdns } from './mdns.ts'
import type { MdnsSocket } from './mdns.ts'
import { startRendezvous } from './rendezvous.ts'
import type { Rendezvous } from './rendezvous.ts'
import type { NetworkSecrets } from './secrets.ts'
import type { InterfaceChoice } from './types.ts'

/** A look takes a tenth of a millisecond; who moves to another network is away from all others until it is noticed. */
const LOOK_AT_INTERFACES_MS = 150

export interface DiscoveryNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  /** A peer of this network, or one that says so. Addresses without the peer id. */
  found(peer: string, addresses: readonly string[]): void
  /** A peer of another network. */
  stranger(peer: string, address: string | null, network: string): void
  /** Our own id, said by another run. */
  copy(addresses: readonly string[]): void
  /** The addresses that others can use have changed. */
  changed(addresses: readonly string[]): void
}

export interface DiscoveryInit {
  readonly self: string
  /** Fresh for this run, 32 hex digits. */
  readonly instance: string
  readonly networkName: string
  readonly secrets: NetworkSecrets
  /** Multiaddrs with their real ports. */
  readonly listening: readonly string[]
  /** Told to others in place of those. */
  readonly announce?: readonly string[] | undefined
  /** Announce, ask and look; the interfaces are watched in any case. */
  readonly active: boolean
  readonly mdnsPort?: number | undefined
  /** Folder of the local rendezvous; false: none. */
  readonly rendezvous?: string | false | undefined
}

export class Discovery {
  readonly #needs: DiscoveryNeeds
  readonly #init: DiscoveryInit
  readonly #codec: AnnouncementCodec
  #choices: readonly InterfaceChoice[] = []
  #sockets = new Map<string, MdnsSocket>()
  /** Why an interface is not asked on, by address. */
  readonly #troubles = new Map<string, string>()
  /** Peers that were heard by multicast DNS, by the address of the interface. */
  readonly #heardOn = new Map<string, Set<string>>()
  /** Peers and ways that are counted; whoever announces thousands of ids is counted no further. */
  readonly #counted = new Set<string>()
  #rendezvous: Rendezvous | undefined
  #cancel = (): void => undefined
  #stopped = false

  constructor(needs: DiscoveryNeeds, init: DiscoveryInit) {
    this.#needs = needs
    this.#init = init
    const { announce } = init.secrets
    this.#codec = announce === undefined ? openCodec() : keyedCodec(needs.random, announce)
    this.#choices = chooseInterfaces(init.listening)
  }

  start(): void {
    this.#openSockets()
    this.#watch()
    if (!this.#init.active || this.#init.rendezvous === false) return
    let last: { readonly addresses: string; readonly bytes: Uint8Array } | undefined
    this.#rendezvous = startRendezvous(
      {
        ...this.#needs,
        // sealed anew only when it says something new: the file is compared with what was written
        announcement: () => {
          const addresses = this.#forThisMachine()
          if (addresses.length === 0) return undefined
          const key = `${this.#codec.tag(0)} ${addresses.join(' ')}`
          if (last?.addresses !== key) last = { addresses: key, bytes: this.#announcement(addresses) }
          return last.bytes
        },
        heard: (bytes) => this.#heard(bytes, 'rendezvous', true),
      },
      this.#init.rendezvous,
    )
  }

  interfaces(): readonly InterfaceChoice[] {
    return this.#choices.map((choice) => {
      const trouble = this.#troubles.get(choice.address)
      if (trouble !== undefined) return { ...choice, heard: null, why: `${choice.why}; no multicast DNS: ${trouble}` }
      return {
        ...choice,
        heard: this.#sockets.has(choice.address) ? (this.#heardOn.get(choice.address)?.size ?? 0) : null,
      }
    })
  }

  /** Without the peer id; the loopback's last. */
  addresses(): readonly string[] {
    return this.#announced(true)
  }

  #announced(local: boolean): readonly string[] {
    const { announce = [], listening } = this.#init
    return announce.length > 0 ? plainAddresses(announce) : announced(listening, this.#choices, local)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    const sockets = [...this.#sockets.values()]
    this.#sockets.clear()
    await Promise.all([...sockets.map((socket) => socket.stop()), this.#rendezvous?.stop()])
  }

  #watch(): void {
    this.#cancel = this.#needs.clock.after(LOOK_AT_INTERFACES_MS, () => {
      const before = this.addresses().join(' ')
      this.#choices = chooseInterfaces(this.#init.listening)
      this.#openSockets()
      if (this.addresses().join(' ') !== before) {
        this.#needs.changed(this.addresses())
        for (const socket of this.#sockets.values()) socket.announce()
      }
      this.#watch()
    })
  }

  /** One socket for each used network; the loopback has one where there is no network. */
  #openSockets(): void {
    if (!this.#init.active || this.#stopped) return
    const used = this.#choices.filter((one) => one.used && !one.address.includes(':')).map((one) => one.address)
    const networks = used.filter((address) => !address.startsWith('127.'))
    const wanted = new Set(networks.length > 0 ? networks : used.slice(0, 1))
    for (const [address, socket] of this.#sockets) {
      if (wanted.has(address)) continue
      this.#sockets.delete(address)
      this.#troubles.delete(address)
      void socket.stop()
    }
    for (const address of wanted) if (!this.#sockets.has(address)) this.#sockets.set(address, this.#open(address))
  }

  #open(address: string): MdnsSocket {
    const local = address.startsWith('127.')
    // a keyed peer answers nobody on the open tag, but it says whom it saw there
    const alsoHear = this.#init.secrets.announce === undefined ? [] : [OPEN_TAG]
    return startMdns(
      {
        ...this.#needs,
        codec: this.#codec,
        announcement: () => {
          const addresses = local ? this.#forThisMachine() : this.#announced(false)
          return addresses.length === 0 ? undefined : this.#announcement(addresses)
        },
        heard: (bytes, from) => this.#heard(bytes, 'mdns', this.#isOurs(from), address),
        trouble: (why) => {
          if (this.#troubles.get(address) !== why)
            this.#needs.logger.warn({ interface: address, why }, 'peers nearby are not looked for on an interface')
          this.#troubles.set(address, why)
        },
        overheard: (bytes, from) => {
          const other = openCodec().decode(bytes)
          if (other !== undefined) this.#stranger(other, this.#isOurs(from))
        },
      },
      { address, port: this.#init.mdnsPort ?? MDNS_PORT, alsoHear },
    )
  }

  #isOurs(address: string): boolean {
    return this.#choices.some((choice) => choice.address === address)
  }

  #forThisMachine(): readonly string[] {
    const all = this.addresses()
    const loopback = all.filter(isLoopback)
    return loopback.length > 0 ? loopback : all
  }

  #announcement(addresses: readonly string[]): Uint8Array {
    const { self, instance, networkName, secrets } = this.#init
    return this.#codec.encode({
      network: secrets.announce === undefined ? networkName : '',
      peer: self,
      instance,
      addresses: addresses.slice(0, MAX_ANNOUNCED_ADDRESSES),
    })
  }

  /** @param on address of the interface that it came by */
  #heard(bytes: Uint8Array, by: 'mdns' | 'rendezvous', sameMachine: boolean, on?: string): void {
    if (this.#stopped) return
    const one = this.#codec.decode(bytes)
    if (one === undefined || one.instance === this.#init.instance) return
    if (on !== undefined) this.#noteHeard(on, one.peer)
    const name = this.#init.secrets.announce === undefined ? this.#init.networkName : ''
    if (one.network !== name) this.#stranger(one, sameMachine)
    else if (one.peer === this.#init.self) this.#needs.copy(usable(one, sameMachine))
    else {
      this.#count(one.peer, by)
      this.#needs.found(one.peer, usable(one, sameMachine))
    }
  }

  #noteHeard(on: string, peer: string): void {
    const peers = this.#heardOn.get(on) ?? new Set()
    this.#heardOn.set(on, peers)
    if (peers.size < MAX_TARGETS) peers.add(peer)
  }

  #count(peer: string, by: 'mdns' | 'rendezvous'): void {
    const key = `${by} ${peer}`
    if (this.#counted.has(key) || this.#counted.size >= MAX_TARGETS) return
    this.#counted.add(key)
    this.#needs.telemetry?.count('peers_found', 1, { by })
  }

  #stranger(one: Announcement, sameMachine: boolean): void {
    if (this.#stopped || one.instance === this.#init.instance) return
    this.#needs.stranger(one.peer, usable(one, sameMachine)[0] ?? null, one.network)
  }
}

/** Addresses of a kind that is dialled; another machine's loopback is not. */
function usable(one: Announcement, sameMachine: boolean): readonly string[] {
  return one.addresses.filter(
    (address) => parseAddress(address)?.peer === null && (sameMachine || !isLoopback(address)),
  )
}
