/** What a network needs and what it is told at its start. */
import type { Ed25519PrivateKey } from '@libp2p/interface'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import { isCircuit, parseAddress } from './addresses.ts'
import type { LanPolicy } from './admission.ts'
import type { PathTimes, RelayLimits } from './constants.ts'
import { BadAddressError, ListenError } from './errors.ts'
import type { Defence } from './defence.ts'
import type { Versions } from './hello.ts'
import type { Channel, Membership } from './types.ts'

export interface NetworkNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  /** PeerId and its key. */
  readonly identity: { readonly id: string; readonly privateKey: Ed25519PrivateKey }
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count' | 'observe'>
}

/** A mesh whose membership is a signed log; `networkKey` is its door then. */
export interface ClusterInit {
  /** What is announced nearby is sealed under the first; the others are heard. */
  groupKeys(): readonly Uint8Array[]
  /** The newest entry, told in greetings. */
  head(): { readonly height: number; readonly hash: string }
  /** The certificate of this peer, shown in greetings; undefined: it has none. */
  certificate?(): Uint8Array | undefined
  /** What a member has shown as its own. */
  certified?(peer: string, certificate: Uint8Array): void
  /** A peer that is not known greets, and has another log: what it knows is fetched over channels that `open` opens. */
  acquaint(
    peer: string,
    head: { readonly height: number; readonly hash: string },
    open: (protocol: string) => Promise<Channel>,
  ): Promise<void>
}

export interface NetworkInit {
  readonly networkName: string
  /** 32 bytes; none in an open mesh. */
  readonly networkKey?: Uint8Array
  /** Multiaddrs; empty: port 7334 on every interface, or a free port if that is taken; null: nothing, only dialling. */
  readonly listen: readonly string[] | null
  /** What others are told in place of what is listened on, e.g. a port that a router forwards. */
  readonly announce?: readonly string[]
  /** Whether other members' traffic is carried. @default 'on' */
  readonly relay?: 'on' | 'off'
  /** @default by kind of mesh: MEMBER_LIMITS, GUEST_LIMITS */
  readonly relayLimits?: Partial<RelayLimits>
  /** @default PATH_TIMES */
  readonly pathTimes?: Partial<PathTimes>
  /** Multiaddrs that are dialled for as long as it takes. */
  readonly bootstrap: readonly string[]
  readonly lan: LanPolicy
  /** Multicast DNS and local rendezvous; `lan: 'off'` switches them off as well. */
  readonly discovery: boolean
  readonly membership: Membership
  /** Of a cluster. */
  readonly cluster?: ClusterInit
  /** Keeps out for a while who storms the door or sends garbage. @default nobody is */
  readonly defence?: Defence
  /** Of this peer, for people. */
  readonly name: string
  /** Of the software. */
  readonly version: string
  /** Peers of earlier runs and where they were (see `NetworkEvents.reachable`). */
  readonly knownPeers?: readonly { readonly id: string; readonly addresses: readonly string[] }[]
  /** Peers that a person has approved before (`lan: 'confirm'`). */
  readonly approved?: readonly string[]
  /** @default SPOKEN */
  readonly protocolVersions?: Versions
  /** @default 5353 */
  readonly mdnsPort?: number
  /** Folder of the local rendezvous; false: none. @default one of this user and network namespace */
  readonly rendezvous?: string | false
}

/** @throws BadAddressError, ListenError */
export function checkAddresses(init: Pick<NetworkInit, 'listen' | 'bootstrap' | 'announce'>): void {
  const { listen, bootstrap, announce = [] } = init
  for (const address of [...(listen ?? []), ...bootstrap, ...announce]) {
    const parsed = parseAddress(address)
    if (parsed === undefined || (isCircuit(address) && parsed.peer === null)) throw new BadAddressError(address)
  }
  const own = [...(listen ?? []), ...announce]
  const through = own.find(isCircuit)
  if (through !== undefined) throw new BadAddressError(through)
  const named = listen?.find((address) => address.startsWith('/dns'))
  if (named !== undefined) throw new ListenError([named], 'a name cannot be listened on, an IP address can')
}
