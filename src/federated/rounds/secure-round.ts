/** A member's round by a secure sum: what it puts in, which set it signs, what it pays, and what came out. */
import type { RandomSource } from '../../util/index.ts'
import { JobRefusedError } from '../plan/errors.ts'
import type { PrivacyLedger } from '../privacy/ledger.ts'
import { ascii } from '../secagg/bytes.ts'
import { checkSum } from '../secagg/encoding.ts'
import { ReplayError, ThresholdError } from '../secagg/errors.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import type { Prepared, RoundSite } from '../site/site.ts'
import { Delegate } from './delegate.ts'
import type { JobView } from './job-view.ts'
import { encodeContribution } from './layout.ts'
import type { MemberState } from './member-state.ts'
import type { Pipe } from './pipe.ts'
import type { Outcome } from './plain-member.ts'
import { readSums } from './read-sums.ts'
import { toldHash } from './signed-result.ts'
import { sumWithOthers } from './secure-member.ts'
import { toldRecords } from './told-records.ts'

export interface SecureRoundNeeds {
  readonly random: RandomSource
  readonly self: { readonly id: string; sign(bytes: Uint8Array): Uint8Array }
  readonly job: JobView
  readonly standing: MemberState
  readonly site: RoundSite
  readonly ledger: Pick<PrivacyLedger, 'charge' | 'claim' | 'claimed'>
  /** Name of the data in the ledger. */
  readonly dataset: string
  readonly times: { readonly silenceMs: number }
  /** Of the membership now. */
  readonly admits: (peer: string) => boolean
  readonly before?: ((stage: string) => Promise<void>) | undefined
  readonly stage: (name: string) => void
  /** Told when noise has been paid for: it must not leave a second time. */
  readonly charged: () => void
  /** Durable when it resolves: only then the vector leaves. */
  readonly leaves: () => Promise<void>
}

export async function secureRound(
  needs: SecureRoundNeeds,
  pipe: Pipe,
  session: number,
  prepared: Prepared,
): Promise<Outcome> {
  const { job, standing, random, self, ledger, dataset, times } = needs
  const { state, hash } = standing.current
  const layout = job.layout(state)
  const group = job.groupOf(self.id, state)
  checkAggregator(needs, pipe.remote)
  const header = job.header(session, state, hash, group)
  let released: readonly string[] = []
  const keys = new Map(job.members.map(({ key, peer }) => [Buffer.from(key).toString('hex'), peer]))
  const peersOf = (identities: readonly string[]): string[] => identities.map((one) => keys.get(one) ?? one)
  const { result, payload, sid, signed } = await sumWithOthers(
    {
      random,
      peersOf,
      mayJoin: (identities) => checkAdmitted(needs, peersOf(identities)),
      signedRounds: ledger,
      before: needs.before,
      stage: needs.stage,
      mayRelease: (identities) => {
        released = peersOf(identities)
        // Whoever aggregates began with enough of them; how many are left is this member's to look at.
        if (group.delegate !== undefined && !released.includes(group.delegate)) {
          throw new ThresholdError('without its delegate the sum of this cluster would be opened by itself')
        }
        if (released.length < group.least) {
          throw new ThresholdError(`${released.length} members are left, and ${group.least} are the least of the plan`)
        }
        if (prepared.noise === undefined) checkSet(needs, 'weft fed set/1', hash, released)
      },
      // Under this number nothing is signed any more, whatever becomes of the sum.
      remember: () => standing.bind(released, session + 1),
      leaves: needs.leaves,
      charge: () => {
        const { noise } = prepared
        if (noise === undefined) return
        needs.charged()
        ledger.charge({ data: dataset, unit: noise.unit, job: job.id, round: session, event: noise.event })
      },
    },
    pipe,
    {
      header,
      members: group.members.map(({ key }) => key),
      identity: {
        publicKey: job.members.find(({ peer }) => peer === self.id)!.key,
        sign: (bytes) => self.sign(bytes),
      },
      records: toldRecords(needs.site.records, job.minimumRecords),
      minimumRecords: job.minimumRecords,
      update: encodeContribution(prepared.contribution, layout, header, wordsOf(random)),
      noise: job.noiseSd(state),
      graph: group.graph,
      quorum: group.quorum,
    },
    times.silenceMs,
    group.delegate === self.id ? delegateOf(needs, session, peersOf) : undefined,
  )
  const { sums, members, buckets } = readSums(job, state, { group, released }, header, {
    result,
    payload,
  })
  const told = { sid, digest: nodePrimitives.sha256(payload) }
  // Members of other sums have signed other sets: what all have in common is what they were told.
  const isOne = group.name === ''
  const transcript = toldHash(isOne ? signed : undefined, members, isOne ? [] : (result.groups ?? []), payload)
  return { sums, survivors: members.length, members, told, transcript, ...(buckets === undefined ? {} : { buckets }) }
}

