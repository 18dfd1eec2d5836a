/** Why a backup is not kept for somebody, or elsewhere. */
import { EXIT, ForwardedError, WeftError } from '../../errors.ts'
import type { ErrorData, ErrorInfo } from '../../errors.ts'
import { BACKUP_ERRORS } from '../../store/index.ts'

export class BackupNotKeptError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-CFG-013',
    title: 'No backups are kept for this peer',
    meaning: 'A peer keeps backups of those alone for whom a person there has said so.',
    remedy: 'There: weft backup keep PEER --limit 1GB. Or name another peer.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(peer: string) {
    super(BackupNotKeptError.info, `no backups are kept for ${peer}`, { details: { peer } })
  }
}

export class KeepingFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-CFG-014',
    title: 'Whose backups are kept cannot be read',
    meaning: 'The file that says for whom this home keeps backups is damaged or unreadable; nothing is kept meanwhile.',
    remedy: 'Move it away, and say it again with weft backup keep PEER. What is kept already stays where it is.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(path: string, why: string) {
    super(KeepingFileError.info, `${path} cannot be used`, { why, details: { path } })
  }
}

export class BackupClaimError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-CFG-015',
    title: 'The backup is not given to this peer',
    meaning:
      'A backup that is kept for another identity goes to a member of the cluster alone that knows the passphrase of the backup.',
    remedy: 'Is it the passphrase of the backup, and this the keeper? --of PEER names the identity that was lost.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(why: string) {
    super(BackupClaimError.info, 'the backup is not given to this peer', { why })
  }
}

export class BackupGuessesError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-CFG-016',
    title: 'Too many passphrases were tried',
    meaning: 'A peer has claimed backups with wrong passphrases as often as it may within an hour.',
    remedy: 'Try again in an hour, with the right one.',
    exit: EXIT.denied,
    http: 429,
    retryable: true,
  }
  constructor(peer: string) {
    super(BackupGuessesError.info, `${peer} has tried too many passphrases`, { details: { peer } })
  }
}

export const KEEPING_ERRORS: readonly ErrorInfo[] = [
  BackupNotKeptError.info,
  KeepingFileError.info,
  BackupClaimError.info,
  BackupGuessesError.info,
]

const KNOWN = new Map([...KEEPING_ERRORS, ...BACKUP_ERRORS].map((info) => [info.code, info]))

/** What the peer that keeps, or does not, has answered. */
export function keeperError(peer: string, data: ErrorData): ForwardedError {
  const unknown = {
    code: data.code,
    title: 'The keeper of the backup failed',
    meaning: 'It did, for a reason of its own.',
  }
  const info = { ...unknown, remedy: 'weft logs at that peer has the reason.', exit: EXIT.unexpected, http: 502 }
  return new ForwardedError(KNOWN.get(data.code) ?? info, { ...data, details: { ...data.details, peer } })
}
