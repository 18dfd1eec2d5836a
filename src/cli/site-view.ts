/** What is wrong with a site, as a person reads it in `weft status`. */
import type { PeerStatus } from '../peer/index.ts'
import { plural, shortId } from './format.ts'
import { printable } from './text.ts'

export function siteWarnings({ site, peer }: Pick<PeerStatus, 'site' | 'peer'>): string[] {
  if (site === undefined) return []
  const { audit, bans, cloned, outliers, policy } = site
  const warnings: string[] = []
  if (cloned !== null) {
    const by = cloned.by === peer.id ? 'this peer' : shortId(printable(cloned.by))
    warnings.push(
      `this identity runs in a second place (seen by ${by}): one of the two homes is a copy. Move keys/identity.key away on it`,
    )
  }
  if (typeof policy?.trouble === 'string')
    warnings.push(`the policy file is not what is in force: ${printable(policy.trouble)}`)
  if (audit.why !== null)
    warnings.push(`${audit.waiting} entries of the audit log cannot be written: ${printable(audit.why)}`)
  // a peer of a release before says nothing of them
  if (outliers !== null && outliers !== undefined) {
    const { at, by, count, kind } = outliers
    const when = at.slice(0, 16).replace('T', ' ')
    warnings.push(
      `rows from other peers were refused ${plural(count, 'time')}: the last from ${shortId(printable(by))} at ${when} UTC (${printable(kind)})`,
    )
  }
  if (bans.length > 0) warnings.push(`${plural(bans.length, 'ban')} in force: weft peers bans`)
  return warnings
}
