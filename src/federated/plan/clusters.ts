/** Clusters of a plan: each is a secure sum of its own sites, and their sums are a secure sum of clusters. */
import { leastOfClusters } from './cohort.ts'
import { FedPlanError } from './errors.ts'
import type { FedPlan } from './schema.ts'

/** @throws FedPlanError */
export function checkClusters(plan: FedPlan, where: string): void {
  const { clusters, secagg = 'off', strategy } = plan
  if (clusters === undefined) return
  const wrong = (field: string, why: string): FedPlanError => new FedPlanError(where, field, why)
  if (secagg === 'off') throw wrong('clusters', 'are about secure sums, and "secagg" is off')
  if (strategy.name === 'bucketed') throw wrong('clusters', 'do not go with "bucketed", which deals sites into buckets')
  const names = clusters.map(({ name }) => name)
  const sites = clusters.flatMap((one) => one.sites)
  for (const [what, list] of [
    ['cluster', names],
    ['site', sites],
  ] as const) {
    const twice = list.find((name, at) => list.indexOf(name) !== at)
    if (twice !== undefined) throw wrong('clusters', `have the ${what} "${twice}" twice`)
  }
}

/** Members of each cluster, in the plan's order; undefined: it has none. @param joined sites by name */
export function clusterSizes({ clusters }: Pick<FedPlan, 'clusters'>, joined: readonly string[]): number[] | undefined {
  return clusters?.map(({ sites }) => joined.filter((site) => sites.includes(site)).length)
}

/** @param sites by name, of those who joined. @throws FedPlanError: one is in no cluster, or a cluster has too few */
export function checkClusterSites({ name: plan, clusters, minimum }: FedPlan, sites: readonly string[]): void {
  const sizes = clusterSizes({ clusters }, sites)
  if (clusters === undefined || sizes === undefined) return
  const wrong = (why: string): FedPlanError => new FedPlanError(plan, 'clusters', why)
  const stray = sites.find((site) => !clusters.some((one) => one.sites.includes(site)))
  if (stray !== undefined) throw wrong(`do not have the site "${stray}", which has joined`)
  for (const [at, here] of sizes.entries())
    if (here < 3)
      throw wrong(`have "${clusters[at]!.name}", of which ${here} sites have joined, and a secure sum takes 3`)
  const least = leastOfClusters(sizes)
  if (minimum?.sites !== undefined && minimum.sites > least) {
    throw new FedPlanError(
      plan,
      'minimum.sites',
      `is ${minimum.sites}, and a sum of clusters can be opened with ${least} of these ${sites.length} sites: ask for ${least} at most`,
    )
  }
}
