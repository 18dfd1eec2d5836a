/** Why the audit log of a site is not written, or not believed. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorFacts, ErrorInfo } from '../../errors.ts'

export class AuditDamagedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-080',
    title: 'Audit log damaged',
    meaning:
      'The audit log does not hold together: an entry was edited, removed, put elsewhere, or signed by another key.',
    remedy:
      'Keep the files as evidence. A new identity begins a new log: move state/audit.db and keys/audit.anchor away with the old key. weft audit verify names the entry; weft backup restore brings back an older log; docs/security/runbooks.md says what to do.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(AuditDamagedError.info, message, facts)
  }
}

export class AuditRolledBackError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-081',
    title: 'Audit log rolled back',
    meaning: 'The audit log is shorter than its anchor, or than what other peers saw of it: entries are missing.',
    remedy:
      'Put the newest log back. If it is lost, keep what is there as evidence, and begin a new one by moving state/audit.db and keys/audit.anchor away.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(AuditRolledBackError.info, message, facts)
  }
}

export class AuditUnwritableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-082',
    title: 'Audit log not writable',
    meaning: 'An entry could not be written down: the disk is full, or the file may not be written.',
    remedy:
      'Free space, or look at the owner and mode of the file and its folder. What waits is written when there is room.',
    exit: EXIT.noResources,
    http: 507,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(AuditUnwritableError.info, message, facts)
  }
}

export class AuditBusyError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-083',
    title: 'Audit log busy',
    meaning: 'Another process of this home holds the audit log for longer than an entry takes.',
    remedy: 'Look for a stopped or frozen process of the same mesh home, and end it.',
    exit: EXIT.noResources,
    http: 503,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(AuditBusyError.info, message, facts)
  }
}

export class AuditEntryMissingError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-084',
    title: 'No such audit entry',
    meaning: 'The audit log has no entry of that number.',
    remedy: 'weft audit tail shows the last ones.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(seq: number, entries: number) {
    super(AuditEntryMissingError.info, `there is no entry ${seq}: the audit log has ${entries}`, {
      details: { seq, entries },
    })
  }
}

export class AuditFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-085',
    title: 'No audit export',
    meaning: 'A file that was to be verified is no export and no proof of an audit log.',
    remedy: 'Give a file that weft audit export or weft audit prove has written.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(why: string) {
    super(AuditFileError.info, `that is no export of an audit log: ${why}`, { why })
  }
}

export class AuditHeadsDamagedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-086',
    title: 'What was seen of other audit logs is damaged',
    meaning:
      'The file with heads of the audit logs of others cannot be read. It was put aside, and heads are kept anew from now on: of what was seen before, only peers with a whole file can tell that a log was written anew.',
    remedy: 'Put state/audit-heads.json back from a backup while the peer is stopped, or let it be.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(path: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super(AuditHeadsDamagedError.info, `what was seen of the audit logs of others is damaged, and lies in ${path}`, {
      why,
      details: { path },
      cause,
    })
  }
}

export const AUDIT_ERRORS: readonly ErrorInfo[] = [
  AuditDamagedError.info,
  AuditRolledBackError.info,
  AuditUnwritableError.info,
  AuditBusyError.info,
  AuditEntryMissingError.info,
  AuditFileError.info,
  AuditHeadsDamagedError.info,
]
