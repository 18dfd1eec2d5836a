/** What can go wrong between peers that agree; one class a cause. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

/** A peer sent something that the mesh protocols do not know or do not allow; its channel was ended. */
export class MeshProtocolError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-101',
    title: 'Mesh protocol broken',
    meaning: 'A peer sent a message that no weft sends: malformed, oversized, or with a false signature.',
    remedy: 'Update both peers to one version; if it stays, revoke or block the peer.',
    exit: EXIT.integrity,
    http: 502,
  }

  constructor(peer: string, why: string) {
    super(MeshProtocolError.info, `peer ${peer} broke the mesh protocol`, { why, details: { peer } })
  }
}

/** A record of our own is larger than others would take. */
export class RecordTooLargeError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-102',
    title: 'Record too large',
    meaning: 'What this peer would tell the others about itself is above the limit for one record.',
    remedy: 'Remove models that are no longer needed: weft rm.',
    exit: EXIT.noResources,
    http: 507,
  }

  constructor(kind: string, bytes: number, limit: number) {
    super(RecordTooLargeError.info, `the ${kind} record has ${bytes} bytes, the limit is ${limit}`, {
      details: { kind, bytes, limit },
    })
  }
}

/** No connected peer announces the manifest that was asked for. */
export class ManifestUnavailableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-103',
    title: 'Model not in the mesh',
    meaning: 'No peer that can be reached now has the manifest of this model.',
    remedy: 'weft ls shows what is there; weft import brings a model in.',
    exit: EXIT.notFound,
    http: 404,
  }

  constructor(model: string, away: readonly string[]) {
    super(ManifestUnavailableError.info, `no reachable peer has the model ${model}`, {
      ...(away.length === 0 ? {} : { why: `it is held by ${away.join(', ')}, away now` }),
      details: { model, away },
    })
  }
}

/** Every holder failed; what had arrived is kept. */
export class FetchFailedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-104',
    title: 'Fetch failed',
    meaning: 'No holder could deliver the rest of a model; the chunks that arrived are kept.',
    remedy: 'Try again: the fetch goes on where it stopped. weft status shows which holders are away.',
    exit: EXIT.unreachable,
    http: 503,
    retryable: true,
  }

  constructor(what: string, done: number, total: number, holders: Readonly<Record<string, string>>) {
    const reasons = Object.entries(holders).map(([peer, reason]) => `${peer}: ${reason}`)
    super(FetchFailedError.info, `could not fetch ${what}: ${done} of ${total} bytes are here`, {
      why: reasons.length === 0 ? 'no peer that holds it is known' : reasons.join('; '),
      details: { what, done, total, holders },
    })
  }
}

/** One holder could not give one thing; the caller asks the next. Never leaves the room alone. */
export class HolderError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-105',
    title: 'Holder could not deliver',
    meaning: 'One peer that was asked for a part of a model did not send it; others are asked.',
    remedy: 'Nothing, while other holders are there.',
    exit: EXIT.unreachable,
    http: 502,
    retryable: true,
  }

  constructor(peer: string, reason: HolderReason, why?: string) {
    super(HolderError.info, `peer ${peer} could not deliver: ${reason}`, {
      ...(why === undefined ? {} : { why }),
      details: { peer, reason },
    })
  }

  get reason(): HolderReason {
    return this.details['reason'] as HolderReason
  }
}

export type HolderReason = 'missing' | 'busy' | 'failed' | 'stalled' | 'lost' | 'lied'

/** The mesh has been stopped, or not been started. */
export class MeshStoppedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-106',
    title: 'Mesh stopped',
    meaning: 'Something was asked of the mesh while this peer was starting or ending.',
    remedy: 'Ask again when weft wait says that the peer is ready.',
    exit: EXIT.notRunning,
    http: 503,
    retryable: true,
  }

  constructor() {
    super(MeshStoppedError.info, 'the mesh is not running')
  }
}

/** A chunk came wrong so often that asking on makes no sense. */
export class ChunkUnobtainableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-DSC-107',
    title: 'No holder has the chunk',
    meaning: 'One chunk of a tensor failed its hash ten times: the holders are damaged, or lie.',
    remedy: 'Import the model again from its source at a peer that you trust (weft rm, weft import), then try again.',
    exit: EXIT.integrity,
    http: 502,
  }

  constructor(address: string, index: number, times: number, peers: readonly string[]) {
    super(ChunkUnobtainableError.info, `chunk ${index} of blob ${address} failed its hash ${times} times`, {
      why: `it came wrong from ${peers.join(', ')}`,
      details: { address, index, times, peers },
    })
  }
}

export const MESH_ERRORS: readonly ErrorInfo[] = [
  MeshProtocolError.info,
  RecordTooLargeError.info,
  ManifestUnavailableError.info,
  FetchFailedError.info,
  HolderError.info,
  MeshStoppedError.info,
  ChunkUnobtainableError.info,
]
