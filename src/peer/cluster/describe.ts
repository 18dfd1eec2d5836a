/** A cluster as documents. */
import type { OpenedCluster } from '../../trust/index.ts'
import { nameOf } from '../names.ts'
import type { CertificateInfo, CertificatesStatus, ClusterStatus, ClusterSummary, WaitingPeer } from './types.ts'

type Needs = Pick<OpenedCluster, 'cluster' | 'invites'>

const iso = (at: number): string => new Date(at).toISOString()

function waitingOf({ invites }: Needs): WaitingPeer[] {
  return invites.waiting().map(({ peer, name, invite, at }) => ({ id: peer, name, invite, since: iso(at) }))
}

function certificateOf({ cluster }: Needs, peer: string): CertificateInfo | null {
  const standing = cluster.certificates.standing(peer)
  return standing === undefined ? null : { ...standing, until: iso(standing.until), renews: iso(standing.renews) }
}

function certificatesOf(needs: Needs): CertificatesStatus {
  const { certificates, self, log } = needs.cluster
  const { lifetime, isRequired } = certificates
  const expired = [...log.state.members.keys()].filter((peer) => certificates.standing(peer)?.expired === true).length
  return { lifetime_ms: lifetime, required: isRequired, own: certificateOf(needs, self), expired }
}

export function describeCluster(needs: Needs): ClusterStatus {
  const { cluster } = needs
  const view = cluster.view()
  const own = cluster.member(cluster.self)
  return {
    schema: 'weft.cluster/1',
    id: view.id,
    name: view.name,
    root: view.root,
    role: own?.role ?? null,
    site: own?.site ?? '',
    epoch: view.epoch,
    height: view.head.height,
    head: view.head.hash,
    threshold: view.threshold,
    admins: view.admins,
    members: view.members.map(({ peer, since, name, ...rest }) => ({
      id: peer,
      // As it calls itself where nobody has given it a name.
      name: name === '' ? nameOf(peer) : name,
      ...rest,
      since: iso(since),
      certificate: certificateOf(needs, peer),
    })),
    removed: view.removed.map(({ peer, at, ...rest }) => ({ id: peer, ...rest, at: iso(at) })),
    forks: view.forks,
    waiting: waitingOf(needs),
    age_ms: cluster.age(),
    stale: cluster.isStale(),
    clocks_apart: cluster.clocksApart() ?? null,
    certificates: certificatesOf(needs),
  }
}

export function summarizeCluster(needs: Needs): ClusterSummary {
  const { cluster } = needs
  const own = cluster.member(cluster.self)
  const { state, forks } = cluster.log
  return {
    id: cluster.id,
    name: cluster.name,
    role: own?.role ?? null,
    site: own?.site ?? '',
    epoch: cluster.epoch,
    height: cluster.head.height,
    age_ms: cluster.age(),
    stale: cluster.isStale(),
    clocks_apart: cluster.clocksApart() ?? null,
    certificates: certificatesOf(needs),
    members: state.members.size,
    forks: forks.length,
    waiting: waitingOf(needs),
  }
}
