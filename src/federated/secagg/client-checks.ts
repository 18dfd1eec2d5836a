/** What a member checks in the messages of an aggregator, in the order of the protocol. */
import { equalBytes, u8 } from './bytes.ts'
import type { HeldShares, Session } from './client-state.ts'
import { CiphertextError, MinimumRecordsError, SignatureError, SurvivorsError, ThresholdError } from './errors.ts'
import { shareContext } from './keys.ts'
import { maskedBytes, survivorsBytes } from './layout.ts'
import type { Consistency, SealedShares, Survivor } from './messages.ts'
import type { Primitives } from './primitives.ts'
import { leastMembers } from './roster.ts'

const SECRET_BYTES = 32

/**
 * The shares of all senders, by sender. Own shares are not among them.
 * @throws SurvivorsError for a sender that stands twice, is this member or no neighbour; CiphertextError; ThresholdError
 */
export function openShares(
  crypto: Primitives,
  { sid, position, graph }: Session,
  channels: ReadonlyMap<number, Uint8Array>,
  sealed: readonly SealedShares[],
  t: number,
): Map<number, HeldShares> {
  const seen = new Set<number>()
  for (const { position: from } of sealed) {
    if (seen.has(from)) throw new SurvivorsError(`member ${from} sends shares twice`, { party: from })
    if (!channels.has(from)) throw new SurvivorsError(`${from} can send this member no shares`, { party: from })
    seen.add(from)
  }
  const held = new Map<number, HeldShares>()
  for (const { position: from, data } of sealed) {
    const plain = crypto.open(channels.get(from)!, data, shareContext(sid, from, position))
    const x = graph.holders(from).indexOf(position) + 1
    if (plain === undefined || plain.length !== 1 + 2 * SECRET_BYTES || !equalBytes(plain.subarray(0, 1), u8(x))) {
      throw new CiphertextError(`the shares of member ${from} cannot be opened, or are for another`, { party: from })
    }
    // Copies: a slice of a node Buffer would share its bytes.
    const part = (start: number): Uint8Array => new Uint8Array(plain.subarray(start, start + SECRET_BYTES))
    held.set(from, { s: part(1), b: part(1 + SECRET_BYTES) })
  }
  if (held.size + 1 < leastMembers(t)) {
    throw new ThresholdError(`${held.size + 1} members shared their keys, ${leastMembers(t)} are needed`)
  }
  return held
}

/**
 * U3 with its digests, by position.
 * @throws SurvivorsError, SignatureError, ThresholdError, MinimumRecordsError
 */
export function checkSurvivors(
  crypto: Primitives,
  { sid, roster, position, graph }: Session,
  list: readonly Survivor[],
  rules: {
    /** U2 */
    readonly senders: ReadonlyMap<number, unknown>
    /** Of this member's own masked vector. */
    readonly digest: Uint8Array
    readonly t: number
    readonly minimumRecords: number
  },
): ReadonlyMap<number, Uint8Array> {
  const near = graph.holders(position)
  // Of members that are no neighbours in a sparse graph this one has no shares, and gives none away.
  const maySurvive = (party: number): boolean =>
    rules.senders.has(party) || (roster[party] !== undefined && !near.includes(party))
  const survivors = new Map<number, Uint8Array>()
  for (const { position: party, digest } of list) {
    if (survivors.has(party)) throw new SurvivorsError(`member ${party} survives twice`, { party })
    if (!maySurvive(party)) throw new SurvivorsError(`${party} shared no keys and cannot survive`, { party })
    if (party === position && !equalBytes(digest, rules.digest)) {
      throw new SurvivorsError("this member's own digest was changed", { party })
    }
    survivors.set(party, digest)
  }
  if (!survivors.has(position))
    throw new SurvivorsError('this member sent its vector and is left out', { party: position })
  for (const { position: party, digest, signature } of list) {
    if (!crypto.verify(roster[party]!.identity, maskedBytes(sid, party, digest), signature)) {
      throw new SignatureError(`member ${party} did not sign its masked vector`, { party })
    }
  }
  const left = near.filter((party) => survivors.has(party)).length
  if (survivors.size < leastMembers(rules.t)) {
    throw new ThresholdError(`${survivors.size} members sent a vector, ${leastMembers(rules.t)} are needed`)
  }
  if (left < rules.t) {
    throw new ThresholdError(`${left} of those who hold shares of this member sent a vector, ${rules.t} are needed`)
  }
  const records = [...survivors.keys()].reduce((sum, party) => sum + roster[party]!.records, 0)
  if (records < rules.minimumRecords) {
    throw new MinimumRecordsError(`all together have ${records} records, ${rules.minimumRecords} are the least`)
  }
  return survivors
}

/** Enough members signed the very set that this one signed. @throws SurvivorsError, SignatureError, ThresholdError */
export function checkBallots(
  crypto: Primitives,
  { sid, roster }: Session,
  list: readonly Consistency[],
  rules: { readonly survivors: ReadonlyMap<number, Uint8Array>; readonly quorum: number },
): void {
  const seen = new Set<number>()
  for (const { position: party } of list) {
    if (seen.has(party)) throw new SurvivorsError(`member ${party} signs the survivors twice`, { party })
    if (!rules.survivors.has(party)) throw new SurvivorsError(`${party} is no survivor and signs`, { party })
    seen.add(party)
  }
  const message = survivorsBytes(sid, rules.survivors)
  for (const { position: party, signature } of list) {
    if (!crypto.verify(roster[party]!.identity, message, signature)) {
      throw new SignatureError(`member ${party} signed another set of survivors`, { party })
    }
  }
  if (list.length < rules.quorum) {
    throw new ThresholdError(`${list.length} members signed the set of survivors, ${rules.quorum} are needed`)
  }
}
