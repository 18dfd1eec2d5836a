/** What a network needs and what it is told at its start. */
import type { Ed25519PrivateKey } from '@libp2p/interface'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import { parseAddress } from './addresses.ts'
import type { LanPolicy } from './admission.ts'
import { BadAddressError, ListenError } from './errors.ts'
import type { Versions } from './hello.ts'
import type { Membership } from './types.ts'

export interface NetworkNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  /** PeerId and its key. */
  readonly identity: { readonly id: string; readonly privateKey: Ed25519PrivateKey }
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count' | 'observe'>
}

export interface NetworkInit {
  readonly networkName: string
  /** 32 bytes; none in an open mesh. */
  readonly networkKey?: Uint8Array
  /** Multiaddrs; empty: port 7334 on every interface, or a free port if that is taken. */
  readonly listen: readonly string[]
  /** Multiaddrs that are dialled for as long as it takes. */
  readonly bootstrap: readonly string[]
  readonly lan: LanPolicy
  /** Multicast DNS and local rendezvous; `lan: 'off'` switches them off as well. */
  readonly discovery: boolean
  readonly membership: Membership
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
export function checkAddresses(init: Pick<NetworkInit, 'listen' | 'bootstrap'>): void {
  for (const address of [...init.listen, ...init.bootstrap])
    if (parseAddress(address) === undefined) throw new BadAddressError(address)
  const named = init.listen.find((address) => address.startsWith('/dns'))
  if (named !== undefined) throw new ListenError([named], 'a name cannot be listened on, an IP address can')
}
