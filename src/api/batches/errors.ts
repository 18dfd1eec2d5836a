/** What is refused of files and batches. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

export class FormError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-042',
    title: 'The form is not a file',
    meaning: 'POST /v1/files takes multipart/form-data with the fields `file` and `purpose`.',
    remedy: 'curl -F purpose=batch -F file=@requests.jsonl, or files.create of a client library.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(why: string) {
    super(FormError.info, `the form is not accepted: ${why}`)
  }
}

export class NoSuchFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-043',
    title: 'No such file',
    meaning: 'There is no file of this id, or it is of another key.',
    remedy: 'GET /v1/files lists those that this key has made.',
    exit: EXIT.notFound,
    http: 404,
  }

  constructor(id: string) {
    super(NoSuchFileError.info, `there is no file ${id.slice(0, 80)}`, { details: { id: id.slice(0, 80) } })
  }
}

export class NoSuchBatchError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-044',
    title: 'No such batch',
    meaning: 'There is no batch of this id, or it is of another key.',
    remedy: 'GET /v1/batches lists those that this key has made.',
    exit: EXIT.notFound,
    http: 404,
  }

  constructor(id: string) {
    super(NoSuchBatchError.info, `there is no batch ${id.slice(0, 80)}`, { details: { id: id.slice(0, 80) } })
  }
}

export class BatchOverError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-045',
    title: 'The batch is over',
    meaning: 'A batch that has ended cannot be cancelled; and the input of one that has not cannot be deleted.',
    remedy: 'GET /v1/batches/{id} shows its status.',
    exit: EXIT.denied,
    http: 409,
  }

  constructor(why: string) {
    super(BatchOverError.info, why)
  }
}
