/** Who holds whose shares in a secure sum, how many restore a secret, and how many have to sign: all of it follows from plan and members. */
import { COMPLETE } from '../secagg/graph.ts'
import type { GraphChoice } from '../secagg/graph.ts'
import { noiseRoom } from '../secagg/encoding.ts'
import { FedPlanError } from './errors.ts'
import type { JobPlan } from './job-plan.ts'
import type { FedPlan } from './schema.ts'
import type { Neighbours } from './neighbours.ts'
import { MOST_SITES } from './round-fields.ts'
import { thresholdOf } from './threshold.ts'

export interface Sharing {
  readonly graph: GraphChoice
  /** Shares that restore a secret. */
  readonly t: number
  /** Members that have to sign one set of survivors before anybody reveals a share. */
  readonly quorum: number
}

/** Up to so many a graph of all is cheap, and needs no chance. */
export const MOST_COMPLETE = 64
export const MOST_MEMBERS = MOST_SITES

/**
 * For a tenth of colluders and a tenth that is gone (reference/federated.md 4.4). With fewer members than a row says its chances are better: a
 * neighbourhood is drawn from all of them without putting back.
 */
const SPARSE: readonly (Neighbours & { readonly members: number })[] = [
  { members: 128, degree: 38, threshold: 26 },
  { members: 256, degree: 62, threshold: 43 },
  { members: 512, degree: 82, threshold: 57 },
  { members: 1024, degree: 96, threshold: 67 },
  { members: MOST_MEMBERS, degree: 122, threshold: 85 },
]

/** @param chosen by the plan, in place of what the number of members gives */
export function sharingOf(members: number, chosen?: Neighbours): Sharing {
  const quorum = thresholdOf(members)
  const sparse = chosen ?? (members > MOST_COMPLETE ? SPARSE.find((row) => members <= row.members) : undefined)
  if (sparse === undefined || sparse.degree >= members - 1) return { graph: COMPLETE, t: quorum, quorum }
  return { graph: { kind: 'regular', degree: sparse.degree }, t: sparse.threshold, quorum }
}

/** What a plan says of neighbours. */
export function neighboursOf(plan: JobPlan): Neighbours | undefined {
  if (plan.schema !== 'weft.fed-plan/1' || plan.secagg === undefined || plan.secagg === 'off') return undefined
  return plan.secagg.neighbours
}

/** @throws FedPlanError */
export function checkNeighbours(plan: FedPlan, where: string): void {
  const chosen = neighboursOf(plan)
  if (chosen === undefined) return
  if (plan.clusters !== undefined || plan.strategy.name === 'bucketed') {
    throw new FedPlanError(
      where,
      'secagg.neighbours',
      'are of one sum of all: clusters and buckets take theirs by their members',
    )
  }
  const { degree, threshold } = chosen
  const holders = degree + 1
  if (threshold > holders || 2 * threshold <= holders) {
    const why = `is ${threshold} of ${holders} who hold shares of a member, itself among them: it has to be more than half of them`
    throw new FedPlanError(where, 'secagg.neighbours.threshold', why)
  }
}

/** @throws FedPlanError: messages have no places for so many, or the sum of so many does not fit its bits */
export function checkMembers(plan: JobPlan, members: number): void {
  if (members > MOST_MEMBERS) {
    const why = `cannot be ${members}: a job has ${MOST_MEMBERS} members at most`
    throw new FedPlanError(plan.name, 'minimum.sites', why)
  }
  // Groups, buckets and clusters are of fewer; analyses and noise are looked at by themselves.
  if (plan.schema === 'weft.fed-plan/1' && plan.strategy.name !== 'bucketed' && !plan.clusters && !plan.gossip)
    checkBits(plan, plan.name, members)
}

/** @param members of the smallest sum. @throws FedPlanError: not even that one fits */
export function checkBits({ secagg = 'off' }: FedPlan, where: string, members = 3): void {
  if (secagg === 'off' || noiseRoom(members, secagg) >= 0) return
  const { bits, f, c } = secagg
  const why = `${bits} do not hold the sum of ${members} sites with "f" ${f} and "c" ${c}: raise it, or lower "f" or "c"`
  throw new FedPlanError(where, 'secagg.bits', why)
}
