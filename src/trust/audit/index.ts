/** The audit log of a site. */
export { identifier } from './entry.ts'
export type { AuditEvent, AuditFacts, AuditResult } from './entry.ts'
export {
  AUDIT_ERRORS,
  AuditBusyError,
  AuditDamagedError,
  AuditEntryMissingError,
  AuditFileError,
  AuditHeadsDamagedError,
  AuditRolledBackError,
  AuditUnwritableError,
} from './errors.ts'
export { checkExport, exportLines, viewsOf } from './export.ts'
export type { AuditView, CheckedExport } from './export.ts'
export { auditPlaces, hasAuditHead } from './file.ts'
export type { AuditSigner } from './file.ts'
export { openAuditLog } from './log.ts'
export type { AuditLog, AuditLogNeeds } from './log.ts'
export { checkAuditFile, readAuditRows } from './verify.ts'
export type { AuditReport, AuditTrouble, CheckedAudit, WitnessedHead } from './verify.ts'
export { POLICY_IN_FORCE, POLICY_REMOVED, standingPolicy } from './standing.ts'
export { ownWitnesses, signHead, witnessedBy, Witnesses } from './witness.ts'
export type { HeadVerdict, SignedHead } from './witness.ts'
