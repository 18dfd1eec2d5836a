/** Why a backup is not made, not believed, or not put back. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

export class BackupMissingError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-040',
    title: 'No backup there',
    meaning: 'The folder holds no backup of weft, or none of that name.',
    remedy: 'Look at the folder (--to, --from); weft backup ls lists what is in it.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(directory: string, what: string) {
    super(BackupMissingError.info, `there is no ${what} in ${directory}`, { details: { directory } })
  }
}

export class BackupDamagedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-041',
    title: 'Backup damaged',
    meaning: 'Something of a backup is missing, or is not what was written. Nothing was put back.',
    remedy: 'Use another backup (weft backup ls, --snapshot), or a copy of the folder.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(file: string, why: string) {
    super(BackupDamagedError.info, `the backup is damaged: ${file} ${why}`, { details: { file } })
  }
}

export class BackupPassphraseError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-042',
    title: 'Backup does not open',
    meaning: 'The passphrase is not the one that the backup folder was begun with. Nothing was changed.',
    remedy: 'Give the right one; a new passphrase needs a new folder.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(directory: string) {
    super(BackupPassphraseError.info, `the backup ${directory} does not open with that passphrase`, {
      details: { directory },
    })
  }
}

export class BackupOtherIdentityError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-043',
    title: 'Backup of another peer',
    meaning:
      'The home has an identity already, and the backup, or the backup folder, is of another one. Nothing was changed.',
    remedy: 'Restore into an empty home (--home DIR); give each peer a backup folder of its own.',
    exit: EXIT.denied,
    http: 409,
  }
  constructor(home: string, theirs: string, ours: string) {
    super(BackupOtherIdentityError.info, `the backup is of the peer ${theirs}, and this home is of ${ours}`, {
      details: { home, theirs, ours },
    })
  }
}

export class BackupRolledBackError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-044',
    title: 'Backup older than what is here',
    meaning:
      'A ledger or log of this home has gone further than the one in the backup: to put that back would forget what was spent or done.',
    remedy:
      'Keep what is here; to look into the backup, restore it into an empty folder (--home DIR). Only a home whose ledger or log is lost takes an older one, and its peers will say what is missing.',
    exit: EXIT.denied,
    http: 409,
  }
  constructor(chain: string, here: number, backup: number) {
    super(BackupRolledBackError.info, `${chain} has ${here} entries here, and ${backup} in the backup`, {
      details: { chain, here, backup },
    })
  }
}

export class HalfRestoredError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-045',
    title: 'Home restored by half',
    meaning: 'Putting a backup back into this home was interrupted; what is missing could be its policy or its ledger.',
    remedy: 'Run weft backup restore of the same backup again: it begins anew and ends it.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(home: string) {
    super(HalfRestoredError.info, `the mesh home ${home} was restored by half`, { details: { home } })
  }
}

export class BackupSourceError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-046',
    title: 'Home cannot be backed up',
    meaning: 'Something of the home cannot be read, or is too much for one backup. No backup was made.',
    remedy: 'Look at the file that is named: its owner and mode, or who holds it; then begin again.',
    exit: EXIT.denied,
    http: 500,
  }
  constructor(home: string, why: string, cause?: unknown) {
    super(BackupSourceError.info, `the mesh home ${home} cannot be backed up: ${why}`, { details: { home }, cause })
  }
}

export class BackupShelfFullError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-048',
    title: 'No more room for this backup',
    meaning:
      'The peer that keeps backups of this one has given it so much room, and it is full. What is there stays as it was.',
    remedy:
      'There: weft backup keep PEER --limit SIZE. Or begin a new folder of backups, and ask for the old one to be removed.',
    exit: EXIT.noResources,
    http: 507,
  }
  constructor(limit: number) {
    super(BackupShelfFullError.info, `the ${limit} bytes for this backup are full`, { details: { limit } })
  }
}

export class BackupShelfTakenError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-047',
    title: 'Another backup is kept there',
    meaning:
      'Files of backups are never written over, so that a thief cannot spoil them: what is kept there under this name is another file.',
    remedy: 'Send the folder that was sent before, or have the one that is kept removed there, by hand.',
    exit: EXIT.denied,
    http: 409,
  }
  constructor(file: string) {
    super(BackupShelfTakenError.info, `another ${file} is kept there`, { details: { file } })
  }
}

export const BACKUP_ERRORS: readonly ErrorInfo[] = [
  BackupMissingError.info,
  BackupDamagedError.info,
  BackupPassphraseError.info,
  BackupOtherIdentityError.info,
  BackupRolledBackError.info,
  HalfRestoredError.info,
  BackupShelfFullError.info,
  BackupShelfTakenError.info,
  BackupSourceError.info,
]
