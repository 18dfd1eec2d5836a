/** Why a file or a batch is not taken. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

export class BatchRoomError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-041',
    title: 'No room for more batches',
    meaning:
      'Files of batches, and results, may take a bounded part of the disk; and only so many batches may be waiting.',
    remedy: 'Fetch results, then DELETE /v1/files/{id} what is not needed; or wait until batches have ended.',
    exit: EXIT.noResources,
    http: 429,
    retryable: true,
  }

  constructor(why: string, limit: number) {
    super(BatchRoomError.info, why, { details: { limit } })
  }
}

export const BATCH_ERRORS: readonly ErrorInfo[] = [BatchRoomError.info]
