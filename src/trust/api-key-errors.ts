/** What can go wrong with API keys. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

export class ApiKeyMissingError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-050',
    title: 'No such API key',
    meaning: 'No key of this home has that id.',
    remedy: 'weft key ls shows the keys.',
    exit: EXIT.notFound,
    http: 404,
  }

  constructor(id: string) {
    super(ApiKeyMissingError.info, `there is no API key ${id.slice(0, 40)}`, { details: { id } })
  }
}

export class ApiKeyInitError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-051',
    title: 'API key cannot be made like that',
    meaning: 'A name, scope or expiry is not acceptable, or there are too many keys already.',
    remedy: 'Scopes are generate, read and admin; a name has 1 to 64 characters; an expiry lies in the future.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(problem: string) {
    super(ApiKeyInitError.info, `cannot make the API key: ${problem}`)
  }
}

export class ApiKeysBusyError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-052',
    title: 'API keys are being changed',
    meaning: 'Another process holds the lock of the key file for longer than a change takes.',
    remedy: 'Try again; if no weft runs in this home, remove the lock file that is named.',
    exit: EXIT.timedOut,
    http: 503,
    retryable: true,
  }

  constructor(lock: string) {
    super(ApiKeysBusyError.info, 'another process is changing the API keys', { details: { lock } })
  }
}

export const API_KEY_ERRORS: readonly ErrorInfo[] = [
  ApiKeyMissingError.info,
  ApiKeyInitError.info,
  ApiKeysBusyError.info,
]
