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

/** A stage has gone, and nobody is there who could take its blocks. */
export class NoRouteError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-033',
    title: 'No route',
    meaning:
      'A peer that computed a part of the answer was lost, and no other peer holds its blocks, or could fetch and load them, in time. The tokens so far stand in the answer.',
    remedy:
      'Bring the peer back, or another one with memory for its blocks: weft status shows who is there. A text that has begun waits a minute for one, and with a deadline of its own until then.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  /**
   * @param seconds for which somebody was looked for
   * @param silentMs since a row came through that had not come before
   */
  constructor(
    lost: { readonly peer: string; readonly from: number; readonly to: number },
    why: string,
    seconds: number,
    silentMs?: number,
  ) {
    const { peer, from, to } = lost
    const waited = Math.round(seconds * 10) / 10
    const silent = silentMs === undefined ? {} : { silent_ms: Math.round(silentMs) }
    super(NoRouteError.info, `nobody has taken the blocks [${from}, ${to}) of the lost peer ${peer} in ${waited} s`, {
      why,
      details: { from, to, peer, seconds: waited, ...silent },
    })
  }
}

/** What a replacement needs is not kept any more. The origin feeds it from further up. */
export class KeptRowsError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-034',
    title: 'Boundary rows not kept',
    meaning: 'Rows that a replaced stage needs again were not kept: the disk had no room for what goes beyond memory.',
    remedy: 'Make room on the disk of that peer; the session is fed from a stage before it meanwhile.',
    exit: EXIT.noResources,
    http: 503,
    retryable: true,
  }

  constructor(wanted: number, first: number) {
    super(KeptRowsError.info, `row ${wanted} is not kept any more; the first that is has position ${first}`, {
      details: { wanted, first },
    })
  }
}

/** A stage has computed a NaN or an infinity. Another peer is asked; where that one computes the same, it is the model. */
export class RowsNotFiniteError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-036',
    title: 'Rows are no numbers',
    meaning:
      'A stage computed NaN or infinity and did not send it on: its memory or its weights are damaged, an adapter has values too large, or the model leaves the range of float16.',
    remedy:
      'Another peer has been asked as well, where one has the blocks. weft doctor on the peer that is named; leave the adapter out; import the model with --weights f32.',
    exit: EXIT.integrity,
    http: 502,
  }

  constructor(from: number, to: number, position: number) {
    super(RowsNotFiniteError.info, `blocks [${from}, ${to}) computed rows that are no numbers`, {
      details: { from, to, position },
    })
  }
}

export const RING_ERRORS: readonly ErrorInfo[] = [
  PeerLostError.info,
  SessionRefusedError.info,
  DeadlineError.info,
  NoRouteError.info,
  KeptRowsError.info,
  RowsNotFiniteError.info,
]
