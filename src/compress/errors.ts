/** Errors of the choice of weight formats. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

export class CalibrationTextError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-095',
    title: 'Calibration text not usable',
    meaning: 'The text that weight formats are to be measured on is too short, too long, or no text.',
    remedy: 'Give plain text in UTF-8 of the kind that the model will read, between 1,000 and 200,000 characters.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(why: string) {
    super(CalibrationTextError.info, `the calibration text cannot be used: ${why}`, { why })
  }
}

export const COMPRESS_ERRORS: readonly ErrorInfo[] = [CalibrationTextError.info]
