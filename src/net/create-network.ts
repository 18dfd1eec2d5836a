/** Makes the network of a peer, and only then loads libp2p: stage hosts use this room's frames too, and not its peers. */
import type { NetworkInit, NetworkNeeds } from './network-init.ts'
import type { Network } from './types.ts'

/** @throws PortInUseError, ListenError, BadAddressError */
export async function createNetwork(needs: NetworkNeeds, init: NetworkInit): Promise<Network> {
  const node = await import('./node.ts')
  return node.createNetwork(needs, init)
}
