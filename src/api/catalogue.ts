/** All errors of this room, for `weft help errors CODE`. */
import type { ErrorInfo } from '../errors.ts'
import * as access from './access-errors.ts'
import * as batches from './batches/errors.ts'
import * as server from './errors.ts'
import * as request from './request-errors.ts'
import * as resume from './resume/errors.ts'

export const API_ERRORS: readonly ErrorInfo[] = [server, request, access, resume, batches]
  .flatMap((file) => Object.values<{ readonly info: ErrorInfo }>(file))
  .map((one) => one.info)
