/** What can be wrong between the command and the peer of its home. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'
import { info } from './error-info.ts'

export class PeerNotRunningError extends WeftError {
  static readonly info: ErrorInfo = info(
    '010',
    EXIT.notRunning,
    'No peer is running',
    'The command needs the running peer of this home, and nothing answers on its socket.',
    'Start it with weft up, or name its home with --home or $WEFT_HOME.',
    503,
  )

  constructor(home: string, socket: string, hint?: string) {
    super(PeerNotRunningError.info, `no peer is running in ${home}`, {
      why: `nothing answers on ${socket}`,
      details: { home, socket },
      ...(hint === undefined ? {} : { hint }),
    })
  }
}

export class PeerSilentError extends WeftError {
  static readonly info: ErrorInfo = info(
    '012',
    EXIT.unreachable,
    'The peer does not answer as expected',
    'The socket of the peer accepts a call but gives no answer in time, breaks off, or answers with something else.',
    'weft logs shows what the peer is doing; weft down, or ending its process, and weft up start it anew.',
    502,
  )

  constructor(what: string, why: string, cause?: unknown) {
    super(PeerSilentError.info, `the peer did not answer ${what}`, { why, details: {}, cause })
  }
}

export class UntrustedSocketError extends WeftError {
  static readonly info: ErrorInfo = info(
    '013',
    EXIT.denied,
    "The socket is not this user's",
    'The socket of this home belongs to somebody else, who would be shown every prompt.',
    'Remove the socket, or set XDG_RUNTIME_DIR or WEFT_HOME to a folder of your own.',
    403,
  )

  constructor(socket: string, why: string) {
    super(UntrustedSocketError.info, `${socket} cannot be trusted`, { why, details: { socket } })
  }
}

export class PeerDidNotStartError extends WeftError {
  static readonly info: ErrorInfo = info(
    '014',
    EXIT.unexpected,
    'The peer did not start',
    'The background process ended, or was not ready in time.',
    'Read logs/up.log in the home, or run weft up --foreground.',
    500,
  )

  constructor(why: string, log: string) {
    super(PeerDidNotStartError.info, 'the peer did not start', {
      why,
      details: { log },
      hint: `read ${log}, or run weft up --foreground`,
    })
  }
}

export class PeerNotFoundError extends WeftError {
  static readonly info: ErrorInfo = info(
    '015',
    EXIT.notFound,
    'No such peer',
    'No peer that is known has this id, name or beginning of an id, or more than one has.',
    'weft peers --wide lists names and ids.',
    404,
  )

  /** @param near the name that may have been meant */
  constructor(peer: string, matches: readonly string[], near?: string) {
    const message = matches.length === 0 ? `no known peer is called "${peer}"` : `"${peer}" means more than one peer`
    super(PeerNotFoundError.info, message, {
      details: { peer, matches },
      ...(matches.length === 0 ? {} : { why: `it fits ${matches.join(', ')}` }),
      ...(near === undefined ? {} : { hint: `did you mean ${near}? weft peers --wide lists names and ids.` }),
    })
  }
}

export class PeerRunsError extends WeftError {
  static readonly info: ErrorInfo = info(
    '016',
    EXIT.denied,
    'A peer runs in this home',
    'The command changes which cluster the home belongs to, and needs it for itself.',
    'weft down first; after it, weft up again.',
    409,
  )

  constructor(home: string, pid: number, what: string) {
    super(PeerRunsError.info, `cannot ${what} while a peer runs in ${home}`, { details: { home, pid } })
  }
}
