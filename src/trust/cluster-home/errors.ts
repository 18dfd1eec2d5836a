/** What can go wrong with the cluster of a home. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

export class NoClusterError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-170',
    title: 'No cluster',
    meaning: 'The home belongs to no cluster.',
    remedy: 'weft cluster create NAME begins one; weft join TOKEN enters one.',
    exit: EXIT.notFound,
    http: 404,
  }

  constructor(home: string) {
    super(NoClusterError.info, 'this home belongs to no cluster', { details: { home } })
  }
}

const REMOVED_HINT =
  'That cluster lets this identity in no more. For a new one: weft cluster leave, and move keys/identity.key away.'

export class InClusterError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-171',
    title: 'In a cluster already',
    meaning: 'A home belongs to one cluster at most.',
    remedy: 'weft cluster leave first, or use another home: --home DIR.',
    exit: EXIT.denied,
    http: 409,
  }

  /** @param removed this peer was removed from it, for good */
  constructor(name: string, removed = false) {
    super(InClusterError.info, `this home belongs to the cluster ${name} already`, {
      details: { name, removed },
      ...(removed ? { why: 'this peer was removed from it', hint: REMOVED_HINT } : {}),
    })
  }
}

export class DamagedClusterError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-172',
    title: 'The cluster of the home cannot be read',
    meaning: 'cluster/cluster.json is not what weft wrote.',
    remedy: 'Restore the folder cluster/ from a backup, or remove it and join again with a new invite.',
    exit: EXIT.integrity,
    http: 500,
  }

  constructor(path: string, why: string) {
    super(DamagedClusterError.info, `${path} cannot be read`, { why, details: { path } })
  }
}

export class RootKeyError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-173',
    title: 'Not the root key of this cluster',
    meaning: 'The file holds no root key, or that of another cluster.',
    remedy: 'Take the file that weft cluster create wrote: one line, weft-cluster-root/1 and 64 hexadecimal digits.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor(path: string, why: string) {
    super(RootKeyError.info, `${path} is not the root key of this cluster`, { why, details: { path } })
  }
}

export class ProposalError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-174',
    title: 'The proposal cannot be used',
    meaning:
      'The file is no proposal, is of another cluster, was signed here already, or the membership has changed since it was made.',
    remedy: 'Make it anew, and have it signed before anything else changes: weft cluster admins …, weft revoke …',
    exit: EXIT.denied,
    http: 409,
  }

  constructor(why: string, hint?: string) {
    super(ProposalError.info, 'the proposal cannot be used', { why, ...(hint === undefined ? {} : { hint }) })
  }
}

export class NotAdminError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-175',
    title: 'Not an admin',
    meaning: 'Only an admin of the cluster may do this.',
    remedy: 'Do it on an admin: weft cluster show names them.',
    exit: EXIT.denied,
    http: 403,
  }

  constructor() {
    super(NotAdminError.info, 'this peer is no admin of the cluster')
  }
}

export class ClusterNetworkError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-176',
    title: 'A cluster has its own key',
    meaning: 'A home that belongs to a cluster was started with the key of another network.',
    remedy: 'Start it without --network-key: the membership log of the cluster takes its place.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(name: string) {
    super(ClusterNetworkError.info, `this home belongs to the cluster ${name}, which has its own key`)
  }
}

export class ClusterNameError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-177',
    title: 'Not acceptable in a membership log',
    meaning: 'A name, site, reason or number of admins is too long, empty, or has characters that cannot be seen.',
    remedy: 'Names and sites have up to 64 characters, reasons up to 200; --admins is K or KofN, at most 15.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(what: string, got: string) {
    super(ClusterNameError.info, `${what} is not acceptable: ${JSON.stringify(got.slice(0, 80))}`)
  }
}

export const CLUSTER_HOME_ERRORS: readonly ErrorInfo[] = [
  NoClusterError.info,
  InClusterError.info,
  DamagedClusterError.info,
  RootKeyError.info,
  ProposalError.info,
  NotAdminError.info,
  ClusterNetworkError.info,
  ClusterNameError.info,
]
