/** What a site's own policy is asked, in the words of a plan: before it joins one, and before each of its rounds. */
import type { CheckedData } from './check-data.ts'
import { checkData } from './check-data.ts'
import type { Join, Offer } from './documents.ts'
import type { JobFolder } from './job-folder.ts'
import { RoleError } from '../../trust/index.ts'
import { JobStateError, PlanChangedError } from '../plan/errors.ts'
import { planHash } from '../plan-hash.ts'
import type { FederationNeeds } from './needs.ts'
import { leavesExactStatistics } from '../plan/bounded-statistics.ts'
import { isAnalysis } from '../plan/job-plan.ts'
import type { JobPlan } from '../plan/job-plan.ts'
import { minimumOf } from '../plan/train-plan.ts'
import { leastOfGroup } from '../plan/cohort.ts'
import type { JobView } from '../rounds/job-view.ts'

export interface TakingPart {
  readonly when: 'join' | 'round'
  /** PeerIds of who may be sent sums of this site: the plan's author, and from the start on every member, since any may aggregate. */
  readonly peers: readonly string[]
  /** Name of the plan. */
  readonly plan: string
  /** Name of the data in the ledger. */
  readonly data: string
  /** Privacy loss of the whole plan; undefined: the plan does not bound it. */
  readonly epsilon?: number | undefined
  readonly delta?: number | undefined
  /** Whether only the sum is known to who aggregates. */
  readonly masked: boolean
  /** Distinct sites of its smallest sum, and records of this site. */
  readonly sites: number
  readonly records: number
}

/** @throws what reading the data throws, and what the site's policy refuses with */
export async function admittedData(
  needs: Pick<FederationNeeds, 'base' | 'clock' | 'engine' | 'permit'>,
  root: string,
  { author, plan }: Pick<Offer, 'author'> & { readonly plan: JobPlan },
  path: string,
  signal?: AbortSignal,
): Promise<CheckedData> {
  const data = await checkData(needs, root, plan, path, signal)
  const { dataset, records } = data
  const sites = leastMembers(plan)
  needs.permit({ when: 'join', peers: [author], plan: plan.name, data: dataset, ...termsOf(plan), sites, records })
  return data
}

/** @throws RoleError, MembershipStaleError: the membership does not admit this peer, or another, to federations */
export function checkRole(
  { identity, admits, refusal }: Pick<FederationNeeds, 'identity' | 'admits' | 'refusal'>,
  peer = identity.id,
): void {
  if (!admits(peer)) throw refusal?.(peer) ?? new RoleError(peer, 'federate')
}

/** Who would be in the roster if the job began now. @throws JobStateError: too few */
export function enoughJoins({ id, joins, offer }: JobFolder, admits: (peer: string) => boolean): Join[] {
  const admitted = [...joins.values()].filter(({ peer }) => admits(peer))
  const least = offer.plan.minimum?.sites ?? 3
  if (admitted.length < least) throw new JobStateError(id, `${admitted.length} of at least ${least} sites have joined`)
  return admitted
}

export function partInRound(author: string, view: JobView, data: string, records: number): TakingPart {
  const { plan, members, peers, leastInSum } = view
  const sites = leastSites(
    members.map(({ site }) => site),
    leastInSum,
  )
  const all = [...new Set([author, ...peers])]
  return { when: 'round', peers: all, plan: plan.name, data, ...termsOf(plan), sites, records }
}

/**
 * Noise that a plan sets by itself may cost more than the epsilon that it names, and statistics that leave exactly are not
 * covered by it: then nothing bounds what the plan tells.
 */
function termsOf(plan: JobPlan): Pick<TakingPart, 'epsilon' | 'delta' | 'masked'> {
  const { privacy = 'off' } = plan
  const masked = isMasked(plan)
  if (privacy === 'off' || privacy.noise_multiplier !== undefined) return { masked }
  if (!isAnalysis(plan) && leavesExactStatistics(plan)) return { masked }
  return { masked, epsilon: privacy.epsilon, delta: privacy.delta }
}

/** Members of the smallest sum that the plan could have: secure sums are of three at least. */
function leastMembers(plan: JobPlan): number {
  const { sites } = minimumOf(plan)
  if (!isAnalysis(plan) && plan.strategy.name === 'bucketed') return leastOfGroup(Number(plan.strategy['group']))
  if (!isAnalysis(plan) && plan.gossip !== undefined) return Math.max(leastOfGroup(plan.gossip.group), sites)
  return isMasked(plan) ? Math.max(3, sites) : sites
}

function isMasked(plan: JobPlan): boolean {
  return isAnalysis(plan) || (plan.secagg !== undefined && plan.secagg !== 'off')
}

/** Distinct sites that are left at least when only so many members are. @param names of each member's site */
export function leastSites(names: readonly string[], members: number): number {
  const sizes = [...new Set(names)].map((name) => names.filter((each) => each === name).length).sort((a, b) => b - a)
  let left = members
  return sizes.filter((size) => {
    const isNeeded = left > 0
    left -= size
    return isNeeded
  }).length
}

/** @throws PlanChangedError: what is about to be carried out is not what somebody here has said yes to */
export function checkApproval({ offer, site, id }: JobFolder): void {
  const found = Buffer.from(planHash(offer.plan)).toString('hex')
  if (site.approved?.plan_hash !== found) throw new PlanChangedError(id, site.approved?.plan_hash, found)
  if (site.stopped !== null) throw new JobStateError(id, `it was stopped here: ${site.stopped}`)
}
