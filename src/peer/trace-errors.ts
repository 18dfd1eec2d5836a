/** What is said where there is no trace to show. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

export class TraceMissingError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-150',
    title: 'No trace of this request',
    meaning:
      'This peer keeps where the time of its last 32 answers went, since it was started. Answers of other origins, of models that run as parts of an ONNX graph, and answers that are not over have none here.',
    remedy: 'weft trace --list shows those that are kept; ask the peer that took the request.',
    exit: EXIT.notFound,
    http: 404,
  }

  constructor(request: string | undefined) {
    const what =
      request === undefined ? 'no answer has been traced here yet' : `there is no trace of request ${request}`
    super(TraceMissingError.info, what, { details: { request: request ?? null } })
  }
}
