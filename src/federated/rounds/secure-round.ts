/** A member's round by a secure sum: what it puts in, which set it signs, what it pays, and what came out. */
import type { RandomSource } from '../../util/index.ts'
import { JobRefusedError } from '../plan/errors.ts'
import type { PrivacyLedger } from '../privacy/ledger.ts'
import { ascii } from '../secagg/bytes.ts'
import { checkSum } from '../secagg/encoding.ts'
import { ReplayError, ThresholdError } from '../secagg/errors.ts'
import type { RoundHeader } from '../secagg/layout.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import type { UpdateSource } from '../secagg/update.ts'
import type { Prepared, RoundSite } from '../site/site.ts'
import { Delegate } from './delegate.ts'
import type { Group, JobView } from './job-view.ts'
import { encodeContribution } from './layout.ts'
import type { MemberState } from './member-state.ts'
import type { Pipe } from './pipe.ts'
import type { Outcome } from './plain-member.ts'
import { readSums } from './read-sums.ts'
import { toldHash } from './signed-result.ts'
import { openSigned, signWithOthers } from './secure-member.ts'
import type { SecureMemberNeeds } from './secure-member.ts'
import type { SignedSum, ToldSum } from './signed-sum.ts'
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

/** One round of a member, up to a set that it has signed; from there on with any aggregator. */
export class SecureRound {
  readonly #needs: SecureRoundNeeds
  readonly #group: Group
  /** All that the round began with: who is a delegate may change with the membership. */
  readonly #groups: readonly Group[]
  readonly #header: RoundHeader
  readonly #peersOf: (identities: readonly string[]) => readonly string[]
  readonly prepared: Prepared
  /** Hash of the state that it began from. */
  readonly from: Uint8Array
  #released: readonly string[] = []
  #signed: SignedSum | undefined

  constructor(needs: SecureRoundNeeds, session: number, prepared: Prepared) {
    const { job, standing, self } = needs
    const { state, hash } = standing.current
    const keys = new Map(job.members.map(({ key, peer }) => [Buffer.from(key).toString('hex'), peer]))
    this.#needs = needs
    this.#groups = job.groups(state)
    this.#group = job.groupOf(self.id, state)
    this.#header = job.header(session, state, hash, this.#group)
    this.#peersOf = (identities) => identities.map((one) => keys.get(one) ?? one)
    this.prepared = prepared
    this.from = hash
  }

  /** The sum that it has signed, while somebody can still open it with this member's help. */
  get signed(): SignedSum | undefined {
    return this.#signed?.isOpen === true ? this.#signed : undefined
  }

