/** What a request of this peer has checked of the stages that others compute, and what follows from a lie. */
import type { ModelManifest } from '../models/index.ts'
import type { AuditMode, GenerateRequest, SessionAudit } from '../pipeline/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { OptionError } from './errors.ts'
import type { Replacements } from './failover.ts'
import type { Quarantine } from './quarantine.ts'
import type { PeerEvent } from './types.ts'

/** Of 64 rows, one at least is followed by a check with a chance of 0.96. */
export const AUDIT_RATE = 0.05

export interface AuditWishes {
  /** Whether what other peers compute is checked; `hold`: before a token is given. @default the peer's own */
  readonly audit?: AuditMode
  /** Of `sample`: chance of a row of a stage that a check follows it, 0 to 1. @default the peer's own, 0.05 */
  readonly auditRate?: number
}

export interface AuditDefaults {
  readonly mode: AuditMode
  readonly rate: number | undefined
}

export interface AuditNeeds {
  readonly telemetry: Pick<Telemetry, 'count'>
  readonly replacements: Pick<Replacements, 'auditors'>
  readonly quarantine: Quarantine
  readonly audit: AuditDefaults
  readonly emit: (event: PeerEvent['event'], data: PeerEvent['data']) => void
}

/** Undefined: nothing is checked. @param allowed peers that may see the request's rows; undefined: all */
export function sessionAudit(
  { telemetry, replacements, quarantine, audit, emit }: AuditNeeds,
  manifest: ModelManifest,
  request: Pick<GenerateRequest, 'audit' | 'auditRate'>,
  allowed: ReadonlySet<string> | undefined,
): SessionAudit | undefined {
  const mode = request.audit ?? audit.mode
  if (mode === 'off') return undefined
  return {
    mode,
    rate: request.auditRate ?? audit.rate ?? AUDIT_RATE,
    boundary: manifest.boundary,
    auditors: (segment, exclude) => {
      const isHead = segment.to === manifest.blocks.length
      const choices = replacements.auditors(manifest, segment, exclude, isHead)
      return choices.filter(({ peer }) => allowed === undefined || allowed.has(peer))
    },
    convict: (evidence) => {
      if (!quarantine.isListed(evidence.peer)) telemetry.count('peers_quarantined')
      quarantine.add(evidence)
      emit('peer.quarantined', { ...evidence })
    },
    count: (name, by) => telemetry.count(name, by),
    skipped: (reason) => telemetry.count('audit_skipped', 1, { reason }),
  }
}

/** @throws OptionError */
export function auditMode(mode: AuditMode): AuditMode {
  if (['off', 'sample', 'hold'].includes(mode)) return mode
  throw new OptionError('audit', `off, sample or hold is needed, not ${mode}`)
}

/** What a program asks for, looked at. @throws OptionError */
export function auditWishes({ audit, auditRate }: AuditWishes): Pick<GenerateRequest, 'audit' | 'auditRate'> {
  if (auditRate !== undefined && !(auditRate >= 0 && auditRate <= 1))
    throw new OptionError('auditRate', `a number from 0 to 1 is needed, not ${auditRate}`)
  return {
    ...(audit === undefined ? {} : { audit: auditMode(audit) }),
    ...(auditRate === undefined ? {} : { auditRate }),
  }
}
