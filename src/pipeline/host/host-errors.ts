/** What can happen to a stage host, seen from its peer. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'
import { memoryWords } from './out-of-memory.ts'

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

  /** What says that it was for lack of memory; undefined: nothing does. */
  readonly memory: string | undefined

  /**
   * @param stderr the last that it said
   * @param oomKills processes of its group that the kernel has ended for lack of memory while it ran
   */
  constructor(pid: number, code: number | null, signal: string | null, stderr = '', oomKills = 0) {
    const how = signal === null ? `with status ${code ?? 'unknown'}` : `by ${signal}`
    const isKilled = signal === 'SIGKILL' && oomKills > 0
    const memory = isKilled ? 'the kernel ended it for lack of memory' : memoryWords(stderr)
    const why = memory ?? stderr.trim().split('\n').at(-1)!
    super(StageHostLostError.info, `the stage host (process ${pid}) ended ${how}`, {
      details: { pid, code, signal },
      ...(why === '' ? {} : { why }),
    })
    this.memory = memory
  }
}
