/** Every error of the command line, and their table for `weft help errors`. */
import type { ErrorInfo } from '../errors.ts'
import { DemoPeerError, DemoUsageError } from './demo/errors.ts'
import {
  UnknownCommandError,
  UnknownOptionError,
  UsageError,
  BadValueError,
  FileUnreadableError,
  PlacementMalformedError,
  PromptError,
} from './errors-usage.ts'
import {
  PeerNotRunningError,
  PeerSilentError,
  UntrustedSocketError,
  PeerDidNotStartError,
  PeerNotFoundError,
  PeerRunsError,
} from './errors-peer.ts'
import {
  WaitTimedOutError,
  NotHereError,
  UnknownSuiteError,
  CannotWriteError,
  NotBuiltError,
} from './errors-outcome.ts'

export { reasonOf } from './error-info.ts'
export {
  UnknownCommandError,
  UnknownOptionError,
  UsageError,
  BadValueError,
  FileUnreadableError,
  PlacementMalformedError,
  PromptError,
} from './errors-usage.ts'
export {
  PeerNotRunningError,
  PeerSilentError,
  UntrustedSocketError,
  PeerDidNotStartError,
  PeerNotFoundError,
  PeerRunsError,
} from './errors-peer.ts'
export {
  WaitTimedOutError,
  NotHereError,
  UnknownSuiteError,
  CannotWriteError,
  NotBuiltError,
} from './errors-outcome.ts'

/** Rethrown by `main` as the exit status of the signal; never shown. */
export class InterruptedError extends Error {
  readonly signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'EPIPE'

  constructor(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'EPIPE') {
    super(`interrupted by ${signal}`)
    this.name = 'InterruptedError'
    this.signal = signal
  }
}

export const CLI_ERRORS: readonly ErrorInfo[] = [
  UnknownCommandError.info,
  UnknownOptionError.info,
  UsageError.info,
  BadValueError.info,
  FileUnreadableError.info,
  PlacementMalformedError.info,
  PromptError.info,
  PeerNotRunningError.info,
  PeerSilentError.info,
  UntrustedSocketError.info,
  PeerDidNotStartError.info,
  PeerNotFoundError.info,
  PeerRunsError.info,
  WaitTimedOutError.info,
  NotHereError.info,
  UnknownSuiteError.info,
  CannotWriteError.info,
  NotBuiltError.info,
  DemoUsageError.info,
  DemoPeerError.info,
]
