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

export class BatchDiskError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-046',
    title: 'Batches cannot be written',
    meaning:
      'The file that keeps batches cannot be written: the disk is full, or it may not be. Nothing half-written was left.',
    remedy: 'Free space, or correct the owner of the file; batches that have begun go on by themselves.',
    exit: EXIT.noResources,
    http: 507,
    retryable: true,
  }

  constructor(why: string, cause: unknown) {
    super(BatchDiskError.info, 'batches cannot be written', { why, cause })
  }
}

export const BATCH_ERRORS: readonly ErrorInfo[] = [BatchRoomError.info, BatchDiskError.info]
