/**
 * A channel to a peer whose network this one does not belong to yet: with the key of its door, and without a greeting,
 * which would be refused. For handing in an invite; nothing is listened on.
 */
import { multiaddr } from '@multiformats/multiaddr'
import { parseAddress } from './addresses.ts'
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
  /** A multiaddr that ends in the id of the peer: nobody else is spoken to. */
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
  const { libp2p } = await startNode(
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
    const connection = await libp2p.dial(multiaddr(address), options)
    const stream = await connection.newStream(protocol, options)
    return { channel: channelOverStream(stream, peer), stop }
  } catch (error) {
    await stop()
    signal?.throwIfAborted()
    throw new PeerUnreachableError(peer, (error as Error).message)
  }
}
