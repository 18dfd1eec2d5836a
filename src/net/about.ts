/** What a peer says of itself in a greeting, and what it does when one that it does not know says that it has news. */
import type { Clock } from '../util/index.ts'
import { MAX_ADDRESSES } from './constants.ts'
import type { About } from './hello.ts'
import type { Link, LinksNeeds } from './links.ts'
import type { ClusterInit, NetworkInit } from './network-init.ts'
import type { Channel } from './types.ts'

/** To a peer that is not (yet) known in the cluster nothing is said but that there is one more run of weft. */
export function aboutOf(
  init: NetworkInit,
  self: { readonly instance: Uint8Array; readonly clock: Clock },
  peer: string,
  addresses: readonly string[],
): About {
  const isKnown = init.cluster === undefined || init.membership.admits(peer, 'connect')
  return {
    software: init.version,
    name: isKnown ? init.name : '',
    network: isKnown ? init.networkName : '',
    instance: Buffer.from(self.instance).toString('hex'),
    epoch: isKnown ? init.membership.epoch : 0,
    ...(isKnown && { clock: self.clock.wall() }),
    addresses: isKnown ? addresses.slice(0, MAX_ADDRESSES) : [],
    // whoever is not known here but knows this peer tells its own head, and is asked for what it knows
    ...(init.cluster === undefined || !isKnown ? {} : ofCluster(init.cluster)),
  }
}

function ofCluster(cluster: ClusterInit): Pick<About, 'log' | 'certificate'> {
  const certificate = cluster.certificate?.()
  return { log: cluster.head(), ...(certificate === undefined ? {} : { certificate: new Uint8Array(certificate) }) }
}

/** Asks for nothing where the membership knows the peer, or where both have the same log. */
export function createAcquaint(
  init: NetworkInit,
  open: (link: Link, protocol: string) => Promise<Channel>,
): LinksNeeds['acquaint'] {
  const { cluster, membership } = init
  const fetch = async (link: Link, about: About): Promise<void> => {
    if (cluster === undefined || membership.admits(link.peer, 'connect') || membership.isRemoved(link.peer)) return
    const head = about.log ?? undefined
    if (head === undefined || head.hash === cluster.head().hash) return
    // whatever comes of it, the membership is asked once more
    await cluster.acquaint(link.peer, head, (protocol) => open(link, protocol)).catch(() => undefined)
  }
  return async (link, about) => {
    await fetch(link, about)
    // of a stranger it would prove nothing
    if (about.certificate instanceof Uint8Array && membership.admits(link.peer, 'connect'))
      cluster?.certified?.(link.peer, about.certificate)
  }
}
