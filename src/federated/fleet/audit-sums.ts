/** A round again, of one sum or of several: the sums to the last bit, what each member was to be told, and the state that they make. */
import type { JobView } from '../rounds/job-view.ts'
import { addSums, decodeSum } from '../rounds/layout.ts'
import { stateAfter } from '../rounds/made-state.ts'
import type { Outcome } from '../rounds/plain-member.ts'
import { toldHash } from '../rounds/signed-result.ts'
import { decodeState, NOTHING_BEGUN, stateHash, stepsOf } from '../rounds/state.ts'
import type { FedState } from '../rounds/state.ts'
import type { SumsTranscript } from '../rounds/sums-transcript.ts'
import type { Transcript } from '../rounds/transcript.ts'
import { concat } from '../secagg/bytes.ts'
import { SurvivorsError, ThresholdError } from '../secagg/errors.ts'
import { pack } from '../secagg/packing.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import { oneSum } from './audit-sum.ts'
import type { SumAgain } from './audit-sum.ts'

export interface PartAgain {
  readonly sid: string
  /** SHA-256 of its sum as the transcript has it, and as it comes out. */
  readonly kept: string
  readonly made: string
  /** PeerIds who are said to have revealed shares off the polynomial. */
  readonly blamed: readonly string[]
}

export interface RoundAgain {
  readonly from: string
  readonly step: number
  /** SHA-256 of what all were to be told, and of that as the transcript has it. */
  readonly sum: string
  readonly kept: string
  readonly state: string | null
  /** `toldHash` of it. */
  readonly told: string
  readonly members: readonly string[]
  readonly parts: readonly PartAgain[]
}

/** @throws the refusals of the protocol: something was not signed, or does not fit together */
export function sumAgain(job: JobView, transcript: Transcript): RoundAgain {
  const before = decodeState(transcript.before)
  const from = stateHash(before)
  const [group] = job.groups(before)
  if (group === undefined || group.name !== '') throw new SurvivorsError('this round is of several sums')
  const { least, minimumRecords } = job
  const header = job.header(transcript.session, before, from, group)
  const again = oneSum(job, transcript, { ...group, header, least, minimumRecords })
  const { words, members, signed, sum } = again
  const sums = decodeSum(words, job.layout(before), header)
  return {
    from: hex(from),
    step: stepsOf(before),
    sum,
    kept: digestOf(transcript.sum),
    state: stateOf(job, before, { sums, survivors: members.length }),
    told: hex(toldHash(signed, members, [], pack(words, header.bits))),
    members,
    // Whether what was kept is that sum is asked once, of the round.
    parts: [{ ...partOf(again, transcript), kept: sum }],
  }
}

/** The same of buckets, or of clusters and their sum. @throws the refusals of the protocol */
export function sumsAgain(job: JobView, transcript: SumsTranscript): RoundAgain {
  const before = decodeState(transcript.before)
  const from = stateHash(before)
  const parts = partsAgain(job, before, from, transcript)
  const members = parts.flatMap(({ again }) => again.members).sort()
  if (parts.length < job.leastGroups(before) || members.length < job.leastInRound) {
    throw new ThresholdError(`${parts.length} sums with ${members.length} members are fewer than the plan asks for`)
  }
  const layout = job.layout(before)
  const top = upperAgain(job, before, from, transcript, parts)
  const payload = top?.payload ?? concat(...parts.map(({ packed }) => packed))
  const buckets = parts.map(({ again, header }) => ({
    sums: decodeSum(again.words, layout, header),
    survivors: again.members.length,
  }))
  const outcome =
    top === undefined
      ? { sums: addSums(buckets), survivors: members.length, buckets }
      : { sums: decodeSum(top.words, layout, parts[0]!.header), survivors: members.length }
  const groups = parts.map(({ index, again }) => ({ index, members: again.members }))
  const sum = digestOf(payload)
  const own = parts.map(({ again, kept }) => partOf(again, kept))
  return {
    from: hex(from),
    step: stepsOf(before),
    sum,
    kept: digestOf(transcript.told),
    state: stateOf(job, before, outcome),
    told: hex(toldHash(undefined, members, groups, payload)),
    members,
    parts: top === undefined ? own : [...own, partOf(top.again, top.kept)],
  }
}

interface GroupAgain {
  readonly index: number
  readonly delegate: string | undefined
  readonly header: ReturnType<JobView['header']>
  readonly again: SumAgain
  readonly packed: Uint8Array
  readonly kept: Transcript
}

function partsAgain(
  job: JobView,
  before: FedState,
  from: Uint8Array,
  { parts, session }: SumsTranscript,
): readonly GroupAgain[] {
  const groups = job.groups(before)
  const { minimumRecords } = job
  return parts.map(({ index, transcript: kept }, at) => {
    const group = groups[index]
    if (group === undefined || group.name === '' || (at > 0 && parts[at - 1]!.index >= index)) {
      throw new SurvivorsError(`${index} is no bucket or cluster of the round, or twice`)
    }
    const header = job.header(session, before, from, group)
    const again = oneSum(job, kept, { ...group, header, minimumRecords })
    const { delegate, name } = group
    if (delegate !== undefined && !again.members.includes(delegate)) {
      throw new SurvivorsError(`${name} was opened without its delegate, and so by itself`)
    }
    return { index, delegate, header, again, packed: pack(again.words, header.bits), kept }
  })
}

/** The sum of clusters; undefined: the plan has none. */
function upperAgain(
  job: JobView,
  before: FedState,
  from: Uint8Array,
  { upper: kept, session }: SumsTranscript,
  parts: readonly GroupAgain[],
):
  | { readonly again: SumAgain; readonly words: Uint32Array; readonly payload: Uint8Array; kept: Transcript }
  | undefined {
  if (job.clusters === undefined) return undefined
  if (kept === undefined) throw new SurvivorsError('the sum of clusters is not in the transcript')
  const upper = job.upper(before)
  const header = job.header(session, before, from, upper)
  const vectors = new Map(parts.map(({ delegate, packed }) => [delegate!, packed]))
  const terms = { ...upper, header, least: job.leastGroups(before), minimumRecords: 0 }
  const again = oneSum(job, kept, terms, vectors)
  if (again.members.join() !== [...vectors.keys()].sort().join()) {
    throw new SurvivorsError('the sum of clusters is of others than those that are in the transcript')
  }
  return { again, words: again.words, payload: pack(again.words, header.bits), kept }
}

function partOf({ sid, sum, blamed, peers }: SumAgain, kept: Transcript): PartAgain {
  return { sid, kept: digestOf(kept.sum), made: sum, blamed: blamed.map((holder) => peers[holder] ?? '') }
}

/** Hash of the state that the sums make; null: it needs what a site alone has, the model that training begins with. */
function stateOf(
  job: JobView,
  before: FedState,
  outcome: Pick<Outcome, 'sums' | 'survivors' | 'buckets'>,
): string | null {
  if (before.pooled === null && job.plan.schema === 'weft.fed-plan/1') return null
  return hex(stateHash(stateAfter(job, before, outcome, NOTHING_BEGUN)))
}

function digestOf(bytes: Uint8Array): string {
  return hex(nodePrimitives.sha256(bytes))
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
