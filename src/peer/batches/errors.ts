/** Why a file or a batch is not taken. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'
import type { DiskTrouble } from '../../store/index.ts'

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

  constructor({ why, details }: Pick<DiskTrouble, 'why' | 'details'>, cause: unknown) {
    super(BatchDiskError.info, 'batches cannot be written', { why, details, cause })
  }
}

export class BatchDamagedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-047',
    title: 'The file of batches is damaged',
    meaning: 'The file that keeps batches cannot be read. The peer serves all else, and takes no batches.',
    remedy:
      'Put state/batches.sqlite back from a backup while the peer is stopped, or move it away: its batches are gone then.',
    exit: EXIT.integrity,
    http: 500,
  }

  constructor(path: string, why: string, cause: unknown) {
    super(BatchDamagedError.info, `the file of batches ${path} is damaged`, { why, details: { path }, cause })
  }
}

export const BATCH_ERRORS: readonly ErrorInfo[] = [BatchRoomError.info, BatchDiskError.info, BatchDamagedError.info]
