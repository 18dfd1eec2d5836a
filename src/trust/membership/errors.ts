/** What can go wrong with the membership log of a cluster. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorFacts, ErrorInfo } from '../../errors.ts'
import type { DiskTrouble } from '../../store/index.ts'

export class EntryFormError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-101',
    title: 'No entry of a membership log',
    meaning:
      'Bytes that should be an entry are not: unknown version, kind or field, a value out of bounds, or another spelling than the one.',
    remedy: 'It was damaged on its way or on the disk, or is of a newer weft: compare weft version on both sides.',
    exit: EXIT.integrity,
    http: 422,
  }

  constructor(why: string, details: ErrorFacts['details'] = {}) {
    super(EntryFormError.info, 'the bytes are no entry of a membership log', { why, details })
  }
}

export class EntryChainError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-102',
    title: 'An entry does not follow',
    meaning: 'An entry of a membership log is not the next one: one is missing, or it belongs to another cluster.',
    remedy: 'weft cluster show on another member: is this peer behind, or in another cluster?',
    exit: EXIT.integrity,
    http: 422,
  }

  constructor(why: string, details: ErrorFacts['details'] = {}) {
    super(EntryChainError.info, 'an entry of the membership log does not follow the one before', { why, details })
  }
}

export class EntrySignatureError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-103',
    title: 'An entry is not signed by who may',
    meaning: 'A signature is wrong, is not by an admin of that moment, or too few have signed.',
    remedy: 'weft cluster show names the admins and how many must sign: weft cluster sign FILE on another.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(why: string, details: ErrorFacts['details'] = {}) {
    super(EntrySignatureError.info, 'an entry of the membership log is not signed by who may', { why, details })
  }
}

export class EntryRefusedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-104',
    title: 'The membership does not allow this',
    meaning:
      'The change contradicts the membership: somebody is in already, or not, was removed for good, or too few admins would be left.',
    remedy: 'weft cluster show says who is in, and weft cluster admins changes who signs.',
    exit: EXIT.denied,
    http: 409,
  }

  constructor(why: string, details: ErrorFacts['details'] = {}) {
    super(EntryRefusedError.info, `the membership does not allow this: ${why}`, { details })
  }
}

export class LogForkError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-105',
    title: 'The membership log has a fork',
    meaning:
      'In each of two histories admins take the right to sign from those who signed the other, so that no rule may choose. Both heads are kept; this peer stays with its own.',
    remedy: 'weft cluster show has both heads and who signed them. The root key decides: weft cluster recover.',
    exit: EXIT.integrity,
    http: 409,
  }

  constructor(height: number, kept: string, other: string) {
    super(LogForkError.info, `two histories of the membership contradict each other at entry ${height}`, {
      why: `${kept.slice(0, 12)} stands here, ${other.slice(0, 12)} elsewhere`,
      details: { height, kept, other },
    })
  }
}

export class LogRolledBackError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-106',
    title: 'The membership log is older than it was',
    meaning: 'The log in the home has fewer or other entries than this peer has had: an old copy was put back.',
    remedy: 'Restore the newest backup of the home; whoever was removed since could come back otherwise.',
    exit: EXIT.integrity,
    http: 500,
  }

  constructor(path: string, facts: ErrorFacts['details'] = {}) {
    super(LogRolledBackError.info, `the membership log ${path} is older than it was`, { details: { path, ...facts } })
  }
}

export class LogDamagedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-107',
    title: 'The membership log is damaged',
    meaning: 'The file of the log, its checkpoint or its anchor is not what this peer wrote.',
    remedy:
      'Restore it from a backup. Without one, remove the folder cluster/ of the home and join again with a new invite.',
    exit: EXIT.integrity,
    http: 500,
  }

  constructor(path: string, why: string, cause?: unknown) {
    super(LogDamagedError.info, `the membership log ${path} is damaged`, { why, details: { path }, cause })
  }
}

export class SealError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-108',
    title: 'The group key cannot be opened',
    meaning: 'What an entry holds for this peer was not sealed to its identity.',
    remedy: 'Has the identity of this home been replaced? Then join again with a new invite.',
    exit: EXIT.integrity,
    http: 500,
  }

  constructor(why: string) {
    super(SealError.info, 'the group key of the cluster cannot be opened here', { why })
  }
}

export class RoleError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-110',
    title: 'Not in this role',
    meaning: 'The role of a member does not allow this: a guest only asks, a device only computes.',
    remedy: 'weft peers shows the roles. For another role: revoke, and a new invite with --role.',
    exit: EXIT.denied,
    http: 403,
  }

  /** @param purpose as in PURPOSES */
  constructor(peer: string, purpose: string) {
    super(RoleError.info, `${peer} is not admitted to ${purpose}`, { details: { peer, purpose } })
  }
}

