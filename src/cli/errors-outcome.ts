/** What a command may end with although the line was right and the peer answered. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'
import { info, reasonOf } from './error-info.ts'

export class WaitTimedOutError extends WeftError {
  static readonly info: ErrorInfo = info(
    '020',
    EXIT.timedOut,
    'Waited in vain',
    'What was waited for did not happen in the time that was given.',
    'weft status says how things stand; --timeout gives more time.',
    504,
  )

  constructor(what: string, span: string, now: string) {
    super(WaitTimedOutError.info, `${what} did not happen within ${span}`, { why: now, details: { what, span } })
  }
}

export class NotHereError extends WeftError {
  static readonly info: ErrorInfo = info(
    '022',
    EXIT.notFound,
    'No such thing',
    'A name on the command line (a suite, an error code, a key, a row) is not known.',
    'weft help VERB says where the names come from.',
    404,
  )

  constructor(kind: string, name: string, hint: string) {
    super(NotHereError.info, `there is no ${kind} "${name}"`, { details: { kind, name }, hint })
  }
}

export class UnknownSuiteError extends WeftError {
  static readonly info: ErrorInfo = info(
    '023',
    EXIT.usage,
    'Unknown suite',
    'weft vectors has no suite of this name in this version.',
    'weft help vectors lists the suites of this version.',
  )

  constructor(suite: string, known: readonly string[]) {
    super(UnknownSuiteError.info, `weft vectors has no suite "${suite}"`, {
      details: { suite, known },
      why: known.length === 0 ? 'this version has none yet' : `it has ${known.join(', ')}`,
    })
  }
}

export class CannotWriteError extends WeftError {
  static readonly info: ErrorInfo = info(
    '024',
    EXIT.denied,
    'File cannot be written',
    'A file that the command should write cannot be created.',
    'Check the folder, its permissions and the free space.',
    500,
  )

  constructor(path: string, cause: unknown) {
    super(CannotWriteError.info, `cannot write ${path}`, { why: reasonOf(cause), details: { path }, cause })
  }
}

export class NotBuiltError extends WeftError {
  static readonly info: ErrorInfo = info(
    '030',
    EXIT.unexpected,
    'Not in this build',
    'This copy of weft lacks the part that the command needs.',
    'Install a newer version.',
    501,
  )

  constructor(part: string) {
    super(NotBuiltError.info, `this build of weft has no ${part}`, { details: { part } })
  }
}
