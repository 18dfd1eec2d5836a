/** A policy made ready to decide: groups resolved, patterns compiled. */
import { EGRESS_KINDS } from './types.ts'
import type { EgressKind, PolicyAction, PolicyRequest } from './types.ts'
import { spanOf } from './schema.ts'
import type { PolicyDocument, PolicyHours, PolicyRule } from './schema.ts'

export interface CompiledRule {
  readonly name: string
  readonly effect: 'allow' | 'deny'
  readonly actions: ReadonlySet<PolicyAction>
  /** Undefined, here and below: whatever it is. */
  readonly peers: ReadonlySet<string> | undefined
  readonly roles: ReadonlySet<string> | undefined
  readonly models: RegExp | undefined
  readonly plans: RegExp | undefined
  readonly data: RegExp | undefined
  readonly budget: PolicyRule['budget']
  readonly minimum: PolicyRule['minimum']
  readonly hours: PolicyHours | undefined
  /** Milliseconds since 1970. */
  readonly until: number | undefined
}

export interface Policy {
  /** Of the text of its file. */
  readonly sha256: string
  readonly document: PolicyDocument
  readonly rules: readonly CompiledRule[]
  /** To whom something of a kind may leave. */
  readonly egress: Readonly<Record<EgressKind, ReadonlySet<string>>>
  /** Milliseconds after which a membership that no admin has confirmed is not believed; undefined: never. */
  readonly maxAge: number | undefined
}

export function compilePolicy(document: PolicyDocument, sha256: string): Policy {
  const groups = document.groups ?? {}
  const resolve = (names: readonly string[]): ReadonlySet<string> =>
    new Set(names.flatMap((name) => (name.startsWith('@') ? (groups[name.slice(1)] ?? []) : [name])))
  const leaving = (kind: EgressKind): ReadonlySet<string> => {
    const named = typeof document.egress === 'object' ? document.egress[kind] : undefined
    return named === undefined || named === 'nothing' ? new Set() : resolve(named)
  }
  return {
    sha256,
    document,
    maxAge: document.max_age === undefined ? undefined : spanOf(document.max_age),
    rules: document.rules.map((rule) => ({
      name: rule.name,
      effect: rule.allow === undefined ? 'deny' : 'allow',
      actions: new Set(rule.allow ?? rule.deny ?? []),
      peers: rule.peers === undefined ? undefined : resolve(rule.peers),
      roles: rule.roles === undefined ? undefined : new Set(rule.roles),
      models: patternOf(rule.models),
      plans: patternOf(rule.plans),
      data: patternOf(rule.data),
      budget: rule.budget,
      minimum: rule.minimum,
      hours: rule.hours,
      until: rule.until === undefined ? undefined : Date.parse(rule.until),
    })),
    egress: Object.fromEntries(EGRESS_KINDS.map((kind) => [kind, leaving(kind)])) as Policy['egress'],
  }
}

/** What would leave; undefined: nothing of this site's own. */
export function egressOf({ action, masked }: PolicyRequest): EgressKind | undefined {
  if (action === 'route') return 'activations'
  if (action === 'train') return masked === false ? 'updates' : 'sums'
  return action === 'data' ? 'data' : undefined
}

function patternOf(patterns: readonly string[] | undefined): RegExp | undefined {
  if (patterns === undefined) return undefined
  const parts = patterns.map((text) =>
    text
      .split(/\*+/)
      .map((piece) => piece.replaceAll(/[.*+?^${}()|[\]\\/-]/g, '\\$&'))
      .join('.*'),
  )
  return new RegExp(`^(?:${parts.join('|')})$`, 's')
}
