/** What a round needs to know of its job: the same at every member. */
import { AnalysisMath } from '../analysis/math.ts'
import { JobRefusedError } from '../plan/errors.ts'
import { isAnalysis } from '../plan/job-plan.ts'
import type { JobPlan } from '../plan/job-plan.ts'
import { clusterSizes } from '../plan/clusters.ts'
import { leastOfClusters, leastOfGroup } from '../plan/cohort.ts'
import { neighboursOf, sharingOf } from '../plan/sharing.ts'
import type { FedPlan } from '../plan/schema.ts'
import { deadlineOf } from '../plan/round-fields.ts'
import { minimumOf, patienceOf } from '../plan/train-plan.ts'
import type { RoundHeader } from '../secagg/layout.ts'
import { RoundMath } from './math.ts'
import { candidates } from './election.ts'
import { bucketGroups, clusterGroups, gossipGroups } from './groups.ts'
import type { SumGroup } from './groups.ts'
import { packedBytes } from '../secagg/packing.ts'
import { clearBytes, vectorLayout } from './layout.ts'
import type { VectorLayout } from './layout.ts'
import { stepsOf } from './state.ts'
import type { FedState } from './state.ts'

export interface JobMember {
  /** PeerId. */
  readonly peer: string
  /** Ed25519, 32 bytes. */
  readonly key: Uint8Array
  readonly site: string
}

/** Members whose vectors are one secure sum. */
export type Group = SumGroup<JobMember>

/** The mathematics of a plan. */
export type MathOf<P extends JobPlan> = P extends FedPlan ? RoundMath : AnalysisMath

export class JobView<P extends JobPlan = JobPlan> {
  readonly id: string
  readonly plan: P
  readonly planHash: Uint8Array
  readonly members: readonly JobMember[]
  readonly math: MathOf<P>

  constructor(init: { readonly id: string; plan: P; planHash: Uint8Array; members: readonly JobMember[] }) {
    this.id = init.id
    this.plan = init.plan
    this.planHash = init.planHash
    this.members = init.members
    this.math = mathOf(init.plan, init.members, init.id) as MathOf<P>
  }

  get peers(): readonly string[] {
    return this.members.map(({ peer }) => peer)
  }

  get isSecure(): boolean {
    return this.math.encoding !== undefined
  }

  /** Members that a round has at least. */
  get least(): number {
    const { sites } = minimumOf(this.plan)
    return this.isSecure ? Math.max(sites, this.math.t, 3) : sites
  }

  get clusters(): FedPlan['clusters'] {
    const plan: JobPlan = this.plan
    return isAnalysis(plan) ? undefined : plan.clusters
  }

  /** Members with which a round from this state begins, whoever else still trains; undefined: those who are there are waited for. */
  cohort({ pooled }: FedState): number | undefined {
    const plan: JobPlan = this.plan
    return isAnalysis(plan) || pooled === null ? undefined : plan.buffer?.cohort
  }

  /** Rounds since the model that an update was trained from, at most; undefined: any number. */
  get oldest(): number | undefined {
    const plan: JobPlan = this.plan
    return isAnalysis(plan) ? undefined : plan.buffer?.oldest
  }

  /** Secure sums that a round from this state is made of, each of members of its own. */
  groups(state: FedState, members: readonly JobMember[] = this.members): readonly Group[] {
    const { math, least, clusters } = this
    if (clusters !== undefined) return clusterGroups(this.id, members, stepsOf(state), clusters)
    const size = this.#isBucketed(state) ? math.bucket : undefined
    if (size !== undefined) return bucketGroups(this.id, members, stepsOf(state), size)
    const sharing = sharingOf(this.members.length, neighboursOf(this.plan))
    return [{ index: 0, name: '', members: this.members, ...sharing, least }]
  }

  /**
   * Who may aggregate the next sum, the first that can be reached before the others: a delegate would see the sum of its cluster.
   * @param done sums that the job has made
   */
  aggregators(done: number): readonly string[] {
    const { clusters, members } = this
    const groups = clusters === undefined ? [] : clusterGroups(this.id, members, done, clusters)
    const order = candidates(this.id, done, this.peers)
    return order.filter((peer) => groups.every(({ delegate }) => delegate !== peer))
  }

  /** The one that this peer is in. @throws JobRefusedError */
  groupOf(peer: string, state: FedState): Group {
    const own = this.groups(state).find(({ members }) => members.some((member) => member.peer === peer))
    if (own === undefined) throw new JobRefusedError(this.id, `${peer} is no member of it`)
    return own
  }

