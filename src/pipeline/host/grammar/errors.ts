/** Why an answer cannot be held to a form. */
import { EXIT, WeftError } from '../../../errors.ts'
import type { ErrorInfo } from '../../../errors.ts'

/** A schema that no answer can be held to. */
export class AnswerFormatError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-014',
    title: 'Answer format refused',
    meaning:
      'The form that an answer is to have (a JSON schema, or the calls of tools) cannot be enforced as it is written.',
    remedy: 'docs/http-api.md lists what a schema may say; the place in it is in the message.',
    exit: EXIT.usage,
    http: 400,
  }

  readonly where: string
  readonly what: string

  /** @param where path in the schema: `properties.age` */
  constructor(where: string, what: string) {
    super(AnswerFormatError.info, where === '' ? what : `${where}: ${what}`, { details: { where } })
    this.where = where
    this.what = what
  }
}

/** Whoever chooses the tokens of this model cannot hold them to a form. */
export class FormatUnsupportedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-015',
    title: 'Answers of this model have no format',
    meaning: 'The answers of this model cannot be held to a JSON schema or to the calls of tools.',
    remedy: 'Ask without response_format and tools, or ask a model that was imported as blocks (GGUF, safetensors).',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(why: string) {
    super(FormatUnsupportedError.info, `an answer of this model cannot be held to a format: ${why}`)
  }
}

export const GRAMMAR_ERRORS: readonly ErrorInfo[] = [AnswerFormatError.info, FormatUnsupportedError.info]
