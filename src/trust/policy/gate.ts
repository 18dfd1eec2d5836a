/** What federated plans ask of a site before they begin: the site decides, no coordinator. */
import { PolicyRefusedError } from './errors.ts'
import type { SitePolicy } from './site.ts'
import type { Decision, PolicyRequest } from './types.ts'

export interface PlanQuestion {
  readonly plan: string
  readonly model?: string | undefined
  /** Name of the data set. */
  readonly data: string
  /** Privacy loss that the whole plan would spend; undefined: nothing bounds it. */
  readonly epsilon?: number | undefined
  readonly delta?: number | undefined
  /** Whether only the sum is known to who aggregates. */
  readonly masked: boolean
  /** Distinct sites, and records of this site, of its smallest round. */
  readonly sites: number
  readonly records: number
}

export interface PlanGate {
  /** Before anything of a plan is done: whether this peer may coordinate it. @throws PolicyRefusedError */
  admitPlan(coordinator: string, plan: PlanQuestion): Decision
  /** Before a round: everybody who may be sent sums of this site. @throws PolicyRefusedError for the first who may not */
  admitRound(peers: readonly string[], plan: PlanQuestion): void
  /** Before labelled rows go to a peer, for training over peers for one. @throws PolicyRefusedError */
  admitData(peer: string, data: string): Decision
}

/**
 * @param decided told of each decision, to write it down
 * @param probed told of what was refused to somebody who had asked for it: not of rounds, which a site asks about by itself
 */
export function createPlanGate(
  site: Pick<SitePolicy, 'decide'>,
  decided: (request: PolicyRequest, decision: Decision) => void,
  probed: (peer: string) => void = () => undefined,
): PlanGate {
  const ask = (request: PolicyRequest): Decision => {
    const decision = site.decide(request)
    decided(request, decision)
    if (!decision.allow) throw new PolicyRefusedError(request, decision)
    return decision
  }
  const asked = (request: PolicyRequest): Decision => {
    try {
      return ask(request)
    } catch (error) {
      probed(request.peer)
      throw error
    }
  }
  return {
    admitPlan: (peer, plan) => asked({ action: 'train', peer, ...plan }),
    admitRound: (peers, plan) => {
      for (const peer of peers) ask({ action: 'train', peer, ...plan })
    },
    admitData: (peer, data) => asked({ action: 'data', peer, data }),
  }
}
