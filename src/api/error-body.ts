/** Errors as OpenAI's clients expect them, with ours beside: `{ error: { message, type, param, code }, weft: { ... } }`. */
import { UnexpectedError, WeftError } from '../errors.ts'
import type { ErrorData } from '../errors.ts'
import { ContextFullError } from '../pipeline/index.ts'
import { InvalidParameterError, NoSuchModelError, UnsupportedParameterError } from './request-errors.ts'

export interface ErrorBody {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly param: string | null
    readonly code: string | null
  }
  readonly weft: Omit<ErrorData, 'message'>
}

/** Wraps what was not foreseen without its message: that may hold paths and parts of a request. */
export function publicError(error: unknown): WeftError {
  if (error instanceof WeftError && !(error instanceof UnexpectedError)) return error
  return new UnexpectedError('the peer met an error that it did not foresee; its log has the details')
}

export function errorStatus(error: WeftError): number {
  const status = error.info.http
  return Number.isInteger(status) && status >= 400 && status <= 599 ? status : 500
}

export function errorBody(error: WeftError): ErrorBody {
  const param = error.details['param']
  return {
    error: {
      message: error.message,
      type: errorType(errorStatus(error)),
      param: typeof param === 'string' ? param : error.info.http === 404 && 'model' in error.details ? 'model' : null,
      code: openAiCode(error),
    },
    weft: { code: error.code, why: error.why ?? null, hint: error.hint, details: error.details },
  }
}

function errorType(status: number): string {
  switch (status) {
    case 401:
      return 'authentication_error'
    case 403:
      return 'permission_error'
    case 429:
      return 'rate_limit_error'
    default:
      return status < 500 ? 'invalid_request_error' : 'server_error'
  }
}

/** OpenAI's own words where it has one, because clients branch on them; else our code. */
function openAiCode(error: WeftError): string {
  if (error instanceof UnsupportedParameterError) return 'unsupported_parameter'
  if (error instanceof InvalidParameterError) return 'invalid_value'
  if (error instanceof NoSuchModelError || (error.info.http === 404 && 'model' in error.details))
    return 'model_not_found'
  if (error instanceof ContextFullError) return 'context_length_exceeded'
  if (error.info.http === 401) return 'invalid_api_key'
  if (error.info.http === 429) return 'rate_limit_exceeded'
  return error.code
}
