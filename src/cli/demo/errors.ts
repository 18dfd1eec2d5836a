/** What can go wrong in `npm start` itself. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

export class DemoUsageError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-CLI-090',
    title: 'Not an option of npm start',
    meaning: 'npm start was given an option that it does not know, or a value that it cannot use.',
    remedy: 'npm start -- [--model NAME|FILE] [--peers N] [--prompt TEXT] [--max-tokens N]',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(message: string) {
    super(DemoUsageError.info, message)
  }
}

export class DemoPeerError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-CLI-091',
    title: 'A peer of npm start did not start',
    meaning: 'One of the peer processes that npm start began ended or said nothing.',
    remedy: 'weft doctor checks this machine; the reason is what the process wrote.',
    exit: EXIT.unexpected,
    http: 500,
  }

  constructor(index: number, why: string) {
    super(DemoPeerError.info, `peer ${index + 1} did not start`, { why })
  }
}
