/**
 * Before the door: asked by Node's server for each connection that it accepts, when there is no socket for it yet. What is turned
 * away here costs some microseconds; at the door it has cost what libp2p makes of a connection, a millisecond, so that a crowd
 * that knocked took all of a processor that it was kept out of.
 */
import { BlockList } from 'node:net'
import type { SocketAddress } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { hostOf } from './addresses.ts'

/** Of an address that multiaddrs have no host for, a link-local one with its zone. */
export const UNKNOWN_HOST = 'unknown'
const MAPPED = '::ffff:'

/** The list of hosts that a server of Node's does not accept from; this one decides as each of them comes. */
export class Doorstep extends BlockList {
  readonly #turnsAway: (host: string) => boolean

  constructor(turnsAway: (host: string) => boolean) {
    super()
    this.#turnsAway = turnsAway
  }

  override check(address: SocketAddress | string): boolean {
    return this.#turnsAway(hostAt(typeof address === 'string' ? address : address.address))
  }
}

/** The host as the multiaddr of such a connection names it. */
export function hostAt(address: string): string {
  if (!address.includes(':')) return address
  if (address.startsWith(MAPPED) && address.includes('.')) return address.slice(MAPPED.length)
  if (address.includes('%')) return UNKNOWN_HOST
  return hostOf(`${multiaddr(`/ip6/${address}`).toString()}/`) ?? UNKNOWN_HOST
}
