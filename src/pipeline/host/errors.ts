/** What a stage host refuses. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

/** No room for another session's KV cache. */
export class KvFullError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-010',
    title: 'No room for the context',
    meaning: 'The KV cache of the request does not fit beside those of the requests that are running.',
    remedy: 'Try again when others have ended, ask for fewer tokens, or give weft more memory (weft up --memory).',
    exit: EXIT.noResources,
    http: 429,
    retryable: true,
  }

  constructor(need: number, have: number) {
    super(KvFullError.info, `the context needs ${need} bytes of KV cache, ${have} are free`, {
      details: { need, have },
    })
  }
}

/** A request names blocks that are not loaded here. */
export class StageMissingError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-011',
    title: 'Stage not loaded',
    meaning: 'A request names blocks that this peer does not serve (any more).',
    remedy: 'weft ps shows what is loaded; weft deploy places the model anew.',
    exit: EXIT.noResources,
    http: 503,
    retryable: true,
  }

  constructor(from: number, to: number) {
    super(StageMissingError.info, `blocks [${from}, ${to}) are not loaded here`, { details: { from, to } })
  }
}

/** Rows that do not follow those before them. */
export class OutOfStepError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-012',
    title: 'Rows out of step',
    meaning: 'A stage was given rows that do not continue its session: lost, repeated or in the wrong order.',
    remedy: 'Make the request again; if it happens twice, send weft bugreport.',
    exit: EXIT.integrity,
    http: 502,
    retryable: true,
  }

  constructor(what: string, details: Readonly<Record<string, unknown>>) {
    super(OutOfStepError.info, what, { details })
  }
}

/** A NaN or infinity where numbers should be. */
export class NotFiniteError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-013',
    title: 'Not a number',
    meaning: "A model's result holds NaN or infinity: damaged weights, or a range that float16 boundaries cannot hold.",
    remedy: 'Import the model again; with --weights f32 boundaries are float32.',
    exit: EXIT.integrity,
    http: 502,
  }

  constructor(where: string) {
    super(NotFiniteError.info, `${where} is not finite`, { details: { where } })
  }
}

export const HOST_ERRORS: readonly ErrorInfo[] = [
  KvFullError.info,
  StageMissingError.info,
  OutOfStepError.info,
  NotFiniteError.info,
]
