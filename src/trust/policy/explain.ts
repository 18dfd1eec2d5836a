/** A policy in sentences, for whoever answers for it. */
import { ACTION_TEXTS, EGRESS_KINDS, POLICY_ACTIONS } from './types.ts'
import type { Decision, EgressKind, PolicyAction, PolicyRequest } from './types.ts'
import type { CompiledRule, Policy } from './compile.ts'
import { decide } from './decide.ts'

export interface PolicyExplanation {
  readonly sha256: string | null
  /** How long the membership of a cluster is believed without a word of an admin; null: for ever. */
  readonly max_age: { readonly ms: number; readonly text: string } | null
  /** What may leave, and to how many. */
  readonly egress: readonly { readonly kind: EgressKind; readonly peers: readonly string[]; readonly text: string }[]
  readonly actions: readonly {
    readonly action: PolicyAction
    readonly text: string
    /** What goes before the rules, whoever they name: `egress` has the first word. Null: nothing leaves by it. */
    readonly only: string | null
    readonly rules: readonly { readonly name: string; readonly effect: 'allow' | 'deny'; readonly text: string }[]
  }[]
}

const LEAVES: Readonly<Record<EgressKind, string>> = {
  activations: 'activations of prompts (whoever holds a stage of them can read the prompt, or nearly so)',
  sums: 'updates of federated plans, masked so that only their sum is known, with noise as the plan says',
  updates: 'updates of federated plans in clear (whoever aggregates sees each of them)',
  data: 'labelled data',
}

/** What may leave by an action, one or the other. */
const LEAVES_BY: Readonly<Partial<Record<PolicyAction, readonly EgressKind[]>>> = {
  route: ['activations'],
  train: ['sums', 'updates'],
  data: ['data'],
}

export function explainPolicy(policy: Policy): PolicyExplanation {
  return {
    sha256: policy.sha256,
    max_age: ageOf(policy),
    egress: EGRESS_KINDS.map((kind) => {
      const peers = [...policy.egress[kind]]
      const whom = peers.length === 0 ? 'to nobody' : `to ${peers.length === 1 ? 'one peer' : `${peers.length} peers`}`
      return { kind, peers, text: `${LEAVES[kind]}: ${whom}` }
    }),
    actions: POLICY_ACTIONS.map((action) => ({
      action,
      text: ACTION_TEXTS[action],
      only: onlyText(policy, action),
      rules: policy.rules
        .filter(({ actions }) => actions.has(action))
        .map((rule) => ({ name: rule.name, effect: rule.effect, text: ruleText(rule) })),
    })),
  }
}

function ageOf({ maxAge, document }: Policy): PolicyExplanation['max_age'] {
  if (maxAge === undefined) return null
  const text = `${document.max_age} without a word of an admin of the cluster: then all is refused but asking for news`
  return { ms: maxAge, text }
}

function onlyText({ egress }: Policy, action: PolicyAction): string | null {
  const kinds = LEAVES_BY[action]
  if (kinds === undefined) return null
  if (kinds.some((kind) => egress[kind].size > 0)) return 'of those that it may leave to'
  return 'nobody, since nothing of it may leave; a rule would allow'
}

/** What one peer may do, as far as that can be said without knowing the model or the plan. */
export function explainPeer(
  policy: Policy,
  { peer, role }: Pick<PolicyRequest, 'peer' | 'role'>,
  now: number,
): readonly { readonly action: PolicyAction; readonly decision: Decision }[] {
  return POLICY_ACTIONS.map((action) => ({ action, decision: decide(policy, { action, peer, role }, now, 'possible') }))
}

function ruleText({ peers, roles, models, plans, data, budget, minimum, hours, until }: CompiledRule): string {
  const list = (values: ReadonlySet<string>): string => [...values].join(' or ')
  const parts = [
    peers === undefined ? 'any peer' : peers.size === 1 ? 'one peer' : `${peers.size} peers`,
    ...(roles === undefined ? [] : [`in the role ${list(roles)}`]),
    ...(models === undefined ? [] : [`models like ${shown(models)}`]),
    ...(plans === undefined ? [] : [`plans like ${shown(plans)}`]),
    ...(data === undefined ? [] : [`data sets like ${shown(data)}`]),
    ...(budget === undefined ? [] : [`epsilon up to ${budget.epsilon}`]),
    ...(minimum?.sites === undefined ? [] : [`${minimum.sites} sites or more`]),
    ...(minimum?.records === undefined ? [] : [`${minimum.records} records or more`]),
    ...(hours === undefined
      ? []
      : [`${hours.days?.join(', ') ?? 'every day'} ${hours.from} to ${hours.to} ${hours.zone}`]),
    ...(until === undefined ? [] : [`until ${new Date(until).toISOString()}`]),
  ]
  return parts.join(', ')
}

function shown(pattern: RegExp): string {
  return pattern.source.slice(4, -2).replaceAll('.*', '*').replaceAll('\\', '').replaceAll('|', ' or ')
}

/** What a holder of a stage of a prompt could learn; the same words wherever it is asked. */
export const STAGE_HOLDER_LEARNS =
  'A peer that holds a stage sees the activations of its blocks for every token, and can turn them back into the prompt and ' +
  'the answer, or nearly so, whatever the precision. It does not see who asked beyond the PeerId of the origin.'
