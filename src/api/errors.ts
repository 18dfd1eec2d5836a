/** What the HTTP side refuses, one class a cause. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

export class PortInUseError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-001',
    title: 'Port in use',
    meaning: 'Another program (often another weft) listens on the address that was asked for.',
    remedy: 'Stop the other program, or choose a free port with --http HOST:PORT.',
    exit: EXIT.noResources,
    http: 500,
  }

  /** `free`: a port that was free a moment ago, on the same host. */
  constructor(host: string, port: number, free: number | null) {
    super(PortInUseError.info, `${host}:${port} is in use by another program`, {
      ...(free === null ? {} : { hint: `Port ${free} is free: --http ${host}:${free}` }),
      details: { host, port, free },
    })
  }
}

export class ListenError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-002',
    title: 'Cannot listen',
    meaning: 'The operating system refused the address or socket path: not of this machine, not allowed, or too long.',
    remedy: 'Name an address of this machine and a port above 1023 with --http HOST:PORT.',
    exit: EXIT.unexpected,
    http: 500,
  }

  constructor(where: string, cause: unknown) {
    super(ListenError.info, `cannot listen on ${where}`, {
      why: cause instanceof Error ? cause.message : String(cause),
      details: { where },
      cause,
    })
  }
}

export class SocketInUseError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-003',
    title: 'Another peer runs in this home',
    meaning: 'Something answers on the socket of this home already.',
    remedy: 'Use the running peer, stop it with weft down, or start this one with another --home.',
    exit: EXIT.noResources,
    http: 500,
  }

  constructor(path: string) {
    super(SocketInUseError.info, `a peer is running already: ${path} is answered`, { details: { path } })
  }
}

/** Retryable by the same client later; not a mistake of the request. */
export class ShuttingDownError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-004',
    title: 'Peer is stopping',
    meaning: 'The peer was told to stop and ends what is in flight.',
    remedy: 'Ask another peer, or try again when this one is back.',
    exit: EXIT.notRunning,
    http: 503,
    retryable: true,
  }

  constructor() {
    super(ShuttingDownError.info, 'the peer is stopping')
  }
}

/** A peer call that should have been a look-up did not come back. */
export class AnswerTimeoutError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-005',
    title: 'No answer in time',
    meaning: 'A part of the peer did not answer a question that needs no computing.',
    remedy: 'Look at weft status and weft doctor; restart the peer if it stays so.',
    exit: EXIT.timedOut,
    http: 504,
    retryable: true,
  }

  constructor(what: string, milliseconds: number) {
    super(AnswerTimeoutError.info, `no answer for ${what} within ${milliseconds / 1000} s`, {
      details: { what, milliseconds },
    })
  }
}

/** The reason of the signal when a client closes its connection; it is logged, nobody is there to read it. */
export class ClientGoneError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-006',
    title: 'Client gone',
    meaning: 'The client closed the connection before its answer was complete; the work was stopped.',
    remedy: 'Nothing, unless the client did not mean to: then look at its time-outs.',
    exit: EXIT.unexpected,
    http: 499,
  }

  constructor() {
    super(ClientGoneError.info, 'the client closed the connection')
  }
}

export class ClientStalledError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-007',
    title: 'Client does not read',
    meaning: 'The client left a full buffer unread for so long that its connection was cut.',
    remedy: 'Read the stream as it comes, or ask without streaming.',
    exit: EXIT.timedOut,
    http: 408,
  }

  constructor(milliseconds: number) {
    super(ClientStalledError.info, `the client read nothing for ${milliseconds / 1000} s`, {
      details: { milliseconds },
    })
  }
}
