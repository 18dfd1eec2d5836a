/** The form of a policy file. docs/policy.schema.json is made from it. */
import * as z from 'zod'
import { isPeerId } from '../identity.ts'
import { ROLES } from '../membership/index.ts'
import { EGRESS_KINDS, POLICY_ACTIONS } from './types.ts'

/** More rules than anybody reads. */
const MAX_RULES = 256
const MAX_PEERS = 1_024
const MAX_GROUPS = 64
const MAX_LIST = 64
const MAX_NOTE = 1_000

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const

const ruleName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,63}$/, 'expected a name of small letters, digits and dashes, e.g. "models-of-ours"')
  .refine((name) => !['default', 'egress', 'none'].includes(name), 'this name is taken: default, egress and none')

/** A peer by its id, or `@group`. */
const peerOrGroup = z
  .string()
  .max(128)
  .refine((text) => /^@[a-z][a-z0-9-]{0,63}$/.test(text) || isPeerId(text), 'expected a PeerId or "@group"')

const peerId = z.string().max(128).refine(isPeerId, 'expected a PeerId')

/** A name in which `*` stands for anything. */
const pattern = z.string().regex(/^[\w.:/@*-]{1,128}$/, 'expected a name; * stands for anything')
const patterns = z.array(pattern).min(1).max(MAX_LIST)
const peers = z.array(peerOrGroup).min(1).max(MAX_PEERS)
const note = z.string().max(MAX_NOTE)

const time = z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$|^24:00$/, 'expected a time of day, e.g. "08:30"')

const hours = z.strictObject({
  days: z.array(z.enum(DAYS)).min(1).optional(),
  from: time,
  to: time,
  zone: z.string().max(64).refine(isZone, 'expected a time zone, e.g. "UTC" or "Europe/Vienna"').default('UTC'),
})

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** Admins say every ten seconds that the log is the newest: a shorter time would refuse for one word that was lost. */
const MIN_AGE_MS = 30_000
const MAX_AGE_MS = 365 * UNITS['d']!

/** Milliseconds; undefined for what is no time. */
export function spanOf(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  return count === undefined ? undefined : Number(count) * UNITS[unit!]!
}

const age = z.string().refine((text) => {
  const span = spanOf(text)
  return span !== undefined && span >= MIN_AGE_MS && span <= MAX_AGE_MS
}, 'expected a time from "30s" to "365d", e.g. "1h"')

const whole = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)

const rule = z
  .strictObject({
    name: ruleName,
    note: note.optional(),
    allow: z.array(z.enum(POLICY_ACTIONS)).min(1).optional(),
    deny: z.array(z.enum(POLICY_ACTIONS)).min(1).optional(),
    peers: peers.optional(),
    roles: z.array(z.enum(ROLES)).min(1).max(ROLES.length).optional(),
    models: patterns.optional(),
    plans: patterns.optional(),
    data: patterns.optional(),
    budget: z.strictObject({ epsilon: z.number().positive(), delta: z.number().min(0).max(1).optional() }).optional(),
    minimum: z.strictObject({ sites: whole.optional(), records: whole.optional() }).optional(),
    hours: hours.optional(),
    until: z.iso.datetime({ offset: true }).optional(),
  })
  .refine(({ allow, deny }) => (allow === undefined) !== (deny === undefined), 'a rule has either "allow" or "deny"')
  .refine(
    ({ deny, budget, minimum }) => deny === undefined || (budget === undefined && minimum === undefined),
    'a budget and a minimum belong to a rule that allows',
  )

const leaves = z.union([z.literal('nothing'), peers])

export const policySchema = z.strictObject({
  $schema: z.string().max(256).optional(),
  schema: z.literal('weft.policy/1'),
  note: note.optional(),
  /** Names for lists of peers. */
  groups: z
    .record(z.string().regex(/^[a-z][a-z0-9-]{0,63}$/), z.array(peerId).max(MAX_PEERS))
    .refine((all) => Object.keys(all).length <= MAX_GROUPS, `there are more than ${MAX_GROUPS} groups`)
    .optional(),
  /** What may leave this site at all, whatever the rules say. What is not named: nothing. */
  egress: z
    .union([
      z.literal('nothing'),
      z.strictObject({
        activations: leaves.optional(),
        sums: leaves.optional(),
        updates: leaves.optional(),
        data: leaves.optional(),
      }),
    ])
    .optional(),
  /** In a cluster: so long without a word of an admin, and all is refused but asking for news. */
  max_age: age.optional(),
  rules: z.array(rule).max(MAX_RULES),
})

export type PolicyDocument = z.output<typeof policySchema>
export type PolicyRule = PolicyDocument['rules'][number]
export type PolicyHours = NonNullable<PolicyRule['hours']>
export const POLICY_DAYS: readonly string[] = DAYS

function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

/** The keys that an object of the document may have, for did-you-mean. */
export function knownKeys(path: readonly PropertyKey[]): readonly string[] {
  if (path.length === 0) return ['$schema', 'schema', 'note', 'groups', 'egress', 'max_age', 'rules']
  if (path[0] === 'egress') return EGRESS_KINDS
  if (path[0] !== 'rules') return []
  const last = path.at(-1)
  if (last === 'hours') return ['days', 'from', 'to', 'zone']
  if (last === 'budget') return ['epsilon', 'delta']
  if (last === 'minimum') return ['sites', 'records']
  return RULE_KEYS
}

const RULE_KEYS = [
  'name',
  'note',
  'allow',
  'deny',
  'peers',
  'roles',
  'models',
  'plans',
  'data',
  'budget',
  'minimum',
  'hours',
  'until',
]
