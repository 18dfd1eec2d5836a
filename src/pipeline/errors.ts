/** What keeps a stage from being served here. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

/** A stage does not fit into the memory that weft may use on this peer. */
export class MemoryQuotaError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-050',
    title: 'Stage does not fit',
    meaning: 'The weights of a stage are larger than the memory that weft may use on this peer.',
    remedy: 'Give it more (weft up --memory 4GB), give the peer fewer blocks, or add a peer.',
    exit: EXIT.noResources,
    http: 503,
    retryable: true,
  }

  constructor(model: string, need: number, have: number) {
    super(MemoryQuotaError.info, `stages of ${model} need ${need} bytes, weft may use ${have} here`, {
      details: { model, need, have },
    })
  }
}

/** The process of a stage has ended for lack of memory again and again, and is not started again for a while. */
export class StageMemoryError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-052',
    title: 'Stage ends for lack of memory',
    meaning:
      'The process that computes a stage ended three times within a minute for lack of memory. Another start would take memory from others here, so it is left for ten minutes.',
    remedy:
      'Tell weft the memory that there really is (weft up --memory 1GB), give the process more, or give the peer fewer blocks: another placement is tried at once.',
    exit: EXIT.noResources,
    http: 503,
    retryable: true,
  }

  /** @param restMs until it is tried again */
  constructor(model: string, why: string, ends: number, restMs: number) {
    const seconds = Math.ceil(restMs / 1000)
    super(StageMemoryError.info, `the stage of ${model} ended ${ends} times within a minute for lack of memory`, {
      why,
      details: { model, ends, seconds },
    })
  }
}

/** The caller, a signal or a stopping peer ended the work. */
export class CancelledError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-051',
    title: 'Cancelled',
    meaning: 'The work was ended before it was complete, because its caller went away or the peer is stopping.',
    remedy: 'Make the request again if it is still wanted.',
    exit: EXIT.unexpected,
    http: 499,
  }

  constructor(why: string) {
    super(CancelledError.info, 'the work was cancelled', { why })
  }
}

export const STAGE_ERRORS: readonly ErrorInfo[] = [MemoryQuotaError.info, CancelledError.info, StageMemoryError.info]
