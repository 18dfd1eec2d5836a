/** The rounds of a simulation: the mathematics of a real federation, without its network. */
import { createSeeded } from '../../data/index.ts'
import { minimumOf } from '../plan/train-plan.ts'
import { roundOf, sumsOf } from '../plan/cohort.ts'
import type { FedPlan } from '../plan/schema.ts'
import { planHash } from '../plan-hash.ts'
import { JobView } from '../rounds/job-view.ts'
import type { Group } from '../rounds/job-view.ts'
import { addContributions, addSums, decodeSum, encodeContribution, inSingle } from '../rounds/layout.ts'
import type { Contribution, Sums } from '../rounds/layout.ts'
import type { BucketSum } from '../rounds/sum-math.ts'
import { FIRST_STATE, NOTHING_BEGUN, stateHash } from '../rounds/state.ts'
import type { FedState } from '../rounds/state.ts'
import { aged } from '../site/aged.ts'
import { attacked } from './attackers.ts'
import type { ClientPool } from './pool.ts'
import { seededWords } from './pool.ts'
import { simulateSecureSum } from './secure-sum.ts'
import { simulationJob } from './spec.ts'
import type { SimulationSpec } from './spec.ts'

export interface SimulatedRound {
  readonly round: number
  /** Clients in the sum. */
  readonly sites: number
  readonly records: number | null
  readonly loss: number | null
  /** Of asynchronous rounds: mean age of the updates. */
  readonly staleness?: number
  /** Of a gossip: groups that made a sum, and the root mean square of what models differ from their mean by. */
  readonly groups?: number
  readonly spread?: number
  readonly dropped: number
  /** Of the vector of each client in the sum. */
  readonly bytes: number
  /** Refused by the name of their fault. */
  readonly refused: readonly string[]
}

export interface SimulationEvents {
  /** After each sum; `isLast` of its round. */
  readonly applied?: (state: FedState, line: SimulatedRound, isLast: boolean) => Promise<void>
}

/** What a client sent; an update that came late is of nobody in particular. */
export interface Entry {
  /** Among all that were sent: chance is drawn by it. */
  readonly place: number
  readonly client: number | undefined
  readonly contribution: Contribution
}

export class Simulation {
  readonly job: JobView<FedPlan>
  readonly #plan: FedPlan
  readonly #pool: ClientPool
  readonly #spec: SimulationSpec
  readonly #attackers: ReadonlySet<number>
  /** Updates that are late: due round, client, age. */
  #late: { readonly due: number; readonly from: number; readonly contribution: Contribution }[] = []
  #session = 0
  state: FedState = FIRST_STATE

  constructor(plan: FedPlan, pool: ClientPool, spec: SimulationSpec) {
    this.#plan = plan
    this.#pool = pool
    this.#spec = spec
    const members = pool.names.map((site, index) => ({ peer: `client-${index}`, key: new Uint8Array(32), site }))
    this.job = new JobView({ id: simulationJob(spec.seed), plan, planHash: planHash(plan), members })
    const count = Math.floor((spec.attack?.share ?? 0) * pool.names.length)
    this.#attackers = new Set(Array.from({ length: count }, (_, index) => index))
  }