  /** Rounds of a gossip; undefined: the plan has one common model. */
  get gossip(): { readonly group: number; readonly rounds: number } | undefined {
    const plan: JobPlan = this.plan
    return isAnalysis(plan) || plan.gossip === undefined ? undefined : { ...plan.gossip, rounds: plan.rounds }
  }

  /** With whom a member mixes its model. @param step rounds before. @throws JobRefusedError */
  gossipGroup(peer: string, step: number): Group {
    const { gossip, members, id } = this
    const groups = gossip === undefined ? [] : gossipGroups(id, members, step, gossip.group)
    const own = groups.find((group) => group.members.some((member) => member.peer === peer))
    if (own === undefined) throw new JobRefusedError(id, `${peer} is in no group of round ${step + 1}`)
    return { ...own, least: Math.max(own.least, minimumOf(this.plan).sites) }
  }

  /** How many of them have to be opened, or nothing comes of the round. */
  leastGroups(state: FedState): number {
    if (this.clusters !== undefined) return leastOfGroup(this.clusters.length)
    return this.#isBucketed(state) ? this.math.leastBuckets : 1
  }

  /** Members of all sums of a round together, at least. */
  get leastInRound(): number {
    const { bucket, leastBuckets } = this.math
    return bucket === undefined ? this.least : Math.max(minimumOf(this.plan).sites, leastBuckets * this.leastInSum)
  }

  /** Members of the smallest sum that anybody can open, whoever aggregates: of clusters that of as few as delegates sign. */
  get leastInSum(): number {
    const { bucket } = this.math
    const { clusters } = this
    const sites = this.members.map(({ site }) => site)
    if (clusters !== undefined) return Math.min(this.least, leastOfClusters(clusterSizes({ clusters }, sites)!))
    if (this.gossip !== undefined)
      return Math.min(this.least, Math.max(leastOfGroup(this.gossip.group), minimumOf(this.plan).sites))
    return bucket === undefined ? this.least : Math.min(this.least, leastOfGroup(bucket))
  }

  get minimumRecords(): number {
    return minimumOf(this.plan).records
  }

  get deadlineMs(): number {
    return deadlineOf(this.plan)
  }

  /** Milliseconds that a sum which was signed, and whose result nobody knows, is waited for. */
  get patienceMs(): number {
    return patienceOf(this.plan)
  }

  isOver(state: FedState): boolean {
    return this.math.isOver(state)
  }

  layout(state: FedState): VectorLayout {
    return vectorLayout(this.math.shape(state), this.#secagg().bits, this.members.length)
  }

  /** Of what a member adds to the sum from this state. */
  vectorBytes(state: FedState): number {
    return this.isSecure
      ? packedBytes(this.layout(state).d, this.#secagg().bits)
      : clearBytes(this.math.shape(state), 'float32')
  }

  /** @param hash of the state */
  header(session: number, state: FedState, hash: Uint8Array, { name, t }: Pick<Group, 'name' | 't'>): RoundHeader {
    const { bits, f } = this.#secagg()
    return {
      federation: this.plan.name,
      job: name === '' ? this.id : `${this.id}/${name}`,
      round: session,
      model: hash,
      plan: this.planHash,
      t,
      bits,
      f,
      c: this.math.bound,
      d: this.layout(state).d,
    }
  }

  /** Of the sum of clusters, whose members are their delegates. */
  upper(state: FedState): Pick<Group, 'name' | 'graph' | 't' | 'quorum' | 'members'> {
    const delegates = this.groups(state).map(({ delegate }) => delegate)
    const members = this.members.filter(({ peer }) => delegates.includes(peer))
    return { name: 'clusters', ...sharingOf(delegates.length), members }
  }

  /** Standard deviation of all noise in the sum, integer units. */
  noiseSd(state: FedState): number {
    const noise = this.math.noise(state)
    return noise === undefined ? 0 : noise.shareSigma * Math.sqrt(this.members.length)
  }

  #isBucketed({ pooled }: FedState): boolean {
    return pooled !== null || this.math.hasBucketStatistics
  }

  #secagg(): { readonly bits: number; readonly f: number } {
    return this.math.encoding ?? { bits: 32, f: 16 }
  }
}

function mathOf(plan: JobPlan, members: readonly JobMember[], job: string): RoundMath | AnalysisMath {
  if (isAnalysis(plan)) return new AnalysisMath(plan, members.length)
  const sites = members.map(({ site }) => site)
  return new RoundMath(plan, members.length, job, clusterSizes(plan, sites))
}
