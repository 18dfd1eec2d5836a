/** What can be wrong with keys that are sealed by a passphrase. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

export class WrongPassphraseError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-090',
    title: 'Wrong passphrase',
    meaning:
      'A sealed key or backup does not open with the passphrase that was given, or was changed since. Nothing was changed.',
    remedy: 'Give the right one. A forgotten passphrase cannot be recovered: docs/security/runbooks.md says what then.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(path: string, cause?: unknown) {
    super(WrongPassphraseError.info, `${path} does not open with that passphrase`, { details: { path }, cause })
  }
}

export class KeyLockedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-091',
    title: 'Key locked',
    meaning: 'The key is encrypted at rest, and no passphrase was given.',
    remedy: 'Give a file that holds the passphrase: --passphrase-file FILE, or $WEFT_PASSPHRASE_FILE.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(path: string, of: string) {
    super(KeyLockedError.info, `the key ${path} is locked`, { details: { path, of } })
  }
}

export class PassphraseError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-092',
    title: 'Passphrase cannot be used',
    meaning: 'A passphrase is too short, or the file that holds it cannot be read, or can be read by others.',
    remedy: 'Use 8 characters or more, better six words; a file of mode 0600, or one that systemd hands over.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(why: string, cause?: unknown) {
    super(PassphraseError.info, `the passphrase cannot be used: ${why}`, { why, cause })
  }
}

export class TooManyAttemptsError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-093',
    title: 'Three wrong passphrases',
    meaning: 'A passphrase was asked for three times, and none of the answers was right. Nothing was changed.',
    remedy: 'Begin again when you have the right one.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(path: string) {
    super(TooManyAttemptsError.info, `three wrong passphrases for ${path}`, { details: { path } })
  }
}

export class NothingToSealError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-094',
    title: 'No such keys',
    meaning: 'There are no keys to encrypt, or none that are encrypted.',
    remedy: 'weft key status shows the keys of this home and how they lie on the disk.',
    exit: EXIT.notFound,
    http: 404,
  }

  constructor(directory: string, what: string) {
    super(NothingToSealError.info, `${directory} has no keys that are ${what}`, { details: { directory } })
  }
}

export const SEALED_KEY_ERRORS: readonly ErrorInfo[] = [
  WrongPassphraseError.info,
  KeyLockedError.info,
  PassphraseError.info,
  TooManyAttemptsError.info,
  NothingToSealError.info,
]