  async run(events: SimulationEvents = {}, signal?: AbortSignal): Promise<SimulatedRound[]> {
    const lines: SimulatedRound[] = []
    const per = sumsOf(this.#plan) / this.#plan.rounds
    // A round that is lost is tried again with other clients; a plan that never succeeds must end all the same.
    for (let attempts = 0; !this.job.isOver(this.state) && attempts < 2 * sumsOf(this.#plan) + 10; attempts++) {
      signal?.throwIfAborted()
      const isStatistics = this.state.pooled === null
      const line = await this.#sum()
      if (line === undefined || isStatistics) continue
      const isLast = this.state.done % per === 0
      if (isLast) lines.push(line)
      await events.applied?.(this.state, line, isLast)
    }
    return lines
  }

  async #sum(): Promise<SimulatedRound | undefined> {
    const { state } = this
    const isStatistics = state.pooled === null
    const round = isStatistics ? 0 : roundOf(this.#plan, state.done)
    const session = this.#session++
    const seeded = createSeeded(this.#spec.seed, 'round', session)
    const { here, late } = this.present(round, isStatistics, seeded)
    const made = await this.#pool.prepare(state.done, state, [...here, ...late])
    const contributions = here.map((client, index) => ({ client, contribution: made[index]! }))
    const honest = contributions.filter(({ client }) => !this.#attackers.has(client)).map((one) => one.contribution)
    const { attack } = this.#spec
    const most = this.job.isSecure ? this.job.math.bound * 0.999 : Number.POSITIVE_INFINITY
    const sent = contributions.map(({ client, contribution }) => {
      const isBad = attack !== undefined && !isStatistics && this.#attackers.has(client)
      return { client, contribution: isBad ? attacked(attack.kind, contribution, honest, most, seeded) : contribution }
    })
    const good = sent.filter(({ contribution }) => contribution.reals.every((value) => Number.isFinite(value)))
    const refused = sent.filter((one) => !good.includes(one)).map(({ client }) => this.#pool.names[client]!)
    if (good.length < (isStatistics ? 1 : this.#leastAt(round))) return undefined
    const arrived = this.#arriving(round, isStatistics)
    for (const index of late.keys()) {
      const due = round + 1 + seeded.below(3)
      this.#late.push({ due, from: round, contribution: made[here.length + index]! })
    }
    const buffered = arrived.map((contribution) => ({ client: undefined, contribution }))
    const entries = [...good, ...buffered].map(({ client, contribution }, place) => ({
      client,
      contribution: this.job.isSecure ? contribution : inSingle(contribution),
      place,
    }))
    const all = entries.map(({ contribution }) => contribution)
    const sums = this.#sums(session, entries, seeded)
    if (sums.length < this.job.leastGroups(state)) return undefined
    const facts = this.job.math.facts(state, addSums(sums))
    await this.#apply(state, all, sums)
    await this.#pool.commit(good.map(({ client }) => client))
    const dropped = this.#pool.names.length - good.length
    return { round, sites: all.length, ...facts, bytes: this.job.vectorBytes(state), dropped, refused }
  }

  async #apply(state: FedState, all: readonly Contribution[], sums: readonly BucketSum[]): Promise<void> {
    const { math } = this.job
    const survivors = sums.reduce((count, one) => count + one.survivors, 0)
    const isBuckets = math.bucket !== undefined && (state.pooled !== null || math.hasBucketStatistics)
    const apply = (): FedState =>
      isBuckets
        ? math.applyBuckets(state, sums, () => NOTHING_BEGUN)
        : math.apply(state, addSums(sums), survivors, () => NOTHING_BEGUN)
    if (state.pooled === null) {
      const { pooled } = apply()
      this.state = { ...state, pooled, ...(await this.#pool.begin({ ...state, pooled })) }
    } else if (math.strategy.sees === 'each') this.state = math.applyEach(state, all)
    else this.state = apply()
  }

  /** The sum of all; or that of each bucket or cluster which is large enough to be opened. */
  #sums(session: number, all: readonly Entry[], seeded: ReturnType<typeof createSeeded>): BucketSum[] {
    const { job, state } = this
    // Where some are not even asked, those who are fill the buckets.
    const isSampled = (this.#spec.fraction ?? 1) < 1
    const asked = isSampled
      ? all.flatMap(({ client }) => (client === undefined ? [] : [job.members[client]!]))
      : undefined
    return job.groups(state, asked).flatMap((group) => {
      const isIn = ({ client }: Entry): boolean => client !== undefined && group.members.includes(job.members[client]!)
      const own = group.name === '' ? all : all.filter(isIn)
      if (group.name !== '' && own.length < group.least) return []
      return [{ sums: this.sumOf(session, group, own, seeded), survivors: own.length }]
    })
  }

  /** Clients whose updates are of this round itself, at least; a cohort counts those that come late to it as well. */
  #leastAt(round: number): number {
    const { buffer } = this.#plan
    const { sites } = minimumOf(this.#plan)
    if (buffer === undefined) return sites
    return Math.max(1, buffer.cohort - this.#late.filter((one) => one.due <= round).length)
  }

  /** Who says something in this round, and who is late. */
  present(
    round: number,
    isStatistics: boolean,
    seeded: ReturnType<typeof createSeeded>,
  ): { here: number[]; late: number[] } {
    const { fraction = 1, dropouts = 0, stragglers = 0, drops } = this.#spec
    const [here, late]: [number[], number[]] = [[], []]
    for (const [client, name] of this.#pool.names.entries()) {
      const [asked, silent, slow] = [seeded.uniform(), seeded.uniform(), seeded.uniform()]
      if (isStatistics) here.push(client)
      else if (asked >= fraction || silent < dropouts || drops?.get(round)?.has(name) === true) continue
      else if (slow >= stragglers) here.push(client)
      else if (this.#plan.strategy.name === 'fedbuff') late.push(client)
    }
    return { here, late }
  }

  /** Buffered updates of earlier rounds, weighed down by the square root of their age (Nguyen et al., arXiv 2106.06639). */
  #arriving(round: number, isStatistics: boolean): Contribution[] {
    if (isStatistics) return []
    const { oldest = Number.POSITIVE_INFINITY } = this.job
    const due = this.#late.filter((one) => one.due <= round && round - one.from <= oldest)
    this.#late = this.#late.filter((one) => one.due > round)
    const { isBuffered } = this.job.math
    return due.map(({ from, contribution }) => {
      const { reals, wide } = contribution
      const late = aged({ reals, wide: isBuffered ? wide.slice(0, -1) : wide }, round - from)
      return isBuffered ? late : { reals: late.reals, wide }
    })
  }

  /** The sum of what clients of a group sent, with masks or without. */
  sumOf(session: number, group: Group, all: readonly Entry[], seeded: ReturnType<typeof createSeeded>): Sums {
    const { job, state } = this
    if (!job.isSecure) {
      const contributions = all.map(({ contribution }) => contribution)
      return inSingle(addContributions(contributions, job.math.shape(state)))
    }
    const layout = job.layout(state)
    const header = job.header(session, state, stateHash(state), group)
    const sources = all.map(({ client, contribution, place }) => {
      const words = seededWords(this.#spec.seed, 'rounding', session, place)
      const update = encodeContribution(contribution, layout, header, () => words.next())
      return { update, records: this.#pool.records[client ?? 0] ?? 1 }
    })
    if (this.#spec.masks === true) {
      const words = seededWords(this.#spec.seed, 'secrets', session, seeded.uint32())
      const noise = job.noiseSd(state)
      const threshold = Math.min(header.t, all.length)
      const sum = simulateSecureSum({ ...header, t: threshold }, sources, {
        minimumRecords: job.minimumRecords,
        noise,
        graph: group.graph,
        quorum: Math.min(group.quorum, all.length),
        words,
      })
      return decodeSum(sum, layout, header)
    }
    const total = new Uint32Array(layout.d)
    const own = new Uint32Array(layout.d)
    for (const { update } of sources) {
      update.read(0, own)
      for (let index = 0; index < own.length; index++) total[index]! += own[index]!
    }
    const mask = layout.bits === 32 ? 0xffffffff : 2 ** layout.bits - 1
    return decodeSum(
      total.map((word) => (word & mask) >>> 0),
      layout,
      header,
    )
  }
}
