/** What can go wrong on the way between two processes. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'
import { DISCOVERY_ERRORS } from './discovery-errors.ts'

/** Bytes that are not a frame of ours: garbage, damage, or a limit exceeded. `field` names what was wrong. */
export class FrameError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-NET-001',
    title: 'Not a frame',
    meaning: 'Bytes arrived that are no weft frame, are damaged, or exceed a limit; the connection was closed.',
    remedy: 'If both ends run the same weft version, look for a proxy or a faulty link between them.',
    exit: EXIT.integrity,
    http: 502,
    retryable: true,
  }

  constructor(field: string, message: string) {
    super(FrameError.info, message, { details: { field } })
  }
}

/** The other end has gone, or the stream to it broke. */
export class ChannelClosedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-NET-002',
    title: 'Connection lost',
    meaning: 'The stream to another peer or to a stage host ended while it was in use.',
    remedy: 'weft status shows who is still there; the request can be made again.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  constructor(remote: string, why?: string) {
    super(ChannelClosedError.info, `the connection to ${remote} was lost`, {
      details: { remote },
      ...(why === undefined ? {} : { why }),
    })
  }
}

/** A control map that is no plain data, or above a limit. `field` names what was wrong. */
export class ControlError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-NET-003',
    title: 'Bad control map',
    meaning: 'The small map beside a frame is too large, too deep, truncated, or not plain data; it was not decoded.',
    remedy: 'If both ends run the same weft version, report it: weft bugreport.',
    exit: EXIT.integrity,
    http: 502,
    retryable: true,
  }

  constructor(field: string, message: string) {
    super(ControlError.info, `a control map was refused: ${message}`, { details: { field } })
  }
}

/** More sends wait for room than anybody who awaits them can have. */
export class ChannelBusyError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-NET-004',
    title: 'Connection backed up',
    meaning: 'The other end does not read as fast as this one sends, and too many frames wait.',
    remedy: 'Send less at a time, or look why the other peer is slow: weft bench, weft ping.',
    exit: EXIT.noResources,
    http: 503,
    retryable: true,
  }

  constructor(remote: string, waiting: number) {
    super(ChannelBusyError.info, `${waiting} frames to ${remote} wait to be sent`, { details: { remote, waiting } })
  }
}

/** An address that was asked for by name is taken. */
export class PortInUseError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-NET-005',
    title: 'Port in use',
    meaning: 'Another program listens on the address that this peer was told to listen on.',
    remedy: 'Stop the other program, choose another port, or leave --listen away: a free port is then taken.',
    exit: EXIT.noResources,
    http: 500,
  }

  constructor(address: string) {
    super(PortInUseError.info, `the address ${address} is in use`, { details: { address } })
  }
}

/** An address that cannot be listened on. */
export class ListenError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-NET-006',
    title: 'Cannot listen',
    meaning: 'The operating system did not let this peer listen on an address.',
    remedy: 'Name an address of this machine and a port above 1023, e.g. --listen /ip4/0.0.0.0/tcp/7334.',
    exit: EXIT.noResources,
    http: 500,
  }

  constructor(addresses: readonly string[], why: string) {
    super(ListenError.info, `cannot listen on ${addresses.join(', ')}`, { why, details: { addresses } })
  }
}

/** Text that is no multiaddr of a kind that weft dials or listens on. */
export class BadAddressError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-NET-007',
    title: 'Not an address',
    meaning: 'An address is written as a multiaddr: /ip4/192.168.1.7/tcp/7334, with /p2p/PEERID behind it if known.',
    remedy: 'weft status on the other peer prints its addresses in this form.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(address: string) {
    super(BadAddressError.info, `${JSON.stringify(address)} is not an address`, { details: { address } })
  }
}

/** The other peer does not serve this. */
export class ProtocolUnsupportedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-NET-008',
    title: 'Not served there',
    meaning: 'The other peer is in the mesh but does not serve this protocol.',
    remedy: 'weft peers shows versions: update the older peer.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  constructor(remote: string, protocol: string) {
    super(ProtocolUnsupportedError.info, `${remote} does not serve ${protocol}`, { details: { remote, protocol } })
  }
}

/** Connected, and silent: the machine sleeps, hangs, or is cut off. */
export class PeerFrozenError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-NET-009',
    title: 'Peer does not answer',
    meaning: 'A connected peer did not answer the heart-beat in time, and was taken for lost.',
    remedy: 'It rejoins by itself when it answers again; weft status there, or look at its load.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  constructor(remote: string, silent: number) {
    super(PeerFrozenError.info, `${remote} has not answered for ${Math.round(silent)} ms`, { details: { remote } })
  }
}

/** Used after `stop`. */
export class NetworkStoppedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-NET-010',
    title: 'Network stopped',
    meaning: 'This peer is stopping and opens no connections any more.',
    remedy: 'Start it again: weft up.',
    exit: EXIT.notRunning,
    http: 503,
    retryable: true,
  }

  constructor() {
    super(NetworkStoppedError.info, 'the network of this peer has stopped')
  }
}

export const NET_ERRORS: readonly ErrorInfo[] = [
  FrameError.info,
  ChannelClosedError.info,
  ControlError.info,
  ChannelBusyError.info,
  PortInUseError.info,
  ListenError.info,
  BadAddressError.info,
  ProtocolUnsupportedError.info,
  PeerFrozenError.info,
  NetworkStoppedError.info,
  ...DISCOVERY_ERRORS,
]
