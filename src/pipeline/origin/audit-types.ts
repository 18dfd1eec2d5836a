/** Checks of stages that others compute: what is asked for, and what comes of them. */
import type { RouteSegment } from './route.ts'

/** A peer that could compute a segment again. */
export interface AuditorChoice {
  readonly peer: string
  /** Lower ones are asked first; among equals chance decides, so that nobody knows who it will be. */
  readonly level: number
}

export interface SessionAudit {
  /** `hold`: tokens are given when what they came from has been checked. */
  readonly mode: 'sample' | 'hold'
  /** Type of the rows between stages. */
  readonly boundary: 'f16' | 'f32'
  /** Chance of a row of a stage that a check follows it, 0 to 1. */
  readonly rate: number
  /** Who could compute these blocks again, but for `exclude`. */
  auditors(segment: RouteSegment, exclude: ReadonlySet<string>): readonly AuditorChoice[]
  /** Somebody has signed what is not so. */
  convict(evidence: AuditEvidence): void
  count(name: 'audits' | 'audited_rows' | 'audit_mismatches', by: number): void
  skipped(reason: AuditSkip): void
}

/** Why a check was not made. */
export type AuditSkip = 'nobody' | 'refused' | 'lost' | 'moved' | 'disputed'

/** What a peer signed and others do not find: enough for anybody who has the rows before it to compute it again. */
export interface AuditEvidence {
  readonly peer: string
  /** `rows`: not what others compute of the same input; `input`: not what it was sent; `account`: as auditor. */
  readonly reason: 'rows' | 'input' | 'account'
  readonly origin: string
  readonly session: number
  readonly attempt: number
  readonly model: string
  readonly from: number
  readonly to: number
  readonly position: number
  readonly count: number
  /** Hexadecimal: the chain over its input, the digest of its output, its signature over all of this. */
  readonly input: string
  readonly output: string
  readonly kernel: string
  readonly signature: string
  /** What others have in the place of `output` (or of `input`), and who. */
  readonly expected: string
  readonly by: readonly string[]
}

/** What a reader is told. */
export interface AuditNews {
  /** `lie`: proven; `disputed`: two accounts, and nobody to decide: replaced, not quarantined. */
  readonly verdict: 'lie' | 'disputed'
  readonly peer: string
  readonly from: number
  readonly to: number
  /** The first row that was found wrong; the tokens that were given already and came of it, or after it. */
  readonly position: number
  readonly affected: number
  readonly why: string
}

export type Verdict =
  | { readonly kind: 'clear' }
  /** The check was not made. `silent`: who has not answered. */
  | { readonly kind: 'skipped'; readonly reason: AuditSkip; readonly why: string; readonly silent?: RouteSegment }
  | { readonly kind: 'lie'; readonly position: number; readonly evidence: AuditEvidence }
  /** `by`: whose rows they are, or who should be able to show whose they are. */
  | { readonly kind: 'disputed'; readonly position: number; readonly by: RouteSegment; readonly why: string }
