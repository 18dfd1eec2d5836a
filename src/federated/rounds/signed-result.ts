/** What came of a round, as those who took part in it sign it: one document for all, and a signature of each. */
import { verify } from '../../trust/index.ts'
import { canonicalJson } from '../../util/index.ts'
import { ascii, concat } from '../secagg/bytes.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import type { Vote } from './wire.ts'

export interface RoundResult {
  readonly schema: 'weft.fed-signed-result/1'
  readonly job: string
  /** Hash of the plan. */
  readonly plan: string
  /** Sums that made the model, from 1; the one of the columns is the first. */
  readonly step: number
  readonly session: number
  /** Hash of the state that it makes. */
  readonly model: string
  /** Of what members signed and were told: `toldHash`. */
  readonly transcript: string
  /** PeerIds of those whose contributions are in it, rising. */
  readonly members: readonly string[]
}

/**
 * The same at all who were told the same of the same contributions.
 * @param signed SHA-256 of the set of survivors under which members of a secure sum set their signatures; of nothing else
 * @param parts buckets or clusters of the round
 */
export function toldHash(
  signed: Uint8Array | undefined,
  members: readonly string[],
  parts: readonly { readonly index: number; readonly members: readonly string[] }[],
  payload: Uint8Array,
): Uint8Array {
  const sorted = parts.map((part) => ({ index: part.index, members: [...part.members].sort() }))
  const who = ascii(canonicalJson({ members: [...members].sort(), parts: sorted }))
  const hash = (...bytes: Uint8Array[]): Uint8Array => nodePrimitives.sha256(...bytes)
  return new Uint8Array(hash(ascii('weft fed round/1'), signed ?? new Uint8Array(32), hash(who), hash(payload)))
}

export function resultBytes(result: RoundResult): Uint8Array {
  return concat(ascii('weft fed result/1'), ascii(canonicalJson(result)))
}

/** Signatures of different members of the job under this result. */
export function validSigners(result: RoundResult, signatures: readonly Vote[], members: readonly string[]): Vote[] {
  const bytes = resultBytes(result)
  const seen = new Set<string>()
  return signatures.filter(({ peer, signature }) => {
    if (seen.has(peer) || !members.includes(peer) || !verify(peer, bytes, signature)) return false
    seen.add(peer)
    return true
  })
}
