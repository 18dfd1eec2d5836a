/** What a peer as a whole refuses. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'
import { ROLLOUT_ERRORS } from './rollouts/errors.ts'
import type { QuarantineEntry } from './quarantine.ts'
import { BATCH_ERRORS } from './batches/errors.ts'
import { KEEPING_ERRORS } from './backups/errors.ts'
import { EMBED_ERRORS } from './embed-errors.ts'
import { DraftUnusableError } from './draft-errors.ts'
import { NoRoomYetError } from './room-errors.ts'
import { TraceMissingError } from './trace-errors.ts'

export class HomeBusyError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-CFG-010',
    title: 'The mesh home is in use',
    meaning: 'Another weft process runs with the same mesh home; two would share one identity.',
    remedy: 'Use the running one (weft status), stop it (weft down), or give this one a home of its own (--home DIR).',
    exit: EXIT.denied,
    http: 409,
  }

  constructor(home: string, pid: number) {
    super(HomeBusyError.info, `the mesh home ${home} is in use by process ${pid}`, { details: { home, pid } })
  }
}

export class HomeUnwritableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-CFG-011',
    title: 'The mesh home cannot be written',
    meaning: 'The folder in which weft keeps keys, models and logs cannot be made or written.',
    remedy: 'Give a folder that this user may write (--home DIR), or correct its owner and mode.',
    exit: EXIT.denied,
    http: 500,
  }

  constructor(home: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super(HomeUnwritableError.info, `the mesh home ${home} cannot be written`, { why, cause, details: { home } })
  }
}

export class ModelUnknownError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-050',
    title: 'Unknown model',
    meaning: 'No model of this name is on this peer or announced in the mesh.',
    remedy: 'weft ls lists what is known; weft import SOURCE brings a model in.',
    exit: EXIT.notFound,
    http: 404,
  }

  /** `catalogued`: it could be fetched. OpenAI's clients show the message alone, so the way to it stands there. */
  constructor(model: string, catalogued: boolean) {
    const fetching = `weft run ${model} fetches it, and so does POST /api/v1/import with ${JSON.stringify({ source: model })}`
    super(
      ModelUnknownError.info,
      catalogued
        ? `${model} is in the catalogue, and not yet here or in the mesh: ${fetching}`
        : `there is no model ${model} here or in the mesh`,
      { details: { model }, ...(catalogued ? { hint: `weft run ${model}, or weft import ${model}` } : {}) },
    )
  }
}

export class ModelInUseError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-051',
    title: 'Model in use',
    meaning: 'A model that is placed in the mesh cannot be removed from a peer that serves it.',
    remedy: 'weft undeploy MODEL first, then weft rm MODEL.',
    exit: EXIT.denied,
    http: 409,
  }

  constructor(model: string) {
    super(ModelInUseError.info, `${model} is placed in the mesh and served here`, { details: { model } })
  }
}

export class DeployFailedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-020',
    title: 'Deployment not complete',
    meaning: 'Not every stage of a placement became ready in time.',
    remedy: 'weft status shows the stages; weft logs at the peer that is named has its reason.',
    exit: EXIT.noResources,
    http: 503,
  }

  constructor(model: string, waiting: readonly string[], why: string) {
    super(DeployFailedError.info, `${model} is not ready on ${waiting.join(', ')}`, {
      why,
      details: { model, waiting },
    })
  }
}

export class AbsentPeerError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-021',
    title: 'Placement on a peer that is away',
    meaning: 'A placement by hand names a peer that is known and cannot be reached, so its blocks could not be loaded.',
    remedy: 'Start that peer, or name another one; weft peers shows who is connected. What was deployed before stands.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  constructor(peer: string) {
    super(AbsentPeerError.info, `${peer} is named in the placement, and cannot be reached`, { details: { peer } })
  }
}

export class NameTakenThereError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-022',
    title: 'Placement on a peer with another model of this name',
    meaning:
      'A peer of a placement has another model under the same name, and keeps one of a name: it would never load this one.',
    remedy:
      'Remove the other one there (weft rm MODEL), import this one under another name (--name), or place it on another peer. What was deployed before stands.',
    exit: EXIT.usage,
    http: 409,
  }

  constructor(peer: string, model: string) {
    super(NameTakenThereError.info, `${peer} has another model with the name ${model}`, { details: { peer, model } })
  }
}

export class OfflineError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-NET-040',
    title: 'No mesh',
    meaning: 'The command needs other peers, but this peer runs alone (offline, or a single command without weft up).',
    remedy: 'Start one with weft up, then run the command again.',
    exit: EXIT.notRunning,
    http: 503,
  }

  constructor(what: string) {
    super(OfflineError.info, `${what} needs a running mesh`, { details: { what } })
  }
}

