/**
 * The door: connections that have not proven an identity are counted, so that idle and slow ones cannot crowd out the
 * others, and whoever was removed is cut off as soon as it has, whatever way it came by.
 */
import type { ConnectionGater, MultiaddrConnection, PeerId } from '@libp2p/interface'
import { hostOf } from './addresses.ts'
import type { Arrivals } from './arrivals.ts'
import { MAX_UNPROVEN, MAX_UNPROVEN_PER_HOST } from './constants.ts'
import type { Defence } from './defence.ts'
import { Doorstep, UNKNOWN_HOST } from './doorstep.ts'

export interface Door {
  readonly gater: ConnectionGater
  /** For the servers of all transports that connections come by directly. */
  readonly step: Doorstep
}

const CIRCUIT = '/p2p-circuit'

/**
 * @param keepsOut asked once for each connection whose peer is proven; it notes what it refuses
 * @param defence counts who never proves anything, and keeps out who did so too often
 * @param arrivals how many may begin
 */
export function createDoor(
  keepsOut: (peer: string, connection: MultiaddrConnection) => boolean,
  defence?: Defence,
  arrivals?: Arrivals,
): Door {
  const open = new Map<MultiaddrConnection, string>()
  const perHost = new Map<string, number>()
  const leave = (connection: MultiaddrConnection): void => {
    const host = open.get(connection)
    if (host === undefined) return
    open.delete(connection)
    const count = (perHost.get(host) ?? 1) - 1
    if (count === 0) perHost.delete(host)
    else perHost.set(host, count)
  }
  const isFull = (host: string): boolean =>
    open.size >= MAX_UNPROVEN || (perHost.get(host) ?? 0) >= MAX_UNPROVEN_PER_HOST
  const turnsAway = (host: string): boolean => {
    if (defence?.banned(`host:${host}`) !== undefined || isFull(host)) return true
    if (arrivals === undefined || arrivals.arrives(host)) return false
    // peers of a site that all start at once storm nothing
    if (!arrivals.isKnown(host)) defence?.offend(`host:${host}`, 'dial-storm')
    return true
  }
  const gater: ConnectionGater = {
    denyInboundConnection: (connection) => {
      const address = connection.remoteAddr.toString()
      const host = hostOf(`${address}/`) ?? UNKNOWN_HOST
      // a circuit comes in a stream, and no server was asked; of others it may be full since the step was
      if (address.includes(CIRCUIT) ? turnsAway(host) : isFull(host)) return true
      open.set(connection, host)
      perHost.set(host, (perHost.get(host) ?? 0) + 1)
      connection.addEventListener('close', () => {
        if (open.has(connection)) defence?.offend(`host:${host}`, 'dial-storm')
        leave(connection)
      })
      return false
    },
    denyInboundEncryptedConnection: (peer, connection) => {
      leave(connection)
      return defence?.banned(`peer:${peer.toString()}`) !== undefined || keepsOut(peer.toString(), connection)
    },
    denyOutboundEncryptedConnection: (peer: PeerId, connection: MultiaddrConnection) =>
      defence?.banned(`peer:${peer.toString()}`) !== undefined || keepsOut(peer.toString(), connection),
    // private and loopback addresses are what a mesh is made of: the library's default refuses some of them
    denyDialMultiaddr: () => false,
  }
  return { gater, step: new Doorstep(turnsAway) }
}
