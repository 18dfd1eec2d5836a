/** An error that happened at another peer: its facts under its own code, and where. */
import { EXIT, ForwardedError } from '../../errors.ts'
import type { ErrorData, ErrorInfo } from '../../errors.ts'
import { ONNX_ERRORS } from '../../onnx/index.ts'
import { AUTODIFF_ERRORS, LOOP_ERRORS } from '../../training/index.ts'
import {
  CertificateExpiredError,
  MembershipStaleError,
  POLICY_ERRORS,
  refusedElsewhere,
  RoleError,
} from '../../trust/index.ts'
import { TRAIN_LINE_ERRORS } from '../adapters/errors.ts'
import { STAGE_ERRORS } from '../errors.ts'
import { GRAPH_ERRORS } from '../graph/errors.ts'
import { HOST_ERRORS } from '../host/errors.ts'
import { GRAMMAR_ERRORS } from '../host/grammar/errors.ts'
import { StageHostError, StageHostLostError } from '../host/host-errors.ts'
import { RING_ERRORS } from './errors.ts'

const KNOWN = new Map(
  [
    ...STAGE_ERRORS,
    ...HOST_ERRORS,
    ...GRAMMAR_ERRORS,
    ...RING_ERRORS,
    ...GRAPH_ERRORS,
    ...TRAIN_LINE_ERRORS,
    ...ONNX_ERRORS,
    ...LOOP_ERRORS,
    ...AUTODIFF_ERRORS,
    ...POLICY_ERRORS,
    RoleError.info,
    MembershipStaleError.info,
    CertificateExpiredError.info,
    StageHostError.info,
    StageHostLostError.info,
  ].map((info) => [info.code, info]),
)

export class RemoteError extends ForwardedError {
  constructor(peer: string, data: ErrorData) {
    const told = refusedElsewhere(data, { peer })
    super(KNOWN.get(data.code) ?? unknownInfo(data.code), { ...told, details: { ...data.details, peer } })
  }
}

/** A code of a newer release: nothing is known of it but that the peer failed. */
function unknownInfo(code: string): ErrorInfo {
  return {
    code: /^WEFT-[A-Z]{3}-\d{3}$/.test(code) ? code : 'WEFT-INF-039',
    title: 'A peer failed',
    meaning: 'A peer of the route ended the session for a reason of its own.',
    remedy: 'weft logs at that peer has the reason.',
    exit: EXIT.unexpected,
    http: 502,
  }
}
