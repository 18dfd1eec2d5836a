/**
 * The decision itself, a pure function. What would leave the site must be allowed to leave; then a rule that denies wins over
 * any that allows; then the first rule that allows; and what no rule allows is denied.
 */
import type { CompiledRule, Policy } from './compile.ts'
import { egressOf } from './compile.ts'
import { POLICY_DAYS } from './schema.ts'
import type { PolicyHours } from './schema.ts'
import { ACTION_TEXTS } from './types.ts'
import type { Decision, PolicyRequest } from './types.ts'

/**
 * How facts are taken that a request does not name. `exact`: no rule allows by them, and every rule denies by them.
 * `possible`: whether there is any request with these facts that would be allowed. The role is known of every peer, if only
 * that it has none: it is taken exactly either way.
 */
export type Certainty = 'exact' | 'possible'

export function decide(policy: Policy, request: PolicyRequest, now: number, certainty: Certainty = 'exact'): Decision {
  const leaves = egressOf(request)
  if (leaves !== undefined && !policy.egress[leaves].has(request.peer)) {
    const listed = policy.egress[leaves].size
    const whom = listed === 0 ? 'nobody' : `${listed} peers, and this is none of them`
    return { allow: false, rule: 'egress', why: `${leaves} may leave this site to ${whom}` }
  }
  const possible = certainty === 'possible'
  let nearest: string | undefined
  let allowed: CompiledRule | undefined
  for (const rule of policy.rules) {
    if (!rule.actions.has(request.action)) continue
    const unmet = mismatch(rule, request, now, possible === (rule.effect === 'allow'))
    if (unmet === undefined && rule.effect === 'deny')
      return { allow: false, rule: rule.name, why: `rule ${rule.name} denies it` }
    if (unmet === undefined) allowed ??= rule
    else if (rule.effect === 'allow') nearest ??= `rule ${rule.name} would allow it, but ${unmet}`
  }
  if (allowed !== undefined) return { allow: true, rule: allowed.name, why: `rule ${allowed.name} allows it` }
  const why = nearest ?? `no rule lets anybody ${ACTION_TEXTS[request.action]}`
  return { allow: false, rule: 'default', why }
}

/** Why a rule does not speak of a request; undefined: it does. @param lenient a fact that is not named fits */
function mismatch(rule: CompiledRule, request: PolicyRequest, now: number, lenient: boolean): string | undefined {
  const { budget, minimum } = rule
  const within = (value: number | undefined, limit: number | undefined): boolean =>
    limit === undefined || (value === undefined ? lenient : value <= limit)
  const atLeast = (value: number | undefined, limit: number | undefined): boolean =>
    limit === undefined || (value === undefined ? lenient : value >= limit)
  if (!fits(rule.peers, request.peer, lenient)) return 'not for this peer'
  if (!fits(rule.roles, request.role, rule.effect === 'deny')) return `not for the role ${request.role ?? '(none)'}`
  if (!matches(rule.models, request.model, lenient)) return `not for the model ${request.model ?? '(none)'}`
  if (!matches(rule.plans, request.plan, lenient)) return 'not for this plan'
  if (!matches(rule.data, request.data, lenient)) return 'not for these data'
  if (!within(request.epsilon, budget?.epsilon)) return beyond('epsilon', request.epsilon, budget?.epsilon)
  if (!within(request.delta, budget?.delta)) return beyond('delta', request.delta, budget?.delta)
  if (!atLeast(request.sites, minimum?.sites)) return `a round must have ${minimum?.sites} sites`
  if (!atLeast(request.records, minimum?.records)) return `a round must have ${minimum?.records} records of this site`
  if (rule.until !== undefined && now > rule.until) return 'its time has passed'
  if (rule.hours !== undefined && !isWithin(rule.hours, now)) return 'not at this hour'
  return undefined
}

function beyond(what: string, value: number | undefined, limit: number | undefined): string {
  return value === undefined ? `its ${what} has no bound` : `${what} is over ${limit}`
}

function fits(set: ReadonlySet<string> | undefined, value: string | undefined, lenient: boolean): boolean {
  return set === undefined || (value === undefined ? lenient : set.has(value))
}

function matches(pattern: RegExp | undefined, value: string | undefined, lenient: boolean): boolean {
  return pattern === undefined || (value === undefined ? lenient : pattern.test(value))
}

const MINUTES_A_DAY = 1_440

/** Hours that go over midnight belong to the day on which they begin. */
export function isWithin({ days, from, to, zone }: PolicyHours, now: number): boolean {
  const { day, minute } = localTime(now, zone)
  const [first, last] = [minutesOf(from), minutesOf(to)]
  const isOn = (index: number): boolean => days === undefined || days.some((name) => POLICY_DAYS[index] === name)
  if (first < last) return isOn(day) && minute >= first && minute < last
  return (isOn(day) && minute >= first) || (isOn((day + 6) % 7) && minute < last)
}

function minutesOf(time: string): number {
  const [hour = 0, minute = 0] = time.split(':').map(Number)
  return Math.min(MINUTES_A_DAY, hour * 60 + minute)
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** Day 0 is Monday. */
function localTime(now: number, zone: string): { readonly day: number; readonly minute: number } {
  const options = { timeZone: zone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const
  const format = formats.get(zone) ?? new Intl.DateTimeFormat('en-US', options)
  formats.set(zone, format)
  const parts = new Map(format.formatToParts(now).map(({ type, value }) => [type, value]))
  const day = POLICY_DAYS.indexOf((parts.get('weekday') ?? '').toLowerCase())
  return { day, minute: Number(parts.get('hour')) * 60 + Number(parts.get('minute')) }
}
