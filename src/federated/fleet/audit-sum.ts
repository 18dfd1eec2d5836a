/** One secure sum again, from what was seen of it: who signed what, and the integers to the last bit. */
import type { Group, JobView } from '../rounds/job-view.ts'
import type { KeptRound } from '../rounds/transcript.ts'
import { auditRound } from '../secagg/audit.ts'
import { SignatureError, SurvivorsError, ThresholdError } from '../secagg/errors.ts'
import { headerBytes, maskedBytes, sessionId, survivorsBytes } from '../secagg/layout.ts'
import type { Advertisement, RoundHeader } from '../secagg/layout.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import { checkRoster } from '../secagg/roster.ts'

const crypto = nodePrimitives

/** What the plan says of it. */
export interface SumTerms extends Pick<Group, 'members' | 'graph' | 'quorum'> {
  readonly header: RoundHeader
  /** Members whose vectors are in it, and records of them together. */
  readonly least: number
  readonly minimumRecords: number
}

export interface SumAgain {
  readonly sid: string
  /** SHA-256 of the packed sum. */
  readonly sum: string
  readonly words: Uint32Array
  /** Positions of holders who are said to have revealed shares off the polynomial. */
  readonly blamed: readonly number[]
  /** PeerIds of those whose vectors are in it, rising. */
  readonly members: readonly string[]
  /** By position in the roster. */
  readonly peers: readonly string[]
  /** SHA-256 of the set of survivors that members signed. */
  readonly signed: Uint8Array
}

/**
 * @param vectors in place of those that were kept, by PeerId: sums of clusters, for which nobody signed but in their own
 * @throws the refusals of the protocol: something was not signed, or does not fit together
 */
export function oneSum(
  job: JobView,
  kept: KeptRound,
  terms: SumTerms,
  vectors?: ReadonlyMap<string, Uint8Array>,
): SumAgain {
  const { header, graph } = terms
  const { t, bits, d } = header
  const bytes = headerBytes(header)
  const members = terms.members.map(({ key }) => key)
  const roster = checkRoster(crypto, kept.roster, { header: bytes, members, t })
  const sid = sessionId(crypto, bytes, roster)
  checkSignatures(terms, kept, roster, sid)
  const peers = peersOf(job, roster)
  const signed = new Map(kept.survivors.map(({ position, digest }) => [position, digest]))
  const masked =
    vectors === undefined
      ? kept.vectors
      : new Map([...signed.keys()].map((at) => [at, vectors.get(peers[at] ?? '') ?? new Uint8Array()]))
  const digests = vectors === undefined ? signed : new Map([...masked].map(([at, one]) => [at, crypto.sha256(one)]))
  const { words, digest, blamed } = auditRound(crypto, {
    t,
    bits,
    d,
    sid,
    roster,
    sharers: new Set(kept.sharers),
    survivors: new Set(signed.keys()),
    masked,
    digests,
    reveals: kept.reveals,
    graph,
  })
  return {
    sid: hex(sid),
    sum: hex(digest),
    words,
    blamed,
    members: [...signed.keys()].map((position) => peers[position] ?? '').sort(),
    peers,
    signed: crypto.sha256(survivorsBytes(sid, signed)),
  }
}

/** Each vector by its member, and one set of survivors by t of them: as many sites and records as the plan wants. */
function checkSignatures(
  { least, minimumRecords, quorum }: SumTerms,
  { survivors, ballots }: KeptRound,
  roster: readonly Advertisement[],
  sid: Uint8Array,
): void {
  const digests = new Map<number, Uint8Array>()
  let records = 0
  for (const { position: party, digest, signature } of survivors) {
    const entry = roster[party]
    if (entry === undefined || digests.has(party))
      throw new SurvivorsError(`${party} is no survivor, or twice`, { party })
    if (!crypto.verify(entry.identity, maskedBytes(sid, party, digest), signature)) {
      throw new SignatureError(`member ${party} did not sign its vector`, { party })
    }
    digests.set(party, digest)
    records += entry.records
  }
  if (digests.size < least) {
    throw new ThresholdError(`${digests.size} members are in the sum, and ${least} are the least`)
  }
  if (records < minimumRecords) {
    throw new ThresholdError(`the survivors have ${records} records, and ${minimumRecords} are the least`)
  }
  const message = survivorsBytes(sid, digests)
  const voters = new Set<number>()
  for (const { position: party, signature } of ballots) {
    if (!digests.has(party) || !crypto.verify(roster[party]!.identity, message, signature)) {
      throw new SignatureError(`member ${party} did not sign these survivors`, { party })
    }
    voters.add(party)
  }
  if (voters.size < quorum) {
    throw new ThresholdError(`${voters.size} members signed the survivors, ${quorum} are needed`)
  }
}

/** By position in the roster. */
export function peersOf(job: JobView, roster: readonly Advertisement[]): string[] {
  const keys = new Map(job.members.map(({ key, peer }) => [hex(key), peer]))
  return roster.map(({ identity }) => keys.get(hex(identity)) ?? hex(identity))
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
