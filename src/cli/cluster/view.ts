/** A cluster as people read it. */
import type { CertificateInfo, ClusterStatus, PeerStatus } from '../../peer/index.ts'
import { CertificateExpiredError, ClocksApartError, LogForkError, MembershipStaleError } from '../../trust/index.ts'
import { formatSpan, plural, shortId } from '../format.ts'
import { printable, table } from '../text.ts'

export function clusterLines(status: ClusterStatus): string[] {
  const { threshold, admins, members, removed, forks, waiting } = status
  const age = status.age_ms === null ? 'never' : `${formatSpan(status.age_ms)} ago`
  return [
    `CLUSTER  ${printable(status.name)}  ${status.id.slice(0, 16)}…  epoch ${status.epoch}, ${status.height + 1} entries`,
    `ADMINS   ${admins.length} of ${threshold.n}; ${threshold.k} must sign what changes them; last heard ${age}`,
    ...certificateLines(status),
    ...[...staleWarning(status), ...certificateWarnings(status)].map((text) => `# warning: ${text}`),
    ...clockWarnings(status).map((text) => `# warning: ${text}`),
    ...(status.verified === undefined
      ? []
      : [`VERIFIED ${status.verified === 1 ? '1 entry' : `${status.verified} entries`}, all sound`]),
    ...table(
      [
        { head: 'MEMBER' },
        { head: 'ROLE' },
        { head: 'SITE' },
        { head: 'SINCE' },
        { head: 'CERTIFIED' },
        { head: 'ID' },
      ],
      members.map(({ id, name, role, site, since, certificate }) => [
        name === '' ? shortId(id) : printable(name),
        role,
        site === '' ? '-' : printable(site),
        since,
        certificateCell(certificate),
        id,
      ]),
    ),
    ...waiting.map(({ id, name }) => `WAITS    ${printable(name)} ${id}: weft peers approve or deny says`),
    ...removed.map(({ id, reason, left, at }) => `${left ? 'LEFT   ' : 'REMOVED'}  ${id}  ${at}  ${printable(reason)}`),
    ...forks.map(forkLine),
  ]
}

/** Until when, and when it is due for a new one. */
function certificateCell(certificate: CertificateInfo | null): string {
  if (certificate === null) return '-'
  return certificate.expired ? `ENDED ${certificate.until}` : `until ${certificate.until}`
}

function certificateLines({ certificates }: Pick<ClusterStatus, 'certificates'>): string[] {
  const { lifetime_ms, required, own } = certificates
  if (lifetime_ms === 0) return []
  const asked = required ? 'whose is over is refused' : 'nobody is refused for one (weft cluster certificates TIME)'
  const ours = own === null ? '' : `; ours ${certificateCell(own)}, renewed from ${own.renews} on`
  return [`CERTIFIED for ${formatSpan(lifetime_ms)}, by admins that are up; ${asked}${ours}`]
}

function certificateWarnings({ certificates }: Pick<ClusterStatus, 'certificates'>): string[] {
  const { required, own, expired } = certificates
  if (!required) return []
  if (own?.late === true && !own.expired)
    return [
      `no admin has renewed the certificate of this peer, which ends at ${own.until}: it is refused then. Start an admin`,
    ]
  if (expired === 0) return []
  const others = expired - (own?.expired === true ? 1 : 0)
  const code = CertificateExpiredError.info.code
  return [
    ...(own?.expired === true
      ? [`the certificate of this peer ended at ${own.until}: it is refused until an admin is up (${code})`]
      : []),
    ...(others > 0 ? [`certificates of ${plural(others, 'other member')} are over: these are refused (${code})`] : []),
  ]
}

function staleWarning({ stale }: Pick<ClusterStatus, 'stale'>): string[] {
  if (!stale) return []
  return [`no admin was heard for too long: all but asking for news is refused (${MembershipStaleError.info.code})`]
}

function clockWarnings({ clocks_apart: apart }: Pick<ClusterStatus, 'clocks_apart'>): string[] {
  if (apart === null) return []
  const { message, code } = new ClocksApartError(apart.admin, apart.ahead_ms)
  return [`${message}: its word is not believed (${code})`]
}

function forkLine({ height, kept, other, equivocators, decided }: ClusterStatus['forks'][number]): string {
  const by = equivocators.length === 0 ? '' : `; both signed by ${equivocators.map((id) => shortId(id)).join(', ')}`
  const open = decided ? '' : `; NOT DECIDED (${LogForkError.info.code}): weft cluster recover`
  return `FORK     at entry ${height}: ${kept.slice(0, 12)} stands, ${other.slice(0, 12)} does not${by}${open}`
}

/** In `weft status`. */
export function clusterSummary({ cluster }: Pick<PeerStatus, 'cluster'>): string[] {
  if (cluster === undefined || cluster === null) return []
  const site = cluster.site === '' ? '' : ` of ${printable(cluster.site)}`
  const role = cluster.role === null ? 'NO MEMBER' : `${cluster.role}${site}`
  const waits = cluster.waiting.map(
    ({ id, name }) => `WAITS    ${printable(name)} ${shortId(id)}: weft peers approve or deny says`,
  )
  const { own } = cluster.certificates
  const certified = own === null ? '' : `; certified until ${own.until}, renewed from ${own.renews} on`
  return [`CLUSTER  ${role}; ${plural(cluster.members, 'member')}, epoch ${cluster.epoch}${certified}`, ...waits]
}

export function clusterWarnings({ cluster }: Pick<PeerStatus, 'cluster'>): string[] {
  if (cluster === undefined || cluster === null) return []
  return [
    ...(cluster.role === null
      ? [`this peer was removed from ${printable(cluster.name)}: nobody there speaks to it. Try: weft cluster show`]
      : []),
    ...staleWarning(cluster),
    ...certificateWarnings(cluster),
    ...clockWarnings(cluster),
    ...(cluster.forks > 0 ? ['the membership log had a fork. Try: weft cluster show'] : []),
  ]
}
