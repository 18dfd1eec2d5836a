/** What is wrong with a request: refused before any work is done. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

const MALFORMED = { exit: EXIT.usage, http: 400 } as const

export class InvalidParameterError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-010',
    title: 'Invalid parameter',
    meaning: 'A field of the request is missing, has the wrong type, or is out of range.',
    remedy: 'Correct the field that the message names.',
    ...MALFORMED,
  }

  /** `param`: path of the field, e.g. `messages[0].content`; null: the body as a whole. */
  constructor(param: string | null, problem: string) {
    super(InvalidParameterError.info, param === null ? problem : `${param}: ${problem}`, { details: { param } })
  }
}

export class UnsupportedParameterError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-011',
    title: 'Unsupported parameter',
    meaning: "The field belongs to OpenAI's interface, but this version of weft does not do what it asks for.",
    remedy: 'Leave the field out.',
    ...MALFORMED,
  }

  constructor(param: string, why: string) {
    super(UnsupportedParameterError.info, `${param} is not supported: ${why}`, { details: { param } })
  }
}

export class BodyNotJsonError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-012',
    title: 'Body is not JSON',
    meaning: 'The body is no JSON object, is nested too deeply, or holds a key that could change prototypes.',
    remedy: 'Send one JSON object.',
    ...MALFORMED,
  }

  constructor(why: string) {
    super(BodyNotJsonError.info, `the request body is not acceptable JSON: ${why}`, { details: { param: null } })
  }
}

export class BodyTooLargeError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-013',
    title: 'Body too large',
    meaning: 'The body is larger than any context can hold.',
    remedy: 'Send a shorter prompt.',
    exit: EXIT.usage,
    http: 413,
  }

  constructor(limit: number) {
    super(BodyTooLargeError.info, `the request body is larger than ${limit} bytes`, { details: { limit } })
  }
}

export class ContentTypeError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-014',
    title: 'Wrong content type',
    meaning: 'A browser can send other types across origins without asking, so only JSON is taken, uncompressed.',
    remedy: 'Send content-type: application/json and no content-encoding.',
    exit: EXIT.usage,
    http: 415,
  }

  constructor() {
    super(ContentTypeError.info, 'the body must be application/json without content-encoding')
  }
}

export class NoSuchRouteError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-015',
    title: 'No such route',
    meaning: 'There is nothing at this path.',
    remedy: "Check the path: OpenAI's routes stand under /v1, weft's own under /api/v1.",
    exit: EXIT.notFound,
    http: 404,
  }

  constructor() {
    super(NoSuchRouteError.info, 'there is nothing at this path')
  }
}

export class MethodRefusedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-048',
    title: 'Wrong method',
    meaning: 'The path is there, but not for this method. The header `allow` names those that it has.',
    remedy: 'Ask again with one of the methods that the message names.',
    exit: EXIT.usage,
    http: 405,
  }

  readonly allowed: readonly string[]

  constructor(method: string, allowed: readonly string[]) {
    super(
      MethodRefusedError.info,
      `${method.slice(0, 20)} is no method of this path, which has ${allowed.join(', ')}`,
      {
        details: { allowed },
      },
    )
    this.allowed = allowed
  }
}

export class NoSuchModelError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-016',
    title: 'No such model',
    meaning: 'Neither this peer nor the mesh nor the catalogue knows the model.',
    remedy: 'weft ls shows the models; weft import brings another.',
    exit: EXIT.notFound,
    http: 404,
  }

  constructor(model: string) {
    super(NoSuchModelError.info, `the model '${model.slice(0, 80)}' does not exist`, {
      details: { model, param: 'model' },
    })
  }
}

export class MalformedRequestError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-017',
    title: 'Malformed request',
    meaning: 'What came is not a request of HTTP/1.1 to this server.',
    remedy: 'Check the client, or what stands between it and weft.',
    ...MALFORMED,
  }

  constructor(why: string) {
    super(MalformedRequestError.info, `malformed request: ${why}`)
  }
}

export class RequestTimeoutError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-018',
    title: 'Request too slow',
    meaning: 'The headers or the body did not arrive in time.',
    remedy: 'Send the request again over a better connection.',
    exit: EXIT.timedOut,
    http: 408,
  }

  constructor() {
    super(RequestTimeoutError.info, 'the request did not arrive in time')
  }
}

export class HeadersTooLargeError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-019',
    title: 'Headers too large',
    meaning: 'The headers of the request are larger than 16 KiB.',
    remedy: 'Send fewer cookies and headers.',
    exit: EXIT.usage,
    http: 431,
  }

  constructor() {
    super(HeadersTooLargeError.info, 'the headers of the request are too large')
  }
}
