/** What ends a run whose steps peers share. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

/** A step is left over, and every peer of the run was lost or cannot compute it. */
export class NoSharersError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-132',
    title: 'Nobody is left to compute gradients',
    meaning: 'All peers that share the steps of a training run were lost in one step, or none of them can compute it.',
    remedy:
      'weft peers shows who is there. weft train --resume goes on from the last checkpoint, with these peers or with others.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  /** @param reasons of each peer */
  constructor(reasons: readonly string[]) {
    super(NoSharersError.info, 'no peer of the training run is left', {
      why: reasons.join('; ').slice(0, 2_000),
      details: { peers: reasons.length },
    })
  }
}

export const GRADIENT_ERRORS: readonly ErrorInfo[] = [NoSharersError.info]