  /** @throws the refusals of the protocol, RefusedByPeer, and why the pipe ended */
  async run(pipe: Pipe): Promise<Outcome> {
    const { job, standing, self, times } = this.#needs
    checkAggregator(this.#needs, pipe.remote)
    const group = this.#group
    const upper = group.delegate === self.id ? delegateOf(this.#needs, this.#header.round, this.#peersOf) : undefined
    const init = {
      header: this.#header,
      members: group.members.map(({ key }) => key),
      identity: {
        publicKey: job.members.find(({ peer }) => peer === self.id)!.key,
        sign: (bytes: Uint8Array) => self.sign(bytes),
      },
      records: toldRecords(this.#needs.site.records, job.minimumRecords),
      minimumRecords: job.minimumRecords,
      update: this.#update(),
      noise: job.noiseSd(standing.current.state),
      graph: group.graph,
      quorum: group.quorum,
    }
    const signed = await signWithOthers(this.#forSum(), pipe, init, times.silenceMs, upper)
    this.#signed = signed
    return this.#outcome(signed, () => signed.open(pipe))
  }

  /** With another aggregator, or the same one again. @throws JobRefusedError, and as `run` */
  async resume(pipe: Pipe, give: boolean): Promise<Outcome> {
    const { signed } = this
    checkAggregator(this.#needs, pipe.remote)
    const masked = this.#groups.find(({ delegate }) => delegate === pipe.remote)
    if (masked !== undefined) throw maskedBy(this.#needs, pipe.remote, masked)
    if (signed === undefined)
      throw new JobRefusedError(this.#needs.job.id, 'this member has signed no sum to be opened')
    return this.#outcome(signed, () => signed.resume(pipe, give))
  }

  /** No help any more: what came of it is known, or will not be. */
  end(): void {
    this.#signed?.abort()
  }

  async #outcome(signed: SignedSum, open: () => Promise<ToldSum>): Promise<Outcome> {
    const { job, standing } = this.#needs
    const [group, released] = [this.#group, this.#released]
    const { result, payload, sid, signed: digest } = await openSigned({ peersOf: this.#peersOf }, signed, open)
    const { state } = standing.current
    const { sums, members, buckets } = readSums(job, state, { group, released }, this.#header, { result, payload })
    const told = { sid, digest: nodePrimitives.sha256(payload) }
    // Members of other sums have signed other sets: what all have in common is what they were told.
    const isOne = group.name === ''
    const transcript = toldHash(isOne ? digest : undefined, members, isOne ? [] : (result.groups ?? []), payload)
    return { sums, survivors: members.length, members, told, transcript, ...(buckets === undefined ? {} : { buckets }) }
  }

  #update(): UpdateSource {
    const { job, standing, random } = this.#needs
    const layout = job.layout(standing.current.state)
    return encodeContribution(this.prepared.contribution, layout, this.#header, wordsOf(random))
  }

  #forSum(): SecureMemberNeeds {
    const { random, ledger, standing, job, dataset, before, stage, leaves } = this.#needs
    const { round } = this.#header
    const { noise } = this.prepared
    return {
      random,
      peersOf: this.#peersOf,
      mayJoin: (identities) => checkAdmitted(this.#needs, this.#peersOf(identities)),
      signedRounds: ledger,
      before,
      stage,
      mayRelease: (identities) => this.#checkRelease(this.#peersOf(identities)),
      // Under this number nothing is signed any more, whatever becomes of the sum.
      remember: () => (this.#isWhole ? standing.raise(round + 1) : this.#bind()),
      reveals: () => this.#bind(),
      leaves,
      charge: () => {
        if (noise === undefined) return
        this.#needs.charged()
        ledger.charge({ data: dataset, unit: noise.unit, job: job.id, round, event: noise.event })
      },
    }
  }

  /**
   * In a graph of all, shares of two thirds open a sum, and two sets cannot both have them. Of neighbours fewer do, and signatures
   * of two thirds are what rules two sets out: there the signature binds.
   */
  get #isWhole(): boolean {
    return this.#group.graph.kind === 'complete'
  }

  async #bind(): Promise<void> {
    const { standing, job } = this.#needs
    if (Buffer.compare(standing.current.hash, this.from) !== 0) {
      throw new JobRefusedError(job.id, 'the model is another one now')
    }
    if (this.prepared.noise === undefined) claimSet(this.#needs, 'weft fed set/1', this.from, this.#released)
    await standing.bind(this.#released, this.#header.round + 1)
  }

  #checkRelease(released: readonly string[]): void {
    this.#released = released
    const { delegate, least } = this.#group
    // Whoever aggregates began with enough of them; how many are left is this member's to look at.
    if (delegate !== undefined && !released.includes(delegate)) {
      throw new ThresholdError('without its delegate the sum of this cluster would be opened by itself')
    }
    if (released.length < least) {
      throw new ThresholdError(`${released.length} members are left, and ${least} are the least of the plan`)
    }
    if (this.prepared.noise === undefined) checkSet(this.#needs, 'weft fed set/1', this.from, released)
  }
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
    if (!isNoised) claimSet(needs, 'weft fed clusters/1', hash, released)
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
  if (of !== undefined) throw maskedBy({ job }, aggregator, of)
}

function maskedBy({ job }: Pick<SecureRoundNeeds, 'job'>, aggregator: string, { name }: Group): JobRefusedError {
  return new JobRefusedError(job.id, `${aggregator} masks the sum of ${name}, and may not see it`)
}

/** Who was thrown out while the round was under way gets nothing more of this member. */
function checkAdmitted({ job, admits }: SecureRoundNeeds, peers: readonly string[]): void {
  const gone = peers.find((peer) => !admits(peer))
  if (gone !== undefined) throw new JobRefusedError(job.id, `${gone} is no member any more`)
}

/** Two sums over different sets from one state would tell a member's update: without noise, of statistics too, there is one. */
function claimSet(needs: SecureRoundNeeds, purpose: string, hash: Uint8Array, members: readonly string[]): void {
  const { key, set } = claimOf(needs, purpose, hash, members)
  if (!needs.ledger.claim(key, set)) checkSet(needs, purpose, hash, members)
}

/** Before a share has left for a set any may be signed. @throws ReplayError */
function checkSet(needs: SecureRoundNeeds, purpose: string, hash: Uint8Array, members: readonly string[]): void {
  const { key, set } = claimOf(needs, purpose, hash, members)
  const claimed = needs.ledger.claimed(key)
  if (claimed === undefined || claimed === Buffer.from(set).toString('hex')) return
  throw new ReplayError(
    'this member has opened another set of survivors from the same model: no second sum is made of it',
  )
}

function claimOf(
  { job }: SecureRoundNeeds,
  purpose: string,
  hash: Uint8Array,
  members: readonly string[],
): { readonly key: Uint8Array; readonly set: Uint8Array } {
  return {
    key: nodePrimitives.sha256(ascii(purpose), ascii(job.id), hash),
    set: nodePrimitives.sha256(ascii([...members].sort().join('\n'))),
  }
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