export class LogMovedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-111',
    title: 'The membership log has grown meanwhile',
    meaning: 'Another process of this home has added to the log since this one has read it. Nothing was written.',
    remedy: 'Do it again.',
    exit: EXIT.denied,
    http: 409,
    retryable: true,
  }

  constructor(path: string) {
    super(LogMovedError.info, 'another process of this home has changed the membership log meanwhile', {
      details: { path },
    })
  }
}

export class ClocksApartError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-112',
    title: 'Two clocks are too far apart',
    meaning:
      'The clock of an admin differs from the one here by more than five minutes. Its word is not taken for fresh: with max-age this peer refuses everything but asking for news.',
    remedy: 'Set both clocks (NTP). It mends itself with the next word of the admin, some seconds later.',
    exit: EXIT.denied,
    http: 503,
    retryable: true,
  }

  constructor(admin: string, aheadMs: number) {
    const minutes = Math.round(Math.abs(aheadMs) / 60_000)
    const how = aheadMs > 0 ? 'ahead of' : 'behind'
    super(ClocksApartError.info, `the clock of ${admin} is ${minutes} minutes ${how} the one here`, {
      details: { admin, ahead_ms: aheadMs },
    })
  }
}

export class LogUnwritableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-113',
    title: 'The membership log cannot be written',
    meaning:
      'An entry could not be written down: the disk is full or fails, the file may not be written, or another process holds it. What is in force here is as it was.',
    remedy: 'Free space, or look at the owner and mode of the folder cluster/ of the home. Then do it again.',
    exit: EXIT.noResources,
    http: 507,
    retryable: true,
  }

  constructor({ why, details }: DiskTrouble, cause: unknown) {
    super(LogUnwritableError.info, `the membership log ${String(details['path'])} cannot be written`, {
      why,
      details,
      cause,
    })
  }
}

export class MembershipStaleError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-114',
    title: 'The membership is not confirmed',
    meaning:
      'No admin of the cluster was heard for longer than max_age of the policy, or --max-age, allows: who was removed meanwhile cannot be known, so everything is refused but asking for news.',
    remedy:
      'It mends itself when an admin, or a member that hears one, can be reached: weft cluster show says when one was heard last.',
    exit: EXIT.denied,
    http: 503,
    retryable: true,
  }

  /** Milliseconds. @param age null: none was ever heard */
  constructor(age: number | null, most: number | undefined) {
    const heard = age === null ? 'was heard' : `was heard for ${Math.round(age / 1000)} s`
    super(MembershipStaleError.info, `no admin of the cluster ${heard}, so its membership is not believed`, {
      why: most === undefined ? 'it was too old' : `the site allows ${Math.round(most / 1000)} s`,
      details: { age_ms: age, max_age_ms: most ?? null },
    })
  }
}

export class CertificateExpiredError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-115',
    title: 'The certificate of a member is over',
    meaning:
      'The cluster asks for certificates, and no admin has renewed that of this member for as long as they are good for: whether it still is one cannot be known here, so everything is refused but asking for news.',
    remedy:
      'It mends itself when an admin runs (another one, where the member is an admin and several decide) and can be reached, by whatever members: weft cluster show says whose certificate ends when. Check the clocks of both machines. Where all admins are lost: weft cluster recover.',
    exit: EXIT.denied,
    http: 503,
    retryable: true,
  }

  /** @param until milliseconds since 1970 */
  constructor(peer: string, until: number) {
    const at = new Date(until).toISOString()
    super(CertificateExpiredError.info, `the certificate of ${peer} ended at ${at}`, { details: { peer, until: at } })
  }
}

export const MEMBERSHIP_ERRORS: readonly ErrorInfo[] = [
  EntryFormError.info,
  EntryChainError.info,
  EntrySignatureError.info,
  EntryRefusedError.info,
  LogForkError.info,
  LogRolledBackError.info,
  LogDamagedError.info,
  SealError.info,
  RoleError.info,
  LogMovedError.info,
  ClocksApartError.info,
  LogUnwritableError.info,
  MembershipStaleError.info,
  CertificateExpiredError.info,
]
