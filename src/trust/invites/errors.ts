/** What can go wrong with invites, and with becoming a member. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorFacts, ErrorInfo } from '../../errors.ts'
import type { DiskTrouble } from '../../store/index.ts'

export class TokenFormError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-150',
    title: 'No invite, or a damaged one',
    meaning:
      'The text is not an invite as it was made: it was cut off, mistyped, or is something else. Nothing was sent.',
    remedy: 'Copy the whole of it, weft1-… to its end, or take it from a file: weft join FILE.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(why: string) {
    super(TokenFormError.info, 'this is no invite', { why })
  }
}

export class InviteUnknownError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-151',
    title: 'Unknown invite',
    meaning: 'The peer that is asked has not made this invite, or has taken it back.',
    remedy: 'Ask for a new one: weft invite create, there.',
    exit: EXIT.denied,
    http: 404,
  }

  constructor(facts: ErrorFacts = {}) {
    super(InviteUnknownError.info, 'the invite is not known, or was taken back', facts)
  }
}

export class InviteExpiredError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-152',
    title: 'Invite expired',
    meaning: 'The invite is older than it was meant to live, by the clock of the peer that made it.',
    remedy: 'Ask for a new one. Is the clock of that peer right? The message names it.',
    exit: EXIT.denied,
    http: 410,
  }

  constructor(expires: number, now: number) {
    const iso = (at: number): string => new Date(at).toISOString()
    super(InviteExpiredError.info, `the invite expired at ${iso(expires)}`, {
      why: `the clock of the peer that made it says ${iso(now)}`,
      details: { expires: iso(expires), clock: iso(now) },
    })
  }
}

export class InviteUsedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-153',
    title: 'Invite used up',
    meaning: 'As many peers as the invite was for have joined with it.',
    remedy: 'Ask for a new one. If you have not used it: somebody else has; tell whoever made it.',
    exit: EXIT.denied,
    http: 409,
  }

  constructor() {
    super(InviteUsedError.info, 'the invite has been used')
  }
}

export class InviteBoundError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-154',
    title: 'Invite for another peer',
    meaning: 'The invite was made for one PeerId, and another one has handed it in.',
    remedy: 'Ask for one for this peer: weft invite create --peer, with the id that weft key id prints here.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(peer: string) {
    super(InviteBoundError.info, 'the invite is for another peer', { details: { peer } })
  }
}

export class InviteWaitsError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-155',
    title: 'Waits for approval',
    meaning: 'The invite was made with --approve: a person has to let this peer in.',
    remedy: 'weft peers approve PEER, at the peer that made the invite.',
    exit: EXIT.denied,
    http: 202,
    retryable: true,
  }

  constructor(peer: string) {
    super(InviteWaitsError.info, 'a person has to approve this peer', { details: { peer } })
  }
}

export class InviteDeniedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-156',
    title: 'Not let in',
    meaning: 'A person has denied this peer, or it is a member already or was removed from the cluster.',
    remedy: 'Ask whoever made the invite. An identity that was removed never comes back: it needs a new one.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(why: string) {
    super(InviteDeniedError.info, 'the cluster does not let this peer in', { why })
  }
}

export class EnrolUnreachableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-157',
    title: 'The cluster cannot be reached',
    meaning: 'None of the addresses in the invite leads to the peer that made it. The invite is not used up.',
    remedy:
      'Is that peer running, and may its port be dialled from here? weft netcheck there. A peer that was removed from the cluster gets no answer at all: it needs a new identity.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  constructor(addresses: readonly string[], why: string) {
    super(EnrolUnreachableError.info, 'the peer that made the invite cannot be reached', {
      why,
      details: { addresses },
    })
  }
}

export class EnrolUntrustedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-158',
    title: 'Somebody else answers',
    meaning:
      'Whoever answers cannot prove that it is an admin of the cluster that the invite names. The secret was not sent, and the invite is not used up.',
    remedy: 'Is there another machine at that address now? Tell whoever made the invite.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(why: string) {
    super(EnrolUntrustedError.info, 'whoever answers is no admin of the cluster of this invite', { why })
  }
}

export class InvitesUnusableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-159',
    title: 'The invites cannot be read',
    meaning: 'The file with the invites of this peer is damaged.',
    remedy: 'Remove cluster/invites.sqlite: the invites in it are void then.',
    exit: EXIT.integrity,
    http: 500,
  }

  constructor(path: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super(InvitesUnusableError.info, `the invites in ${path} cannot be used`, { why, details: { path }, cause })
  }
}

export class InvitesUnwritableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-161',
    title: 'The invites cannot be written',
    meaning:
      'The disk of the admin is full or fails, the file with its invites may not be written, or another process holds it. No use was taken: the invite is as good as before.',
    remedy:
      'The admin frees space, or looks at the owner and mode of the folder cluster/ of its home. Then do it again.',
    exit: EXIT.noResources,
    http: 507,
    retryable: true,
  }

  constructor({ why, details }: DiskTrouble, cause: unknown) {
    super(InvitesUnwritableError.info, `the invites in ${String(details['path'])} cannot be written`, {
      why,
      details,
      cause,
    })
  }
}

export class InviteAddressError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-160',
    title: 'No address for an invite',
    meaning:
      'An invite says where it is redeemed: one to eight addresses, all of the peer that makes it, which can be dialled or lead through a relay. Nothing was made.',
    remedy:
      'weft status here prints the addresses; --address /ip4/192.168.1.7/tcp/7334 names one. A peer that cannot be dialled has one when it has found a relay: wait a moment.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(why: string) {
    super(InviteAddressError.info, 'the invite would lead nowhere', { why })
  }
}

export const INVITE_ERRORS: readonly ErrorInfo[] = [
  TokenFormError.info,
  InviteUnknownError.info,
  InviteExpiredError.info,
  InviteUsedError.info,
  InviteBoundError.info,
  InviteWaitsError.info,
  InviteDeniedError.info,
  EnrolUnreachableError.info,
  EnrolUntrustedError.info,
  InvitesUnusableError.info,
  InvitesUnwritableError.info,
  InviteAddressError.info,
]
