/** What ends a training session on its way over the stages. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

/** A peer will not compute for this training session, or what it was sent is out of turn. */
export class TrainingRefusedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-128',
    title: 'Training session refused',
    meaning:
      'A peer of the route does not take the session: the route does not name it, there are too many of one origin, or rows came out of turn.',
    remedy: 'Wait until others of your training runs have ended, or leave that peer out of the placement.',
    exit: EXIT.denied,
    http: 429,
  }
  constructor(why: string, details: Readonly<Record<string, unknown>> = {}) {
    super(TrainingRefusedError.info, 'a peer of the route refused the training session', { why, details })
  }
}

export const TRAIN_LINE_ERRORS: readonly ErrorInfo[] = [TrainingRefusedError.info]
