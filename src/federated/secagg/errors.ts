/** Refusals of the protocol `fl-secagg/1`: who is named broke it, or the round cannot go on. */
import { EXIT } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'
import { FederatedError } from '../errors.ts'
import type { Place } from '../errors.ts'

export class ThresholdError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-020',
    title: 'Too few members left',
    meaning: 'Fewer members take part, or are left, than the plan demands; the round ends and reveals nothing.',
    remedy: 'Start another round when more members are reachable. A plan may not have a lower threshold than half.',
    exit: EXIT.noResources,
    http: 409,
  }
  constructor(message: string, place?: Place) {
    super(ThresholdError.info, 'threshold', message, place)
  }
}

export class DuplicateIdentityError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-021',
    title: 'One identity twice',
    meaning: 'A roster names the same member twice.',
    remedy: 'The aggregator that sent the roster is broken or lies; let another peer aggregate.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(message: string, place?: Place) {
    super(DuplicateIdentityError.info, 'duplicate-identity', message, place)
  }
}

export class DuplicateKeyError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-022',
    title: 'One key twice',
    meaning: 'Two keys of a roster are equal, so that masks would cancel or channels would be shared.',
    remedy: 'The member that is named copied a key, or its random source is broken.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(message: string, place?: Place) {
    super(DuplicateKeyError.info, 'duplicate-key', message, place)
  }
}

export class WeakKeyError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-023',
    title: 'Weak public key',
    meaning: 'A public key makes every shared secret zero.',
    remedy: 'The member that is named sent a key of small order: leave it out.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(message: string, place?: Place) {
    super(WeakKeyError.info, 'weak-key', message, place)
  }
}

export class NotMemberError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-024',
    title: 'Not a member',
    meaning: 'A roster names somebody who is no member of the federation.',
    remedy: 'Check the membership of the cluster; an aggregator cannot add members.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(message: string, place?: Place) {
    super(NotMemberError.info, 'not-a-member', message, place)
  }
}

export class OwnKeysError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-025',
    title: 'Own keys missing or changed',
    meaning: 'The roster that the aggregator sent does not hold what this member advertised.',
    remedy: 'The aggregator is broken or lies; let another peer aggregate.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(message: string, place?: Place) {
    super(OwnKeysError.info, 'own-keys', message, place)
  }
}

export class SignatureError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-026',
    title: 'Signature not valid',
    meaning:
      'A signature is not of the named member over this round: another model, plan, threshold, round or set of survivors.',
    remedy: 'Whoever is named sees another round than this member, or the message was forged.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(message: string, place?: Place) {
    super(SignatureError.info, 'bad-signature', message, place)
  }
}

export class CiphertextError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-027',
    title: 'Shares cannot be opened',
    meaning: 'Encrypted shares do not open with the key of the pair, or are not for this holder.',
    remedy: 'The sender that is named, or whoever carried its message, changed it.',
    exit: EXIT.integrity,
    http: 502,
  }
  constructor(message: string, place?: Place) {
    super(CiphertextError.info, 'ciphertext', message, place)
  }
}

export class ShareError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-028',
    title: 'Secret cannot be restored',
    meaning: 'No set of shares large enough restores the secret that the named member committed to.',
    remedy: 'The sum cannot be unmasked. Start another round without the members that gave wrong shares.',
    exit: EXIT.integrity,
    http: 502,
  }
  constructor(message: string, place?: Place) {
    super(ShareError.info, 'share', message, place)
  }
}

export class DuplicateShareError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-029',
    title: 'One share twice',
    meaning: 'Two shares have the same place.',
    remedy: 'Give each share once.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(message: string, place?: Place) {
    super(DuplicateShareError.info, 'duplicate-share', message, place)
  }
}

export class SurvivorsError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-030',
    title: 'Set of members not acceptable',
    meaning:
      'A list of senders or survivors names somebody twice, somebody who cannot be in it, or leaves this member out.',
    remedy: 'The aggregator is broken or lies; no share was sent. Let another peer aggregate.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(message: string, place?: Place) {
    super(SurvivorsError.info, 'survivors', message, place)
  }
}

export class ReplayError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-031',
    title: 'Message of an earlier stage',
    meaning: 'A message of a stage that is over came again, or a second set of survivors for one round.',
    remedy: 'Nothing was sent. A round is answered once; start another.',
    exit: EXIT.denied,
    http: 409,
  }
  constructor(message: string, place?: Place) {
    super(ReplayError.info, 'replay', message, place)
  }
}

export class OrderError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-032',
    title: 'Message out of order',
    meaning: 'A message of a later stage came before its time.',
    remedy: 'The aggregator is broken or lies; let another peer aggregate.',
    exit: EXIT.denied,
    http: 409,
  }
  constructor(message: string, place?: Place) {
    super(OrderError.info, 'order', message, place)
  }
}

export class MinimumRecordsError extends FederatedError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-033',
    title: 'Too few records',
    meaning: 'All survivors together have fewer records than this member demands before a sum may be seen.',
    remedy: 'Wait for members with more records, or agree on a lower minimum.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(message: string, place?: Place) {
    super(MinimumRecordsError.info, 'min-records', message, place)
  }
}

export const SECAGG_ERRORS: readonly ErrorInfo[] = [
  ThresholdError.info,
  DuplicateIdentityError.info,
  DuplicateKeyError.info,
  WeakKeyError.info,
  NotMemberError.info,
  OwnKeysError.info,
  SignatureError.info,
  CiphertextError.info,
  ShareError.info,
  DuplicateShareError.info,
  SurvivorsError.info,
  ReplayError.info,
  OrderError.info,
  MinimumRecordsError.info,
]
