/** What is refused about roll-outs. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

export class RolloutUnknownError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-081',
    title: 'No such roll-out',
    meaning: 'No roll-out of this job was begun at this peer.',
    remedy: 'Begin one with `weft fed rollout JOB begin --name NAME@live`.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(job: string) {
    super(RolloutUnknownError.info, `job ${job} is not rolled out at this peer`, { details: { job } })
  }
}

export class RolloutStateError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-082',
    title: 'Roll-out cannot do that now',
    meaning: 'The roll-out is in a state in which this cannot be done, or its name or job does not fit.',
    remedy: 'Look at `weft fed rollout JOB`: it says what serves, what is tried, and what was done.',
    exit: EXIT.usage,
    http: 409,
  }
  constructor(job: string, why: string) {
    super(RolloutStateError.info, `the roll-out of job ${job}: ${why}`, { details: { job } })
  }
}

export class NothingServesError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-087',
    title: 'No round serves yet',
    meaning: 'The name stands for the rounds of a federation, and none of them has been found good enough to answer.',
    remedy: 'Look at `weft fed rollout JOB`: it says which round is tried, and what it waits for.',
    exit: EXIT.noResources,
    http: 503,
    retryable: true,
  }
  constructor(alias: string) {
    super(NothingServesError.info, `no round answers under ${alias} yet`, { details: { alias } })
  }
}

export class RolloutDamagedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-083',
    title: 'A roll-out cannot be read',
    meaning: 'The file that says which round of a job serves under a name is damaged. Nothing answers under that name.',
    remedy:
      'Put the file back from a backup, or begin the roll-out again: weft fed rollout JOB begin --name NAME@live.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(file: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super(RolloutDamagedError.info, `the roll-out in ${file} cannot be read`, { why, details: { file }, cause })
  }
}

export const ROLLOUT_ERRORS: readonly ErrorInfo[] = [
  RolloutUnknownError.info,
  RolloutStateError.info,
  NothingServesError.info,
  RolloutDamagedError.info,
]
