/** What can go wrong in telemetry: only the log's file. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

export class LogFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-CFG-090',
    title: 'Log file cannot be written',
    meaning: 'The folder of the log does not exist and cannot be made, or may not be written.',
    remedy: 'Check who owns the mesh home and whether its disk is full, or name another with --home.',
    exit: EXIT.unexpected,
    http: 500,
  }

  constructor(path: string, cause: unknown) {
    super(LogFileError.info, `cannot open the log file ${path}`, {
      why: cause instanceof Error ? cause.message : String(cause),
      details: { path },
      cause,
    })
  }
}

export const TELEMETRY_ERRORS: readonly ErrorInfo[] = [LogFileError.info]
