/** What a plan costs in secrecy, in words, before anybody says yes to it. */
import {
  analysisWarnings,
  bearableAttackers,
  isAnalysis,
  leastOfGroup,
  leavesExactStatistics,
  membersToBear,
  mostWithVotes,
  shared,
} from '../../../federated/index.ts'
import type { CheckedData, FedPlan, JobPlan } from '../../../federated/index.ts'

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
  if (strategy.name === 'bucketed') said.push(...bucketWords(plan, Math.max(minimum?.sites ?? 3, sites.length)))
  if (plan.gossip !== undefined) said.push(...gossipWords(plan.gossip.group))
  if (plan.buffer !== undefined) said.push(bufferWords(plan.buffer.cohort))
  for (const { site, test } of sites) if (test === 0) said.push(`site ${site} has no rows for testing`)
  return said
}

/** Among whom a model is hidden, and what there is in place of a common one. */
function gossipWords(group: number): string[] {
  return [
    `gossip: each site has a model of its own, and in each round groups of ${group} or more, others each time, go on with the mean of theirs. A site is ` +
      `hidden among its group, not among all: the others of a group know the sum of it`,
    `a group mixes with ${leastOfGroup(group)} of ${group} sites that stay; with fewer nothing of it leaves a site, and each goes on with its own`,
    'the statistics of the columns are one sum of all',
  ]
}

/** For whom a round does not wait. */
function bufferWords(cohort: number): string {
  const most = mostWithVotes(cohort)
  return (
    `a round begins with the ${cohort} sites that are ready first: an update that comes later counts in a later round, over the square root of ` +
    `its age. A model takes the votes of two thirds of all, so that this goes with ${most} sites at most`
  )
}

/** The choice between a secret and a robust sum, in words. */
function bucketWords({ robust, secagg = 'off', strategy }: FedPlan, members: number): string[] {
  const group = Number(strategy['group'])
  const bears = bearableAttackers(members, group)
  const said = [
    `bucketed bears ${bears} attackers among ${members} sites with groups of ${group}; to bear f it takes ${group} (2f + 1) sites`,
  ]
  if (secagg === 'off') return said
  said.push(
    `a site is hidden among the ${group} or more of its bucket, not among all: whoever sees the sums and knows the others of ` +
      `a bucket knows it. A bucket is opened with ${leastOfGroup(group)} of ${group} sites that stay, and left out with fewer`,
    'the statistics of the columns are sums of buckets too: the median over them is taken, so that attackers do not set the scale',
  )
  if (robust === undefined) {
    said.push('over a mesh the plan has to say "robust":{"attackers":N}; weft fed simulate goes without it')
    return said
  }
  const needed = membersToBear(robust.attackers, group)
  const { attackers } = robust
  said.push(
    members < needed
      ? `to bear ${attackers} attackers it takes ${needed} sites, and the plan asks for ${members}: it does not start with fewer than ${needed}`
      : `no round is made of fewer than ${2 * attackers + 1} buckets: with ${members} sites ${Math.floor(members / group) - 2 * attackers - 1} of ${Math.floor(members / group)} may be left out`,
  )
  return said
}
