/** What can be wrong with keys, and with what is signed by them. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

/** A private file that others on this machine may read. */
export class LooseKeyFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-001',
    title: 'Key file open to others',
    meaning: 'A private key file may be read or written by other users of this machine; it is not used like that.',
    remedy: 'Close it: chmod 600 FILE. If others had access, make a new key: move the file away and start again.',
    exit: EXIT.denied,
    http: 500,
  }

  constructor(path: string, mode: number) {
    const octal = (mode & 0o777).toString(8).padStart(4, '0')
    super(LooseKeyFileError.info, `the key file ${path} is open to other users`, {
      why: `its mode is ${octal}, and 0600 is the most that is allowed`,
      hint: `chmod 600 ${path}`,
      details: { path, mode: octal },
    })
  }
}

/** Whoever may write to a folder may put other keys into it, and other folders into a home. */
export class LooseFolderError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-006',
    title: 'Folder of keys open to others',
    meaning:
      'Other users of this machine may write to the mesh home or its keys, and so put other keys there; nothing is read from it like that.',
    remedy:
      'Close it: chmod 700 FOLDER. If others had access, look whether keys and policy are still yours: weft doctor --security.',
    exit: EXIT.denied,
    http: 500,
  }

  constructor(path: string, mode: number) {
    const octal = (mode & 0o777).toString(8).padStart(4, '0')
    super(LooseFolderError.info, `the folder ${path} may be written to by other users`, {
      why: `its mode is ${octal}`,
      hint: `chmod 700 ${path}`,
      details: { path, mode: octal },
    })
  }
}

/** A key file that does not hold a key; it is never replaced by a new one in silence. */
export class DamagedKeyFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-002',
    title: 'Key file damaged',
    meaning: 'A key file exists and holds no key of the right kind. A new identity would be a stranger to the mesh.',
    remedy: 'Put the file back from a backup; or move it away, and a new one is made at the next start.',
    exit: EXIT.integrity,
    http: 500,
  }

  constructor(path: string, why: string) {
    super(DamagedKeyFileError.info, `the key file ${path} is damaged`, { why, details: { path } })
  }
}

/** A key file cannot be read or written. */
export class KeyFileAccessError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-003',
    title: 'Key file not accessible',
    meaning: 'A key file, or the folder that it belongs in, cannot be read or written by this user.',
    remedy: 'Look at the owner and mode of the folder, and whether the disk is full; or choose another --home.',
    exit: EXIT.denied,
    http: 500,
  }

  constructor(path: string, doing: 'read' | 'write', cause: unknown) {
    super(KeyFileAccessError.info, `cannot ${doing} the key file ${path}`, {
      why: cause instanceof Error ? cause.message : String(cause),
      details: { path },
      cause,
    })
  }
}

/** A key file that was named is not there. */
export class MissingKeyFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-004',
    title: 'Key file missing',
    meaning: 'The key file that was named does not exist.',
    remedy: 'Look at the path; copy the network key from a peer of that mesh, or make one: weft key network FILE.',
    exit: EXIT.notFound,
    http: 404,
  }

  constructor(path: string) {
    super(MissingKeyFileError.info, `there is no key file ${path}`, { details: { path } })
  }
}

/** A key file is not overwritten. */
export class KeyFileExistsError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-005',
    title: 'Key file exists',
    meaning: 'A key was to be made where a file stands already; keys are never overwritten.',
    remedy: 'Use the key that is there, or name another file.',
    exit: EXIT.usage,
    http: 409,
  }

  constructor(path: string) {
    super(KeyFileExistsError.info, `the file ${path} exists already`, { details: { path } })
  }
}

export const TRUST_ERRORS: readonly ErrorInfo[] = [
  LooseKeyFileError.info,
  LooseFolderError.info,
  DamagedKeyFileError.info,
  KeyFileAccessError.info,
  MissingKeyFileError.info,
  KeyFileExistsError.info,
]
