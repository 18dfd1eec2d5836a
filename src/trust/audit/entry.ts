/**
 * An entry of the audit log: who did what, to what, with what result, by which rule. Its text is hashed by itself, and the
 * chain goes over that hash: so one entry can be shown, with proof, without showing the others. Each text has a random part:
 * identifiers are so few that without one whoever has the hash could try them all.
 *
 * Nothing in it is prose. Each text is an identifier (a peer, a key, a model, a rule, a code); what is not one is replaced by
 * its hash, so that neither a prompt nor a path nor a name of a person comes in by carelessness.
 */
import { createHash } from 'node:crypto'
import * as z from 'zod'
import type { ChainFacts, ChainKind, ChainLink, ChainTrouble } from '../../store/index.ts'
import { canonicalJson } from '../../util/index.ts'
import { AuditBusyError, AuditDamagedError, AuditRolledBackError, AuditUnwritableError } from './errors.ts'

/** Of one identifier: a PeerId has 52 characters, a model's name 128. */
const MAX_IDENTIFIER = 160
/** Facts of an entry: a few counts and codes. */
const MAX_FACTS = 12
/** Of the random part, bytes: nobody tries 2^128. */
export const SALT_BYTES = 16
/** No blanks, no slashes (paths), and nothing that begins like a key of the API. */
const IDENTIFIER = new RegExp(`^(?!wk_)[\\w.:@+-]{1,${MAX_IDENTIFIER}}$`)

export const AUDIT_RESULTS = ['ok', 'allowed', 'refused', 'failed'] as const
export type AuditResult = (typeof AUDIT_RESULTS)[number]

export type AuditFacts = Readonly<Record<string, string | number | boolean>>

export interface AuditEvent {
  /** `owner` (whoever may use this machine's socket and files), `weft` itself, `peer:ID`, `key:ID`. */
  readonly who: string
  /** What docs/audit-log.md lists: `deploy`, `policy.apply`, `session`, ... */
  readonly what: string
  readonly target?: string | undefined
  readonly result: AuditResult
  /** Of the policy, where one decided. */
  readonly rule?: string | undefined
  readonly facts?: AuditFacts | undefined
}

const identifierSchema = z.string().regex(IDENTIFIER)
const what = z.string().regex(/^[a-z]{2,20}(?:\.[a-z-]{2,20})?$/)

const contentSchema = z.strictObject({
  who: identifierSchema,
  what,
  target: identifierSchema.optional(),
  result: z.enum(AUDIT_RESULTS),
  rule: identifierSchema.optional(),
  facts: z
    .record(z.string().regex(/^[a-z][a-z0-9_]{0,31}$/), z.union([identifierSchema, z.number(), z.boolean()]))
    .refine((facts) => Object.keys(facts).length <= MAX_FACTS)
    .optional(),
  /** Logs that were begun before entries had one keep those that have none. */
  salt: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional(),
})

export type AuditContent = z.infer<typeof contentSchema>

const linkSchema = z.strictObject({
  seq: z.number().int().positive(),
  previous: z.string().regex(/^[0-9a-f]{64}$/),
  wall: z.number(),
  /** SHA-256 of the entry's text. */
  content: z.string().regex(/^[0-9a-f]{64}$/),
  /** Written while the key was locked: it alone may have no signature. */
  locked: z.literal(true).optional(),
})

export type AuditLink = ChainLink & { readonly content: string; readonly locked?: true | undefined }

const ERRORS = {
  damaged: AuditDamagedError,
  'rolled back': AuditRolledBackError,
  unwritable: AuditUnwritableError,
  busy: AuditBusyError,
} as const

export const AUDIT_CHAIN: ChainKind<AuditLink> = {
  noun: 'audit log',
  entryDomain: 'weft audit log/1\n',
  headDomain: 'weft audit log head/1\n',
  check: (value) => {
    const parsed = linkSchema.safeParse(value)
    return parsed.success ? parsed.data : undefined
  },
  isUnsigned: ({ locked }) => locked === true,
  error: (trouble: ChainTrouble, message: string, facts: ChainFacts) => new ERRORS[trouble](message, facts),
}

/** The text itself where it is an identifier, else the beginning of its hash. */
export function identifier(text: string): string {
  if (IDENTIFIER.test(text)) return text
  return `sha256:${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
}

/** The text of an entry, as it is hashed and kept. @param salt fresh for each, SALT_BYTES */
export function contentOf({ who, what: deed, target, result, rule, facts }: AuditEvent, salt: Uint8Array): string {
  const kept = Object.entries(facts ?? {})
    .slice(0, MAX_FACTS)
    .map(([key, value]) => [key, typeof value === 'string' ? identifier(value) : value] as const)
  return canonicalJson({
    who: identifier(who),
    what: deed,
    target: target === undefined ? undefined : identifier(target),
    result,
    rule: rule === undefined ? undefined : identifier(rule),
    facts: kept.length === 0 ? undefined : Object.fromEntries(kept),
    salt: Buffer.from(salt).toString('hex'),
  })
}

export function contentHash(text: string): string {
  return createHash('sha256').update('weft audit entry/1\n').update(text).digest('hex')
}

/** Undefined: not the text of an entry. */
export function readContent(text: string): AuditContent | undefined {
  try {
    const parsed = contentSchema.safeParse(JSON.parse(text))
    return parsed.success ? parsed.data : undefined
  } catch {
    return undefined
  }
}
