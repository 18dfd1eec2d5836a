/** What a plan costs in secrecy, in words, before anybody says yes to it. */
import {
  analysisWarnings,
  bearableAttackers,
  cohortOf,
  isAnalysis,
  leastOfGroup,
  leavesExactStatistics,
  membersToBear,
  mostWithVotes,
  noiseOf,
  shared,
  sumsOf,
} from '../../../federated/index.ts'
import type { CheckedData, FedPlan, JobPlan, PrivacySpec } from '../../../federated/index.ts'
import { plural } from '../../format.ts'

/** Below which records could be made again from a gradient (docs/federated.md, E1). */
const LEAST_RECORDS = 64
/** Where audits still find that noise keeps members apart (E9). */
const MOST_EPSILON = 20

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
    if (privacy.epsilon > MOST_EPSILON)
      said.push(
        `epsilon ${privacy.epsilon} promises next to nothing: the odds that somebody is in the data may change by e^${privacy.epsilon}`,
      )
    said.push(...privacyWords(plan, privacy, sitesOf(plan, sites.length)))
  }
  if (strategy.name === 'bucketed') said.push(...bucketWords(plan, Math.max(minimum?.sites ?? 3, sites.length)))
  if (plan.clusters !== undefined) said.push(...clusterWords(plan, plan.clusters))
  if (plan.gossip !== undefined) said.push(...gossipWords(plan.gossip.group))
  if (plan.buffer !== undefined) said.push(bufferWords(plan.buffer.cohort))
  if (strategy.name === 'fedprox' && (plan.local.proximal ?? 0) === 0)
    said.push('fedprox without "proximal" in "local" is fedavg: nothing holds a site to the model of all')
  for (const { site, test, records } of sites) {
    if (test === 0) said.push(`site ${site} has no rows for testing`)
    if (records < LEAST_RECORDS && privacy === 'off')
      said.push(`site ${site} has ${plural(records, 'record')}: whoever knows the rest of a sum learns much about them`)
  }
  return said
}

/** Sites that there are at least: those that a plan names, asks for, or whose data is here. */
function sitesOf({ clusters, minimum }: FedPlan, here: number): number {
  const named = clusters?.reduce((sum, { sites }) => sum + sites.length, 0)
  return named ?? Math.max(minimum?.sites ?? 3, here)
}

/** Of so small a model rounding moves the noise in its fifth digit. */
const SOME_COORDINATES = 1000
const SOME_RECORDS = 1000

/** Unit, epsilon, delta, q, z and T together. */
function privacyWords(plan: FedPlan, privacy: PrivacySpec, sites: number): string[] {
  const { unit, epsilon, delta, colluders = 0 } = privacy
  const cohort = cohortOf(plan, sites)
  if (cohort.sure <= colluders) {
    return [`privacy takes more than ${sites} sites: with them nobody's noise counts where ${colluders} collude`]
  }
  const { q, z } = noiseOf(plan, cohort, SOME_COORDINATES, SOME_RECORDS)!
  return [
    `privacy is of one ${unit}: epsilon ${epsilon} at delta ${delta} for all rounds together, with q ${q}, z ${z.toPrecision(3)} and T ${sumsOf(plan)}; ` +
      `with ${sites} sites the noise of ${cohort.sure - colluders} makes up z, and that of the others is on top`,
  ]
}

/** Whom a sum of clusters hides, from whom, and with how many of them there is one. */
function clusterWords(plan: FedPlan, clusters: NonNullable<FedPlan['clusters']>): string[] {
  const { sure } = cohortOf({ ...plan, privacy: 'off' }, sitesOf(plan, 0))
  return [
    `clusters: each is summed by itself and hidden in the sum of all ${clusters.length}. One delegate of a cluster, another each time, and whoever aggregates ` +
      'know the sum of its cluster if they work together, and of no single site',
    `a cluster is left out where fewer than two thirds of its sites stay, or its delegate does not; a round takes ${leastOfGroup(clusters.length)} ` +
      `of ${clusters.length} clusters, and ${sure} sites at least`,
  ]
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
    robust?.statistics === 'buckets'
      ? 'the statistics of the columns are of buckets too: who knows the others of its bucket knows what a site has of them'
      : 'the statistics of the columns are one sum of all, and bear no attacker: "robust":{"statistics":"buckets"} does, and ' +
          '"scale":"none" or {"divide":N} needs none',
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
