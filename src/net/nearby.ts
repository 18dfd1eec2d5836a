/** What becomes of those that are seen nearby: dialled, or noted as strangers. */
import type { Admission } from './admission.ts'
import type { Reacher } from './dial.ts'
import type { Dialler } from './dialler.ts'
import { OtherNetworkError } from './discovery-errors.ts'
import { Discovery } from './discovery.ts'
import type { DiscoveryInit } from './discovery.ts'
import type { NetworkInit, NetworkNeeds } from './network-init.ts'
import type { Refuser } from './refuser.ts'

interface NearbyParts {
  readonly admission: Admission
  readonly dialler: Dialler
  readonly reacher: Reacher
  readonly refuser: Refuser
  /** The addresses that others can use have changed. */
  changed(): void
}

type Run = Pick<DiscoveryInit, 'self' | 'secrets' | 'listening'> & { readonly instance: Uint8Array }

export function createNearby(needs: NetworkNeeds, init: NetworkInit, run: Run, parts: NearbyParts): Discovery {
  return new Discovery(
    {
      ...needs,
      found: (peer, addresses) => {
        if (!parts.admission.isDenied(peer)) parts.dialler.add('announced', peer, addresses)
      },
      stranger: (peer, address, network) => {
        const where = network === '' ? 'a network with a key' : `the open network '${network}'`
        parts.refuser.refuse(peer, address, new OtherNetworkError(`${peer} (of ${where})`))
      },
      copy: (addresses) => parts.reacher.verifyCopy(addresses),
      changed: () => parts.changed(),
    },
    {
      ...init,
      ...run,
      instance: Buffer.from(run.instance).toString('hex'),
      active: init.discovery && init.lan !== 'off',
    },
  )
}
