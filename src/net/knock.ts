/**
 * A channel to a peer whose network this one does not belong to yet: with the key of its door, and without a greeting,
 * which would be refused. For handing in an invite; nothing is listened on.
 */
import type { Connection, Libp2p, Upgrader } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { isCircuit, parseAddress, relayOf, withPeer } from './addresses.ts'
import { channelOverStream } from './channel-carriers.ts'
import { DIAL_WAIT_MS } from './constants.ts'
import { PeerUnreachableError } from './discovery-errors.ts'
import { BadAddressError } from './errors.ts'
import type { NetworkNeeds } from './network-init.ts'
import { networkSecrets } from './secrets.ts'
import type { Channel } from './types.ts'

export interface KnockInit {
  /** 32 bytes. */
  readonly networkKey: Uint8Array
  /** A multiaddr that ends in the id of the peer: nobody else is spoken to, but a relay where it is a circuit. */
  readonly address: string
  readonly protocol: string
}

export interface Knock {
  readonly channel: Channel
  stop(): Promise<void>
}

/** @throws BadAddressError, PeerUnreachableError, or the reason of the signal */
export async function knock(
  needs: Pick<NetworkNeeds, 'identity' | 'random'>,
  { networkKey, address, protocol }: KnockInit,
  signal?: AbortSignal,
): Promise<Knock> {
  const peer = parseAddress(address)?.peer
  if (peer === undefined || peer === null) throw new BadAddressError(address)
  // Stage hosts use this room's frames, and load no libp2p.
  const { startNode } = await import('./libp2p-node.ts')
  const { libp2p, upgrader } = await startNode(
    {
      privateKey: needs.identity.privateKey,
      secrets: networkSecrets('', networkKey),
      instance: needs.random.bytes(16),
      note: () => undefined,
      keepsOut: () => false,
      prepare: () => undefined,
    },
    null,
  )
  const stop = async (): Promise<void> => {
    await libp2p.stop()
  }
  try {
    const late = AbortSignal.timeout(DIAL_WAIT_MS)
    const options = { signal: signal === undefined ? late : AbortSignal.any([signal, late]) }
    const connection = await connect({ libp2p, upgrader }, peer, address, options.signal)
    const stream = await connection.newStream(protocol, options)
    return { channel: channelOverStream(stream, peer), stop }
  } catch (error) {
    await stop()
    signal?.throwIfAborted()
    throw new PeerUnreachableError(peer, (error as Error).message)
  }
}

async function connect(
  { libp2p, upgrader }: { readonly libp2p: Libp2p; readonly upgrader: Upgrader },
  peer: string,
  address: string,
  signal: AbortSignal,
): Promise<Connection> {
  if (!isCircuit(address)) return libp2p.dial(multiaddr(address), { signal })
  const relay = relayOf(address)
  if (relay === undefined) throw new BadAddressError(address)
  const [{ circuitTo }, { KNOCK_PROTOCOL }] = await Promise.all([
    import('./circuit-dial.ts'),
    import('./circuit-wire.ts'),
  ])
  const connection = await libp2p.dial(multiaddr(withPeer(relay.address, relay.peer)), { signal })
  return circuitTo(connection, { protocol: KNOCK_PROTOCOL, peer, address }, upgrader, signal)
}
