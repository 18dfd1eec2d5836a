/** One round again, from its transcript: who signed what, the sum to the last bit, the state that it makes, and what members say. */
import { verify } from '../../trust/index.ts'
import { FederatedError } from '../errors.ts'
import type { JobView } from '../rounds/job-view.ts'
import type { ReadSumsTranscript } from '../rounds/sums-transcript.ts'
import type { ReadTranscript } from '../rounds/transcript.ts'
import { sumAgain, sumsAgain } from './audit-sums.ts'
import type { RoundAgain } from './audit-sums.ts'
import type { Receipt } from './transcript-store.ts'

/** A round of one sum, or of several. */
export type ReadRound = ReadTranscript | ReadSumsTranscript

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

/** Whether its aggregator stands for these bytes: else nothing in them speaks for or against anybody. */
export function isOfAggregator(job: JobView, { transcript: { aggregator }, signed, signature }: ReadRound): boolean {
  return job.peers.includes(aggregator) && verify(aggregator, signed, signature)
}

/**
 * Of a transcript that its aggregator signed. It is the one to ask for whatever does not fit: it had to look at each
 * signature before it went on, and shares it alone has seen are signed by nobody.
 */
export function auditKept(job: JobView, { transcript }: ReadRound, receipts: readonly Receipt[]): AuditedRound {
  const { session, aggregator } = transcript
  const findings: Finding[] = []
  const find = (kind: string, about: string | null, what: string): void =>
    void findings.push({ kind, session, about, what })
  const none = { from: null, step: null, members: [] as string[], sum: null, state: null, told: null }
  const line = { session, aggregator, ...none, receipts: receipts.length }
  let again: RoundAgain
  try {
    again = 'parts' in transcript ? sumsAgain(job, transcript) : sumAgain(job, transcript)
  } catch (error) {
    const kind = error instanceof FederatedError ? error.kind : 'transcript'
    find(kind, aggregator, (error as Error).message)
    return { ...line, findings }
  }
  const { parts, sum, state, members, from, step, told } = again
  for (const { blamed, kept, made } of parts) {
    for (const peer of blamed)
      find('share', peer, `${aggregator} says that it revealed shares that are off the polynomial`)
    if (kept !== made)
      find('sum', aggregator, `the transcript says the sum ${kept}, and what members signed gives ${made}`)
  }
  if (again.kept !== sum) {
    find('sum', aggregator, `the transcript says the sum ${again.kept}, and what members signed gives ${sum}`)
  }
  for (const receipt of receipts) {
    if (!parts.some(({ sid }) => sid === receipt.sid)) {
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
