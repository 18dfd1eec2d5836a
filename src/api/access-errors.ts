/** Why somebody may not: keys, origins, floods. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

const DENIED = { exit: EXIT.denied, http: 403 } as const

export class KeyMissingError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-030',
    title: 'Key missing',
    meaning: 'The API listens on more than loopback, where every request but /healthz needs a key.',
    remedy: 'Make one with weft key create and send it as: Authorization: Bearer KEY.',
    exit: EXIT.denied,
    http: 401,
  }

  constructor() {
    super(KeyMissingError.info, 'an API key is needed')
  }
}

export class KeyRefusedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-031',
    title: 'Key refused',
    meaning: 'The key is unknown, revoked or expired.',
    remedy: 'weft key ls shows the keys that hold; weft key create makes another.',
    exit: EXIT.denied,
    http: 401,
  }

  constructor() {
    super(KeyRefusedError.info, 'the API key is not valid')
  }
}

export class KeyScopeError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-032',
    title: 'Key lacks a scope',
    meaning: 'The key is valid, but not for this.',
    remedy: 'Make a key that may: weft key create --scope SCOPE.',
    ...DENIED,
  }

  constructor(needed: string) {
    super(KeyScopeError.info, `the API key lacks the scope '${needed}'`, { details: { needed } })
  }
}

export class KeyInQueryError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-033',
    title: 'Key in the address',
    meaning: 'Addresses end in logs and histories, so a key in one is refused, valid or not.',
    remedy: 'Send the key as: Authorization: Bearer KEY. Revoke it if it was real.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(param: string) {
    super(KeyInQueryError.info, `a key in the query ('${param}') is refused`, { details: { param } })
  }
}

export class HostRefusedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-034',
    title: 'Host refused',
    meaning: 'The Host header names another host: a web page may be reaching for this machine by DNS rebinding.',
    remedy: 'Call the API by the address it listens on, or allow the name: weft up --http-host NAME.',
    ...DENIED,
  }

  constructor() {
    super(HostRefusedError.info, 'the Host header is not an address of this API')
  }
}

export class OriginRefusedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-035',
    title: 'Origin refused',
    meaning: 'A web page of another origin called; pages may not use this API unless they are allowed to.',
    remedy: 'If the page is yours, allow its origin: weft up --cors ORIGIN.',
    ...DENIED,
  }

  constructor() {
    super(OriginRefusedError.info, 'calls from this web origin are not allowed')
  }
}

export class WebSocketRefusedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-036',
    title: 'No WebSocket here',
    meaning: 'The API streams over plain HTTP and speaks no WebSocket.',
    remedy: 'Use server-sent events: "stream": true, or GET /api/v1/events.',
    ...DENIED,
  }

  constructor() {
    super(WebSocketRefusedError.info, 'WebSocket connections are not accepted')
  }
}

export class SocketOnlyError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-037',
    title: 'Only over the local socket',
    meaning: 'This stops or changes the peer itself, so it is taken from the local socket only.',
    remedy: 'Run the weft command on that machine, as the user that the peer runs as.',
    ...DENIED,
  }

  constructor() {
    super(SocketOnlyError.info, 'this is only possible over the local socket')
  }
}

export class TooManyRequestsError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-038',
    title: 'Too many requests at once',
    meaning: 'One address has as many requests in flight as it may.',
    remedy: 'Wait for some to end, and try again.',
    exit: EXIT.noResources,
    http: 429,
    retryable: true,
  }

  /** @param again seconds until a place is expected */
  constructor(limit: number, again: number) {
    super(TooManyRequestsError.info, `more than ${limit} requests in flight from one address`, {
      details: { limit, retry_after_s: again },
    })
  }
}

export class OverloadedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-039',
    title: 'Peer is full',
    meaning: 'As many requests are in flight as this peer takes.',
    remedy: 'Try again shortly, or ask another peer of the mesh.',
    exit: EXIT.noResources,
    http: 503,
    retryable: true,
  }

  /** @param again seconds until a place is expected; undefined: nobody knows */
  constructor(what: string, limit: number, again?: number) {
    super(OverloadedError.info, `the peer is full: ${limit} ${what}`, {
      details: { limit, ...(again === undefined ? {} : { retry_after_s: again }) },
    })
  }
}
