/** What a policy is asked, and what it answers. */
import type { Role } from '../membership/index.ts'

/** Each is something that another peer asks of this one, or that this one would send to another. */
export const POLICY_ACTIONS = ['connect', 'relay', 'place', 'compute', 'fetch', 'route', 'train', 'data'] as const
export type PolicyAction = (typeof POLICY_ACTIONS)[number]

/** What the actions mean, for people. */
export const ACTION_TEXTS: Readonly<Record<PolicyAction, string>> = {
  connect: 'join with this peer',
  relay: 'have its traffic carried by this peer',
  place: 'have stages of a model loaded here',
  compute: 'have its sessions computed here',
  fetch: 'fetch files of models from here',
  route: 'be sent activations of prompts of this peer',
  train: 'coordinate or aggregate a federated plan that this site takes part in',
  data: 'be sent labelled data',
}

/** What of this site's own leaves it with an action. The others send nothing that was said or measured here. */
export const EGRESS_KINDS = ['activations', 'sums', 'updates', 'data'] as const
export type EgressKind = (typeof EGRESS_KINDS)[number]

export interface PolicyRequest {
  readonly action: PolicyAction
  /** PeerId of the other side. */
  readonly peer: string
  /** By the membership; undefined where there is none, and of who is no member. */
  readonly role?: Role | undefined
  readonly model?: string | undefined
  /** Name of a federated plan. */
  readonly plan?: string | undefined
  /** Name of a data set of this site. */
  readonly data?: string | undefined
  /** Privacy loss that the whole plan would spend. */
  readonly epsilon?: number | undefined
  readonly delta?: number | undefined
  /** False: whoever aggregates the plan sees what this site adds to a sum. @default true */
  readonly masked?: boolean | undefined
  /** Distinct sites of a round, and records of this site in it. */
  readonly sites?: number | undefined
  readonly records?: number | undefined
}

export interface Decision {
  readonly allow: boolean
  /** Name of the rule that decided; `default`: none allowed it; `egress`: it would leave; `none`: there is no policy. */
  readonly rule: string
  readonly why: string
}
