/**
 * Asynchronous rounds (Nguyen et al., arXiv 2106.06639): one is made as soon as a cohort is ready, whoever else still trains. What comes later
 * counts in a later round, weighed down by the rounds since the model that it was trained from.
 */
import { z } from 'zod'
import { FedPlanError } from './errors.ts'
import type { FedPlan } from './schema.ts'
import { thresholdOf } from './threshold.ts'

export const bufferSchema = z.strictObject({
  /** Members whose updates make a round: K of the paper. */
  cohort: z.int().min(3).max(4096),
  /** Rounds since the model that an update was trained from, at most: an older one does not count. */
  oldest: z.int().min(1).max(1_000_000).optional(),
})

/** @throws FedPlanError */
export function checkBuffer({ buffer, strategy, privacy = 'off', clusters, minimum }: FedPlan, where: string): void {
  if (buffer === undefined) return
  const wrong = (field: string, why: string): FedPlanError => new FedPlanError(where, field, why)
  if (strategy.name !== 'fedbuff') throw wrong('buffer', 'goes with the strategy "fedbuff" alone')
  if (clusters !== undefined) throw wrong('buffer', 'does not go with "clusters", whose sums wait for each other')
  if (privacy !== 'off') {
    throw wrong('privacy', 'does not go with "buffer": an update that waits would be charged to another round')
  }
  const { sites } = minimum ?? {}
  if (sites !== undefined && sites > buffer.cohort) {
    throw wrong('buffer.cohort', `is ${buffer.cohort}, and "minimum.sites" asks for ${sites} in each sum`)
  }
}

/** Sites of which a cohort can be: of more of them it would not have the votes for a model. */
export function mostWithVotes(cohort: number): number {
  let sites = cohort
  while (thresholdOf(sites + 1) <= cohort) sites++
  return sites
}

/** @param sites that have joined. @throws FedPlanError: a cohort is too small to stand for a model, or larger than all */
export function checkCohort({ name, buffer }: FedPlan, sites: number): void {
  if (buffer === undefined) return
  const { cohort } = buffer
  const least = Math.max(3, thresholdOf(sites))
  if (cohort >= least && cohort <= sites) return
  const why =
    cohort > sites
      ? `is ${cohort}, and ${sites} sites have joined`
      : `is ${cohort}: with ${sites} sites a model takes the votes of ${least}, so that no two are made of one`
  throw new FedPlanError(name, 'buffer.cohort', why)
}
