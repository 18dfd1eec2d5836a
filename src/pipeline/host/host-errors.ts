/** What can happen to a stage host, seen from its peer. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

/** The stage host could not do what it was asked. */
export class StageHostError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-020',
    title: 'Stage could not be loaded',
    meaning: 'The process that computes a stage refused or failed to load it.',
    remedy: 'weft logs has the reason; weft doctor checks engine, memory and disk.',
    exit: EXIT.noResources,
    http: 503,
    retryable: true,
  }

  constructor(message: string, details: Readonly<Record<string, unknown>>) {
    super(StageHostError.info, message, {
      details,
      ...(typeof details['why'] === 'string' ? { why: details['why'] } : {}),
    })
  }
}

/** The process that computed a stage has ended: killed, crashed, or out of memory. */
export class StageHostLostError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-021',
    title: 'Stage host lost',
    meaning: 'The process that computed a stage ended while it was needed.',
    remedy: 'It is started again by itself; make the request again. weft logs shows why it ended.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  constructor(pid: number, code: number | null, signal: string | null, stderr = '') {
    const how = signal === null ? `with status ${code ?? 'unknown'}` : `by ${signal}`
    super(StageHostLostError.info, `the stage host (process ${pid}) ended ${how}`, {
      details: { pid, code, signal },
      ...(stderr === '' ? {} : { why: stderr.trim().split('\n').at(-1)! }),
    })
  }
}
