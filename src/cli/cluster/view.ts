/** A cluster as people read it. */
import type { ClusterStatus } from '../../peer/index.ts'
import { formatSpan, shortId } from '../format.ts'
import { printable, table } from '../text.ts'

export function clusterLines(status: ClusterStatus): string[] {
  const { threshold, admins, members, removed, forks, waiting } = status
  const age = status.age_ms === null ? 'never' : `${formatSpan(status.age_ms)} ago`
  return [
    `CLUSTER  ${printable(status.name)}  ${status.id.slice(0, 16)}…  epoch ${status.epoch}, ${status.height + 1} entries`,
    `ADMINS   ${admins.length} of ${threshold.n}; ${threshold.k} must sign what changes them; last heard ${age}`,
    ...(status.stale ? ['# warning: that is too long ago: all but asking for news is refused'] : []),
    ...(status.verified === undefined
      ? []
      : [`VERIFIED ${status.verified === 1 ? '1 entry' : `${status.verified} entries`}, all sound`]),
    ...table(
      [{ head: 'MEMBER' }, { head: 'ROLE' }, { head: 'SITE' }, { head: 'SINCE' }, { head: 'ID' }],
      members.map(({ id, name, role, site, since }) => [
        name === '' ? shortId(id) : printable(name),
        role,
        site === '' ? '-' : printable(site),
        since,
        id,
      ]),
    ),
    ...waiting.map(({ id, name }) => `WAITS    ${printable(name)} ${id}: weft peers approve or deny says`),
    ...removed.map(({ id, reason, left, at }) => `${left ? 'LEFT   ' : 'REMOVED'}  ${id}  ${at}  ${printable(reason)}`),
    ...forks.map(
      ({ height, kept, other, equivocators, decided }) =>
        `FORK     at entry ${height}: ${kept.slice(0, 12)} stands, ${other.slice(0, 12)} does not` +
        `${equivocators.length === 0 ? '' : `; both signed by ${equivocators.map(shortId).join(', ')}`}` +
        `${decided ? '' : '; NOT DECIDED: weft cluster recover'}`,
    ),
  ]
}
