/** What a plan says of attackers: under secure sums nobody sees a single update, so that the means of buckets are compared. */
import { bucketsToBear, membersToBear } from '../aggregation/bucketed.ts'
import { FedPlanError } from './errors.ts'
import type { FedPlan } from './schema.ts'

/** Bearing attackers under secure sums takes buckets, and so many of them that attackers are in the minority. */
export function checkRobust(plan: FedPlan, where: string): void {
  const wrong = (field: string, why: string): FedPlanError => new FedPlanError(where, field, why)
  const { robust, strategy, secagg = 'off' } = plan
  if (robust === undefined) return
  if (strategy.name !== 'bucketed') throw wrong('robust', 'goes with the strategy "bucketed" alone')
  if (secagg === 'off') {
    throw wrong('robust', 'is about secure sums: with "secagg":"off" choose "median", "trimmed", "krum" or "bulyan"')
  }
  const { attackers } = robust
  const trim = Number(strategy['trim'] ?? 0)
  const isCut = strategy['rule'] === 'trimmed' || strategy['rule'] === 'nearest'
  if (isCut && trim < attackers) {
    throw wrong('strategy.trim', `cuts ${trim} means, and ${attackers} attackers can be in one more`)
  }
  if (isCut && 2 * trim >= bucketsToBear(attackers)) {
    throw wrong('strategy.trim', `leaves none of ${bucketsToBear(attackers)} means, and so few buckets may be left`)
  }
}

/** Sites that a plan with attackers takes; undefined: it says nothing of attackers. */
export function sitesToBear({ robust, strategy }: FedPlan): number | undefined {
  return robust === undefined ? undefined : membersToBear(robust.attackers, Number(strategy['group']))
}

/** For a mesh, in which each bucket is a secure sum of its own. @throws FedPlanError: it does not say how many attackers there may be */
export function checkBuckets({ name, robust, strategy, secagg = 'off' }: FedPlan): void {
  if (strategy.name !== 'bucketed') return
  if (secagg === 'off') {
    throw new FedPlanError(
      name,
      'secagg',
      'is what buckets are for: where it is off choose "median", "trimmed" or "krum"',
    )
  }
  if (robust !== undefined) return
  const group = Number(strategy['group'])
  const why = `has to say how many attackers rounds bear, {"attackers":1} say: with groups of ${group} that takes ${membersToBear(1, group)} sites`
  throw new FedPlanError(name, 'robust', why)
}

/** @throws FedPlanError: so few sites cannot bear the attackers of the plan */
export function checkBears(plan: FedPlan, sites: number): void {
  const { robust, strategy } = plan
  if (robust === undefined) return
  const group = Number(strategy['group'])
  const needed = membersToBear(robust.attackers, group)
  if (sites >= needed) return
  throw new FedPlanError(
    plan.name,
    'robust.attackers',
    `takes ${needed} sites, ${group} (2 x ${robust.attackers} + 1), and there are ${sites}: more sites, fewer attackers, or "secagg":"off" with the strategy "median"`,
  )
}
