/** What two peers say of the same rows, each with its signature, and whether they can both be right. */
import { DTYPE } from '../../net/index.ts'
import type { DType } from '../../net/index.ts'
import { PeerLostError } from '../ring/errors.ts'
import { rowHashes, sha256 } from '../ring/statement.ts'
import type { Seal } from '../ring/statement.ts'
import { isReceipt } from '../ring/witness.ts'
import type { AuditEvidence } from './audit-types.ts'
import type { RouteSegment } from './route.ts'
import { firstFar } from './tolerance.ts'

export interface Claim extends RouteSegment {
  readonly position: number
  readonly count: number
  /** SHA-256 of each row. */
  readonly hashes: Uint8Array
  readonly seal: Seal
  /** The rows themselves. @throws PeerLostError */
  rows(): Promise<Uint8Array>
}

/** Of whom, and of what, the claims of one stage are. */
export interface Matter {
  /** PeerId of the origin. */
  readonly origin: string
  /** Digest of the model. */
  readonly model: string
  readonly boundary: 'f16' | 'f32'
}

/** Its peer has signed it, of this stage, under this session's number. */
export function isSound({ origin, model }: Matter, claim: Claim, session: number): boolean {
  const { seal, peer, from, to, position, count, hashes } = claim
  return seal.session === session && isReceipt({ origin, model }, { ...seal, peer, from, to, position, count }, hashes)
}

export function areEqual(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}

/** With the same kernels the bits decide, otherwise the distance. @throws PeerLostError when rows are not shown */
export async function agree(matter: Matter, one: Claim, other: Claim): Promise<boolean> {
  if (one.seal.kernel === other.seal.kernel) return areEqual(one.hashes, other.hashes)
  const [left, right] = await Promise.all([shown(one), shown(other)])
  return firstFar(left, right, boundaryType(matter), one.count) === undefined
}

export function boundaryType({ boundary }: Matter): DType {
  return boundary === 'f16' ? DTYPE.f16 : DTYPE.f32
}

async function shown(claim: Claim): Promise<Uint8Array> {
  const rows = await claim.rows()
  if (!areEqual(rowHashes(rows, claim.count), claim.hashes))
    throw new PeerLostError(claim.peer, 'it does not show the rows that it has signed')
  return rows
}

/** @param expected in the place of what the claim says, and by whom it was found */
export function evidenceOf(
  { origin, model }: Matter,
  claim: Claim,
  reason: AuditEvidence['reason'],
  expected: { readonly bytes: Uint8Array; readonly by: readonly string[] },
): AuditEvidence {
  const { peer, from, to, position, count, hashes, seal } = claim
  const { session, attempt, kernel } = seal
  return {
    peer,
    reason,
    origin,
    session,
    attempt,
    model,
    from,
    to,
    position,
    count,
    input: hex(seal.input),
    output: hex(sha256(hashes)),
    kernel,
    signature: hex(seal.signature),
    expected: hex(expected.bytes),
    by: expected.by,
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