/** This member's part in the sum of clusters. */
function delegateOf(
  needs: SecureRoundNeeds,
  session: number,
  peersOf: (identities: readonly string[]) => readonly string[],
): Delegate {
  const { job, standing, random, self, ledger } = needs
  const { state, hash } = standing.current
  const upper = job.upper(state)
  const header = job.header(session, state, hash, upper)
  // The sum of all has to have room, not that of the clusters alone.
  checkSum({ ...header, t: job.math.t }, job.members.length, job.noiseSd(state))
  const isNoised = job.math.noise(state) !== undefined
  let released: readonly string[] = []
  const mayRelease = (delegates: readonly string[]): void => {
    const least = job.leastGroups(state)
    if (delegates.length < least)
      throw new ThresholdError(`${delegates.length} clusters are left, and ${least} are needed`)
    released = peersOf(delegates)
    if (!isNoised) checkSet(needs, 'weft fed clusters/1', hash, released)
  }
  const publicKey = job.members.find(({ peer }) => peer === self.id)!.key
  return new Delegate(
    { random, signedRounds: ledger, mayRelease, remember: () => standing.bindClusters(released) },
    {
      header,
      members: upper.members.map(({ key }) => key),
      identity: { publicKey, sign: (bytes) => self.sign(bytes) },
      records: 0,
      minimumRecords: 0,
      graph: upper.graph,
      quorum: upper.quorum,
    },
  )
}

/** A delegate knows the masks of its cluster's sum: it may not be sent that sum as well. */
function checkAggregator({ job, standing }: SecureRoundNeeds, aggregator: string): void {
  const of = job.groups(standing.current.state).find(({ delegate }) => delegate === aggregator)
  if (of !== undefined)
    throw new JobRefusedError(job.id, `${aggregator} masks the sum of ${of.name}, and may not see it`)
}

/** Who was thrown out while the round was under way gets nothing more of this member. */
function checkAdmitted({ job, admits }: SecureRoundNeeds, peers: readonly string[]): void {
  const gone = peers.find((peer) => !admits(peer))
  if (gone !== undefined) throw new JobRefusedError(job.id, `${gone} is no member any more`)
}

/** Two sums over different sets from one state would tell a member's update: without noise, of statistics too, there is one. */
function checkSet(
  { job, ledger }: SecureRoundNeeds,
  purpose: string,
  hash: Uint8Array,
  members: readonly string[],
): void {
  const key = nodePrimitives.sha256(ascii(purpose), ascii(job.id), hash)
  const set = nodePrimitives.sha256(ascii([...members].sort().join('\n')))
  if (ledger.claim(key, set)) return
  if (ledger.claimed(key) === Buffer.from(set).toString('hex')) return
  throw new ReplayError('this member signed another set of survivors from the same model: no second sum is made of it')
}

export function wordsOf(random: RandomSource): () => number {
  let words = new Uint32Array()
  let at = 0
  return () => {
    if (at === words.length) {
      words = new Uint32Array(new Uint8Array(random.bytes(1 << 14)).buffer)
      at = 0
    }
    return words[at++]!
  }
}