export class StoppingError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-040',
    title: 'The peer is stopping',
    meaning: 'The peer drains: it completes what is in flight and takes nothing new.',
    remedy: 'Ask another peer, or wait until this one runs again.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  constructor() {
    super(StoppingError.info, 'the peer is stopping and takes no new requests')
  }
}

/** More would be stored than the quota allows, and nothing can go. */
export class DiskQuotaError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-020',
    title: 'Disk quota reached',
    meaning: 'The home is at its disk quota, and what is in it is pinned, in use, or held by no other peer.',
    remedy:
      'Remove a model (weft rm), unpin one (weft unpin), free space on the disk (without --disk the quota is a share of what is free), or start the peer with more (weft up --disk 40GB).',
    exit: EXIT.noResources,
    http: 507,
  }

  constructor(quota: number, used: number, needed: number) {
    super(DiskQuotaError.info, `${needed} bytes more do not fit: ${used} of ${quota} bytes are used`, {
      details: { quota, used, needed },
    })
  }
}

/** Nobody else has promised to keep what would be removed. */
export class LastCopyError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-021',
    title: 'Last copy in the mesh',
    meaning: 'This peer is the only one that holds tensors of the model; after the removal no peer could load it.',
    remedy: 'weft rm MODEL --last removes it all the same; or let another peer import it first.',
    exit: EXIT.denied,
    http: 409,
  }

  constructor(model: string, tensors: number, bytes: number) {
    super(LastCopyError.info, `${model} has ${tensors} tensors (${bytes} bytes) that no other peer holds`, {
      details: { model, tensors, bytes },
    })
  }
}

/** A program gave `createPeer` or `generate` a value that cannot be meant. */
export class OptionError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-CFG-012',
    title: 'Option with a wrong value',
    meaning: 'A call of the library was given an option that it cannot use; nothing was started for it.',
    remedy: 'Correct the option that is named.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(option: string, why: string) {
    super(OptionError.info, `the option ${option} cannot be used: ${why}`, { why, details: { option } })
  }
}

/** A placement names a peer that was found to lie. */
export class PeerQuarantinedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-060',
    title: 'Peer in quarantine',
    meaning:
      'A placement names a peer that computed something else than it should, as an audit here found; nothing was sent to it.',
    remedy: 'Leave it out. weft peers --json shows the evidence; weft peers trust PEER lifts the quarantine.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(entry: QuarantineEntry) {
    const { peer, reason, since, until, evidence } = entry
    const day = (at: number): string => new Date(at).toISOString().slice(0, 10)
    super(PeerQuarantinedError.info, `the peer ${peer} is in quarantine since ${day(since)}, until ${day(until)}`, {
      why: reason,
      details: { peer, since, until, signature: evidence.at(-1)?.signature ?? '' },
    })
  }
}

export class NotInThisVersionError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-090',
    title: 'Not in this version',
    meaning: 'The call is part of the interface, and this version of weft does not have it yet.',
    remedy: 'Use a later version; CHANGELOG.md says which one brings it.',
    exit: EXIT.unexpected,
    http: 501,
  }

  constructor(call: string) {
    super(NotInThisVersionError.info, `this version of weft has no ${call} yet`, { details: { call } })
  }
}

export class AdapterUnknownError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-052',
    title: 'Unknown adapter',
    meaning: 'This home has no adapter of this name for the model.',
    remedy: 'weft adapter ls lists what is known; weft adapter add FOLDER --model MODEL brings one in.',
    exit: EXIT.notFound,
    http: 404,
  }

  constructor(model: string, name: string) {
    super(AdapterUnknownError.info, `there is no adapter ${JSON.stringify(name.slice(0, 100))} of ${model} here`, {
      details: { model, name },
    })
  }
}

export const PEER_ERRORS: readonly ErrorInfo[] = [
  ...EMBED_ERRORS,
  ...KEEPING_ERRORS,
  TraceMissingError.info,
  DraftUnusableError.info,
  NoRoomYetError.info,
  ...BATCH_ERRORS,
  ...ROLLOUT_ERRORS,
  HomeBusyError.info,
  HomeUnwritableError.info,
  ModelUnknownError.info,
  AdapterUnknownError.info,
  ModelInUseError.info,
  DeployFailedError.info,
  AbsentPeerError.info,
  NameTakenThereError.info,
  OfflineError.info,
  DiskQuotaError.info,
  LastCopyError.info,
  StoppingError.info,
  OptionError.info,
  PeerQuarantinedError.info,
  NotInThisVersionError.info,
]
