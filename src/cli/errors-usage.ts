/** What can be wrong with a command line and the files that it names. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'
import { info, reasonOf } from './error-info.ts'

export class UnknownCommandError extends WeftError {
  static readonly info: ErrorInfo = info(
    '001',
    EXIT.usage,
    'Unknown command',
    'The first word is no verb of weft.',
    'weft help lists all commands.',
  )

  constructor(verb: string, near: string | undefined) {
    super(UnknownCommandError.info, `weft has no command "${verb}"`, {
      details: { verb, near: near ?? null },
      ...(near === undefined ? {} : { hint: `did you mean weft ${near}?` }),
    })
  }
}

export class UnknownOptionError extends WeftError {
  static readonly info: ErrorInfo = info(
    '002',
    EXIT.usage,
    'Unknown option',
    'The command does not take this option.',
    'weft help VERB lists the options of a command.',
  )

  constructor(option: string, verb: string | undefined, near: string | undefined) {
    super(
      UnknownOptionError.info,
      verb === undefined ? `weft does not take ${option} before a command` : `weft ${verb} does not take ${option}`,
      {
        details: { option, verb: verb ?? null, near: near ?? null },
        hint:
          near === undefined ? `weft help ${verb ?? ''}`.trimEnd() + ' lists the options' : `did you mean --${near}?`,
      },
    )
  }
}

/** A value or an argument is missing, or one too many is there, or two exclude each other. */
export class UsageError extends WeftError {
  static readonly info: ErrorInfo = info(
    '003',
    EXIT.usage,
    'Wrong usage',
    'An argument or a value is missing, one is too many, or two exclude each other.',
    'weft help VERB shows how the command is used.',
  )

  constructor(message: string, hint?: string, details: Readonly<Record<string, unknown>> = {}) {
    super(UsageError.info, message, { details, ...(hint === undefined ? {} : { hint }) })
  }
}

export class BadValueError extends WeftError {
  static readonly info: ErrorInfo = info(
    '004',
    EXIT.usage,
    'Bad value',
    'The value of an option or argument cannot be read, or is out of its range.',
    'weft help VERB says what the option takes.',
  )

  constructor(option: string, value: string, expected: string, hint?: string) {
    super(BadValueError.info, `${option} takes ${expected}, not "${value}"`, {
      details: { option, value, expected },
      ...(hint === undefined ? {} : { hint }),
    })
  }
}

export class FileUnreadableError extends WeftError {
  static readonly info: ErrorInfo = info(
    '005',
    EXIT.notFound,
    'File cannot be read',
    'A file named on the command line is missing or must not be read.',
    'Check its path and its permissions.',
    404,
  )

  constructor(path: string, cause: unknown) {
    super(FileUnreadableError.info, `cannot read ${path}`, { why: reasonOf(cause), details: { path }, cause })
  }
}

export class PlacementMalformedError extends WeftError {
  static readonly info: ErrorInfo = info(
    '006',
    EXIT.usage,
    'Placement file malformed',
    'A placement file is not the JSON that is expected.',
    'It looks like {"model":"M","stages":[{"peer":"PEER","from":0,"to":16}]}.',
  )

  constructor(path: string, why: string) {
    super(PlacementMalformedError.info, `${path} is no placement`, { why, details: { path } })
  }
}

export class PromptError extends WeftError {
  static readonly info: ErrorInfo = info(
    '007',
    EXIT.usage,
    'No usable prompt',
    'The prompt is empty, too large or not UTF-8.',
    'Give the prompt as an argument or on standard input, or ids with --ids.',
  )

  constructor(message: string, hint?: string) {
    super(PromptError.info, message, hint === undefined ? {} : { hint })
  }
}
