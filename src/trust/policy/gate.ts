/** What federated plans ask of a site before they begin: the site decides, no coordinator. */
import type { Role } from '../membership/index.ts'
import { PolicyRefusedError } from './errors.ts'
import type { SitePolicy } from './site.ts'
import type { Decision, PolicyRequest } from './types.ts'

export interface PlanQuestion {
  /** PeerId of the coordinator. */
  readonly coordinator: string
  readonly role?: Role | undefined
  /** Name or SHA-256. */
  readonly plan: string
  readonly model?: string | undefined
  /** Name of the data set. */
  readonly data: string
  /** Privacy loss that the whole plan would spend. */
  readonly epsilon: number
  readonly delta: number
  /** Distinct sites, and records of this site, of its smallest round. */
  readonly sites: number
  readonly records: number
}

export interface PlanGate {
  /** Before anything of a plan is done. @throws PolicyRefusedError */
  admitPlan(plan: PlanQuestion): Decision
  /** Before labelled rows go to a peer, for training over peers for one. @throws PolicyRefusedError */
  admitData(peer: string, data: string, role?: Role): Decision
}

/** @param decided told of each decision, to write it down */
export function createPlanGate(
  site: Pick<SitePolicy, 'decide'>,
  decided: (request: PolicyRequest, decision: Decision) => void,
): PlanGate {
  const ask = (request: PolicyRequest): Decision => {
    const decision = site.decide(request)
    decided(request, decision)
    if (!decision.allow) throw new PolicyRefusedError(request, decision)
    return decision
  }
  return {
    admitPlan: ({ coordinator, ...facts }) => ask({ action: 'train', peer: coordinator, ...facts }),
    admitData: (peer, data, role) => ask({ action: 'data', peer, data, role }),
  }
}
