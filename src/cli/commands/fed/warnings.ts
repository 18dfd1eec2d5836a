/** What a plan costs in secrecy, in words, before anybody says yes to it. */
import {
  analysisWarnings,
  bearableAttackers,
  isAnalysis,
  leavesExactStatistics,
  shared,
} from '../../../federated/index.ts'
import type { CheckedData, JobPlan } from '../../../federated/index.ts'

export function warningsOf(plan: JobPlan, sites: readonly CheckedData[]): string[] {
  if (isAnalysis(plan)) return analysisWarnings(plan)
  const { secagg = 'off', privacy = 'off', strategy, minimum } = plan
  const said: string[] = []
  if (secagg === 'off') {
    const who = shared(plan, plan.name) === 'each' ? 'every member' : 'whoever aggregates a round'
    said.push(`secagg is off: ${who} sees the update of each site, and can learn much of its records`)
  } else if (privacy === 'off') {
    said.push('privacy is off: nobody sees a single update, but the sum itself may tell of records where they are few')
  } else {
    if (leavesExactStatistics(plan)) {
      said.push(
        'the statistics of the columns leave as exact sums over all sites: epsilon does not cover them; it does where ' +
          'each number has a "range"',
      )
    }
    said.push(
      `privacy is of one ${privacy.unit}: epsilon ${privacy.epsilon} at delta ${privacy.delta} for all rounds together`,
    )
  }
  if (strategy.name === 'bucketed') {
    const group = Number(strategy['group'])
    const members = Math.max(minimum?.sites ?? 3, sites.length)
    said.push(
      `bucketed bears ${bearableAttackers(members, group)} attackers among ${members} sites with groups of ${group}; ` +
        `to bear f it takes ${group} (2f + 1) sites`,
    )
  }
  for (const { site, test } of sites) if (test === 0) said.push(`site ${site} has no rows for testing`)
  return said
}
