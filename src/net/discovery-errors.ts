/** Why a peer that was seen has not joined: thrown by `open`, and listed by `refusals()` with the same codes. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'
import type { Membership } from './types.ts'

export class OtherNetworkError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-001',
    title: 'Another network',
    meaning: 'The other side holds another network key or belongs to another network; nothing was exchanged.',
    remedy: 'If both are yours, start them with the same --network-key file and the same --network name.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(remote: string) {
    super(OtherNetworkError.info, `${remote} belongs to another network`, { details: { remote } })
  }
}

export class IncompatibleVersionError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-002',
    title: 'Incompatible version',
    meaning: 'The two sides have no protocol version in common; each speaks its own and the one before.',
    remedy: 'Update the older one: weft version on both tells which.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(remote: string, why: string) {
    super(IncompatibleVersionError.info, `${remote} speaks another protocol version`, { why, details: { remote } })
  }
}

export class OwnIdentityError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-003',
    title: 'One identity in two places',
    meaning: 'The same identity key runs on another machine or in another process; others cannot tell the two apart.',
    remedy:
      'A home was copied: on one of the two, move keys/identity.key, keys/audit.anchor and state/audit.db away and start again.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(remote: string) {
    super(OwnIdentityError.info, `the identity ${remote} is in use elsewhere`, { details: { remote } })
  }
}

export class NotAdmittedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-004',
    title: 'Not admitted',
    meaning: 'One of the two sides does not let the other in: its membership, or a person, has said no.',
    remedy: 'Ask whoever runs the other peer: weft status and weft policy there.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(remote: string, why?: string) {
    super(NotAdmittedError.info, `${remote} is not admitted`, {
      details: { remote },
      ...(why === undefined ? {} : { why }),
    })
  }
}

/** It, or its host, is kept out for a while. */
export class PeerBannedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-012',
    title: 'Kept out for a while',
    meaning:
      'A peer sent what no program of ours sends, or asked for more than one can need, and is kept out until a given time.',
    remedy: 'weft peers bans says why and until when; weft peers unban PEER ends it.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(peer: string, why: string) {
    super(PeerBannedError.info, `the peer ${peer} is kept out for a while`, { why, details: { peer } })
  }
}

export class PendingApprovalError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-005',
    title: 'Waits for approval',
    meaning: 'One of the two sides asks a person before a newcomer joins (--lan confirm).',
    remedy: 'Approve the newcomer on the peer that asks: weft peers approve PEER.',
    exit: EXIT.denied,
    http: 403,
    retryable: true,
  }

  /** @param asks the side whose person is asked */
  constructor(remote: string, asks: 'here' | 'there') {
    super(PendingApprovalError.info, `${asks === 'here' ? remote : 'this peer'} waits for approval`, {
      why: asks === 'here' ? 'this peer lets in whom a person approves' : `a person is asked at ${remote}`,
      hint:
        asks === 'here'
          ? `let it in: weft peers approve ${remote}; or keep it out: weft peers deny ${remote}`
          : 'whoever runs that peer lets this one in: weft peers approve, there; nothing is to be done here',
      details: { remote },
    })
  }
}

export class PeerUnreachableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-006',
    title: 'Peer unreachable',
    meaning: 'No address of the peer answers; it is tried again for as long as it takes.',
    remedy: 'Is it running (weft status there), and does a firewall let its port through? weft netcheck.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  constructor(remote: string, why?: string) {
    super(PeerUnreachableError.info, `${remote} cannot be reached`, {
      details: { remote },
      ...(why === undefined ? {} : { why }),
    })
  }
}

export class OtherPeerError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-007',
    title: 'Another peer at that address',
    meaning: 'A peer answers at this address, but not the one whose id the address names.',
    remedy: 'Look up the present address of that peer: weft status there.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  constructor(remote: string) {
    super(OtherPeerError.info, `another peer answers at the address of ${remote}`, { details: { remote } })
  }
}

export class HelloFailedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-008',
    title: 'No greeting',
    meaning: 'A connection was made, but the other side did not greet as weft does, or not in time.',
    remedy: 'Is it weft, and is it overloaded? weft doctor there.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  constructor(remote: string, why: string) {
    super(HelloFailedError.info, `${remote} did not greet`, { why, details: { remote } })
  }
}

export class TooManyNewcomersError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-009',
    title: 'Too many at the door',
    meaning: 'More newcomers wait for approval, or more connections are open, than this peer keeps.',
    remedy: 'Decide about those who wait: weft peers. It is tried again.',
    exit: EXIT.noResources,
    http: 503,
    retryable: true,
  }

  constructor(remote: string) {
    super(TooManyNewcomersError.info, `${remote} was turned away for now`, { details: { remote } })
  }
}

export class RemovedPeerError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-010',
    title: 'Removed from the cluster',
    meaning: 'A peer that was removed from the cluster tried to connect; it was cut off before it could say anything.',
    remedy: 'Nothing is to be done. If it was removed by mistake: a new identity there, and a new invite.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(remote: string) {
    super(RemovedPeerError.info, `${remote} was removed from the cluster`, { details: { remote } })
  }
}

export class SelfRemovedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-014',
    title: 'Out of the cluster',
    meaning: 'This peer is no member of its cluster any more, and speaks to nobody of it.',
    remedy:
      'weft cluster show says since when and why. To come back: a new identity (keys/identity.key away) and an invite.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(remote: string) {
    super(SelfRemovedError.info, 'this peer is no member of the cluster any more', { details: { remote } })
  }
}

/** Why nothing is said to a peer that `isRemoved`: it is out, or this one is, which then speaks to nobody. */
export function removedError(membership: Pick<Membership, 'isRemoved'>, self: string, remote: string): WeftError {
  return membership.isRemoved(self) ? new SelfRemovedError(remote) : new RemovedPeerError(remote)
}

export class NotMemberError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-011',
    title: 'Not a member',
    meaning: 'One of the two sides is not in the membership log of the other.',
    remedy: 'weft join with an invite of an admin (weft invite create there). Just joined? It is tried again.',
    exit: EXIT.denied,
    http: 403,
    retryable: true,
  }

  constructor(remote: string, why?: string) {
    super(NotMemberError.info, `${remote} is not a member of the cluster`, {
      details: { remote },
      ...(why === undefined ? {} : { why }),
    })
  }
}

export class PolicyKeepsOutError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-013',
    title: 'Kept out by a policy',
    meaning:
      'The peer belongs to the mesh, and the policy of the site does not let it connect. Which rule, the site says alone.',
    remedy:
      'At the site that refuses: weft policy explain PEER names the rule, weft policy apply changes it. It is tried again.',
    exit: EXIT.denied,
    http: 403,
    retryable: true,
  }

  constructor(remote: string, rule: string) {
    super(PolicyKeepsOutError.info, `${remote} is kept out by the policy of this site`, {
      why: `rule ${rule}`,
      details: { remote, rule },
    })
  }
}

/** Every error that a greeting may end with; the codes that may be told to the other side are among them. */
export const DISCOVERY_ERRORS: readonly ErrorInfo[] = [
  OtherNetworkError.info,
  IncompatibleVersionError.info,
  OwnIdentityError.info,
  PeerBannedError.info,
  NotAdmittedError.info,
  PendingApprovalError.info,
  PeerUnreachableError.info,
  OtherPeerError.info,
  HelloFailedError.info,
  TooManyNewcomersError.info,
  RemovedPeerError.info,
  SelfRemovedError.info,
  NotMemberError.info,
  PolicyKeepsOutError.info,
]
