/** One round again, from its transcript: who signed what, the sum to the last bit, the state that it makes, and what members say. */
import { verify } from '../../trust/index.ts'
import { FederatedError } from '../errors.ts'
import type { JobView } from '../rounds/job-view.ts'
import { decodeSum } from '../rounds/layout.ts'
import { toldHash } from '../rounds/signed-result.ts'
import { decodeState, NOTHING_BEGUN, stateHash, stepsOf } from '../rounds/state.ts'
import type { FedState } from '../rounds/state.ts'
import type { ReadTranscript, Transcript } from '../rounds/transcript.ts'
import { auditRound } from '../secagg/audit.ts'
import { SignatureError, SurvivorsError, ThresholdError } from '../secagg/errors.ts'
import { headerBytes, maskedBytes, sessionId, survivorsBytes } from '../secagg/layout.ts'
import type { Advertisement, RoundHeader } from '../secagg/layout.ts'
import { pack } from '../secagg/packing.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import { checkRoster } from '../secagg/roster.ts'
import type { Receipt } from './transcript-store.ts'

export interface Finding {
  readonly kind: string
  readonly session: number | null
  /** PeerId of who did it, or whom it is about; null: nobody is known. */
  readonly about: string | null
  readonly what: string
}

export interface AuditedRound {
  readonly session: number
  readonly aggregator: string
  /** Hash of the state that it began from, and how many sums had made that; null: it cannot be read. */
  readonly from: string | null
  readonly step: number | null
  /** PeerIds of those whose vectors are in the sum. */
  readonly members: readonly string[]
  /** SHA-256 of the packed sum, and hash of the state, as they come out; null: they do not. */
  readonly sum: string | null
  readonly state: string | null
  /** `toldHash` of it, which signed results name; null: it does not come out. */
  readonly told: string | null
  /** Members whose receipts were held against it. */
  readonly receipts: number
  readonly findings: readonly Finding[]
}

const crypto = nodePrimitives

/** Whether its aggregator stands for these bytes: else nothing in them speaks for or against anybody. */
export function isOfAggregator(
  job: JobView,
  { transcript: { aggregator }, signed, signature }: ReadTranscript,
): boolean {
  return job.peers.includes(aggregator) && verify(aggregator, signed, signature)
}

/**
 * Of a transcript that its aggregator signed. It is the one to ask for whatever does not fit: it had to look at each
 * signature before it went on, and shares it alone has seen are signed by nobody.
 */
export function auditKept(job: JobView, read: ReadTranscript, receipts: readonly Receipt[]): AuditedRound {
  const { transcript } = read
  const { session, aggregator } = transcript
  const findings: Finding[] = []
  const find = (kind: string, about: string | null, what: string): void =>
    void findings.push({ kind, session, about, what })
  const peers = peersOf(job, transcript.roster)
  const none = { from: null, step: null, members: [] as string[], sum: null, state: null, told: null }
  const line = { session, aggregator, ...none, receipts: receipts.length }
  let again: Again
  try {
    again = sumAgain(job, transcript)
  } catch (error) {
    const kind = error instanceof FederatedError ? error.kind : 'transcript'
    find(kind, aggregator, (error as Error).message)
    return { ...line, findings }
  }
  const { sid, sum, state, blamed, members, from, step, told } = again
  for (const holder of blamed) {
    find('share', peers[holder] ?? null, `${aggregator} says that it revealed shares that are off the polynomial`)
  }
  const kept = hex(crypto.sha256(transcript.sum))
  if (kept !== sum) find('sum', aggregator, `the transcript says the sum ${kept}, and what members signed gives ${sum}`)
  for (const receipt of receipts) {
    if (receipt.sid !== sid) {
      find('session', receipt.peer, `${receipt.peer} was in another session than the one of the transcript`)
      continue
    }
    if (receipt.aggregator !== aggregator) {
      find('session', receipt.peer, `${receipt.peer} says that ${receipt.aggregator} summed what ${aggregator} did`)
      continue
    }
    if (receipt.sum !== sum) {
      const what = `${receipt.aggregator} told ${receipt.peer} the sum ${receipt.sum}, and what members signed gives ${sum}`
      find('wrong-sum', receipt.aggregator, what)
    } else if (receipt.state !== null && state !== null && receipt.state !== state) {
      find('state', receipt.peer, `${receipt.peer} made the state ${receipt.state} of the sum, and it gives ${state}`)
    }
  }
  return { ...line, from, step, members, sum, state, told, findings }
}

interface Again {
  readonly from: string
  readonly step: number
  readonly sid: string
  readonly sum: string
  readonly state: string | null
  readonly told: string
  readonly blamed: readonly number[]
  readonly members: readonly string[]
}

/** @throws the refusals of the protocol: something was not signed, or does not fit together */
function sumAgain(job: JobView, transcript: Transcript): Again {
  const before = decodeState(transcript.before)
  const from = stateHash(before)
  const [group] = job.groups(before)
  const header = job.header(transcript.session, before, from, group!)
  const bytes = headerBytes(header)
  const members = job.members.map(({ key }) => key)
  const roster = checkRoster(crypto, transcript.roster, { header: bytes, members, t: header.t })
  const sid = sessionId(crypto, bytes, roster)
  checkSignatures(job, transcript, roster, sid, group!.quorum)
  const { sharers, survivors, vectors, reveals } = transcript
  const digests = new Map(survivors.map(({ position, digest }) => [position, digest]))
  const { t, bits, d } = header
  const { words, digest, blamed } = auditRound(crypto, {
    t,
    bits,
    d,
    sid,
    roster,
    sharers: new Set(sharers),
    survivors: new Set(digests.keys()),
    masked: vectors,
    digests,
    reveals,
    graph: group!.graph,
  })
  const peers = peersOf(job, roster)
  const summed = [...digests.keys()].map((position) => peers[position] ?? '').sort()
  const signed = crypto.sha256(survivorsBytes(sid, digests))
  return {
    from: hex(from),
    step: stepsOf(before),
    sid: hex(sid),
    sum: hex(digest),
    state: stateOf(job, before, words, header, digests.size),
    blamed,
    told: hex(toldHash(signed, summed, [], pack(words, bits))),
    members: summed,
  }
}

/** Each vector by its member, and one set of survivors by t of them: as many sites and records as the plan wants. */
function checkSignatures(
  job: JobView,
  { survivors, ballots }: Transcript,
  roster: readonly Advertisement[],
  sid: Uint8Array,
  quorum: number,
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
  if (digests.size < job.least) {
    throw new ThresholdError(`${digests.size} members are in the sum, and ${job.least} are the least`)
  }
  if (records < job.minimumRecords) {
    throw new ThresholdError(`the survivors have ${records} records, and ${job.minimumRecords} are the least`)
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

/** Hash of the state that the sum makes; null: it needs what a site alone has, the model that training begins with. */
function stateOf(
  job: JobView,
  before: FedState,
  words: Uint32Array,
  header: RoundHeader,
  survivors: number,
): string | null {
  if (before.pooled === null && job.plan.schema === 'weft.fed-plan/1') return null
  const sums = decodeSum(words, job.layout(before), header)
  return hex(stateHash(job.math.apply(before, sums, survivors, () => NOTHING_BEGUN)))
}

/** By position in the roster. */
function peersOf(job: JobView, roster: readonly Advertisement[]): string[] {
  const keys = new Map(job.members.map(({ key, peer }) => [hex(key), peer]))
  return roster.map(({ identity }) => keys.get(hex(identity)) ?? hex(identity))
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
