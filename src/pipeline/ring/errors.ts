/** What ends a session on its way round the ring. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

/** A peer of the route has gone, or does not answer. The tokens so far stand in the answer. */
export class PeerLostError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-030',
    title: 'A peer of the route was lost',
    meaning: 'A peer that computed a part of the answer went away or stopped answering before the answer was complete.',
    remedy: 'Make the request again: weft finds another route if there is one. weft status shows who is there.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  constructor(peer: string, why: string) {
    super(PeerLostError.info, `the peer ${peer} of the route was lost`, { why, details: { peer } })
  }
}

/** A peer will not hold (another) session for this origin. */
export class SessionRefusedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-031',
    title: 'Session refused',
    meaning:
      'A peer of the route does not take the session: a route that does not name it, or too many sessions of one origin.',
    remedy: 'Wait until others of your requests have ended, or leave that peer out of the placement.',
    exit: EXIT.denied,
    http: 429,
    retryable: true,
  }

  constructor(why: string, details: Readonly<Record<string, unknown>>) {
    super(SessionRefusedError.info, 'a peer of the route refused the session', { why, details })
  }
}

/** The request's own deadline has passed. */
export class DeadlineError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-032',
    title: 'Deadline passed',
    meaning:
      'The answer was not complete when the deadline of the request passed; the tokens so far stand in the answer.',
    remedy: 'Give the request more time, or ask for fewer tokens.',
    exit: EXIT.timedOut,
    http: 504,
  }

  constructor(milliseconds: number) {
    super(DeadlineError.info, `the deadline of ${milliseconds} ms has passed`, { details: { milliseconds } })
  }
}

export const RING_ERRORS: readonly ErrorInfo[] = [PeerLostError.info, SessionRefusedError.info, DeadlineError.info]
