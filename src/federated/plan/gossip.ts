/** Gossip: each site has a model of its own, and in each round small groups mix theirs, each by a secure sum of its members or not at all. */
import { z } from 'zod'
import { FedPlanError } from './errors.ts'
import type { FedPlan } from './schema.ts'

export const gossipSchema = z.strictObject({
  /** Members of a group, at least. */
  group: z.int().min(3).max(64),
})

const STRATEGIES: readonly string[] = ['fedavg', 'fedprox']

/** @throws FedPlanError */
export function checkGossip(plan: FedPlan, where: string): void {
  const { gossip, secagg = 'off', privacy = 'off', strategy, minimum } = plan
  if (gossip === undefined) return
  const wrong = (field: string, why: string): FedPlanError => new FedPlanError(where, field, why)
  if (secagg === 'off') throw wrong('secagg', 'is off, and a gossip group is summed securely or not at all')
  if (secagg.neighbours !== undefined) throw wrong('secagg.neighbours', 'are of one sum of all, and gossip has groups')
  if (!STRATEGIES.includes(strategy.name)) {
    throw wrong('strategy.name', `"${strategy.name}" is of one common model: gossip goes with ${STRATEGIES.join(', ')}`)
  }
  if ((strategy['server_lr'] ?? 1) !== 1) throw wrong('strategy.server_lr', 'is 1 where models are mixed')
  if (privacy !== 'off')
    throw wrong('privacy', 'does not go with "gossip": noise of a group that is left out is not accounted for')
  for (const field of ['clusters', 'compression', 'personal', 'ditto', 'transcripts'] as const)
    if (plan[field] !== undefined) throw wrong(field, 'does not go with "gossip"')
  if (minimum?.sites !== undefined && minimum.sites > gossip.group) {
    throw wrong('gossip.group', `is ${gossip.group}, and "minimum.sites" asks for ${minimum.sites} in each sum`)
  }
}

/** @param sites that have joined. @throws FedPlanError */
export function checkGossipSites({ name, gossip }: FedPlan, sites: number): void {
  if (gossip === undefined || sites >= gossip.group) return
  throw new FedPlanError(name, 'gossip.group', `is ${gossip.group}, and ${sites} sites have joined`)
}
