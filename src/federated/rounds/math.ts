/** What a round computes, whoever carries its bytes: which sums a plan needs, and how they change the model. */
import { bucketMean, bucketsToBear } from '../aggregation/bucketed.ts'
import { createStrategy } from '../aggregation/strategies.ts'
import type { Sight, Strategy } from '../aggregation/types.ts'
import { weighting } from '../aggregation/parameters.ts'
import { compressionOf } from '../compression/compression.ts'
import { withoutCarried } from '../compression/low-rank.ts'
import type { Compression } from '../compression/types.ts'
import { ParameterRangeError } from '../errors.ts'
import { rangesOf } from '../plan/bounded-statistics.ts'
import type { ColumnRange } from '../plan/bounded-statistics.ts'
import { boundedStatistics, boundOf, cohortOf, noiseOf, noiseOfStatistics, sumsOf } from '../plan/cohort.ts'
import { thresholdOf } from '../plan/threshold.ts'
import type { Cohort, Noise } from '../plan/cohort.ts'
import type { FedPlan } from '../plan/schema.ts'
import { strategyParameters } from '../plan/strategy.ts'
import { minimumOf } from '../plan/train-plan.ts'
import { nextBound } from '../privacy/clipping.ts'
import { pooledOf, pooledOfBuckets, pooledWithin } from '../site/statistics.ts'
import type { Pooled } from '../site/statistics.ts'
import type { Contribution, Sums, VectorShape } from './layout.ts'
import type { Begun, FedState } from './state.ts'
import type { BucketSum, RoundFacts, SumMath } from './sum-math.ts'
import { realOf } from './wide.ts'

/** Wide numbers of a round of training, in their order. Under privacy there are none: each would cost. */
export const WIDE = { weight: 0, loss: 1, records: 2, extra: 3 } as const

export class RoundMath implements SumMath {
  readonly plan: FedPlan
  readonly members: number
  /** Columns that are pooled. */
  readonly columns: readonly string[]
  /** Undefined: updates are sent whole. */
  readonly compression: Compression | undefined
  readonly #strategy: Strategy
  readonly #cohort: Cohort

  /**
   * @param job its id, for what members draw from it
   * @param sizes members of each cluster, where the plan has some
   */
  constructor(plan: FedPlan, members: number, job?: string, sizes?: readonly number[]) {
    this.plan = plan
    this.members = members
    this.#cohort = cohortOf(plan, members, sizes)
    this.compression = compressionOf(plan, job)
    this.#strategy = createStrategy(plan.strategy.name, strategyParameters(plan))
    this.columns = (plan.features ?? []).flatMap((feature) => {
      const { column, values } = feature as { readonly column: string; readonly values?: unknown }
      return values === undefined ? [column] : []
    })
  }

  get t(): number {
    return thresholdOf(this.members)
  }

  get isPrivate(): boolean {
    return this.plan.privacy !== undefined && this.plan.privacy !== 'off'
  }

  get strategy(): Strategy {
    return this.#strategy
  }

  get sees(): Sight {
    return this.#strategy.sees
  }

  get encoding(): SumMath['encoding'] {
    const { secagg = 'off' } = this.plan
    return secagg === 'off' ? undefined : secagg
  }

  /** Whether updates may be older than the round that they are in. */
  get isBuffered(): boolean {
    return this.plan.buffer !== undefined
  }

  isOver({ done, pooled }: FedState): boolean {
    // What all do together in a gossip is the statistics.
    return pooled !== null && (this.plan.gossip !== undefined || done >= sumsOf(this.plan))
  }

  /** Whether what a member adds is multiplied with its share of the records. */
  get isWeighted(): boolean {
    if (this.isPrivate || ['scaffold', 'qfedavg', 'fedbuff', 'bucketed'].includes(this.plan.strategy.name)) return false
    return weighting(strategyParameters(this.plan)) === 'records'
  }

  shape(state: FedState): VectorShape {
    if (state.pooled === null) return this.#statisticsShape()
    const d = state.global.length
    if (this.isPrivate) return { reals: this.noise(state)!.bitScale === null ? d : d + 1, wide: 0 }
    const { name } = this.plan.strategy
    if (this.compression !== undefined) return { reals: this.compression.size(state), wide: WIDE.extra }
    const wide = WIDE.extra + (name === 'fednova' || name === 'qfedavg' || this.isBuffered ? 1 : 0)
    return { reals: name === 'scaffold' ? 2 * d : d, wide }
  }

  #statisticsShape(): VectorShape {
    const size = 1 + 3 * this.columns.length
    return this.bounded === undefined ? { reals: 0, wide: size } : { reals: size, wide: 0 }
  }

  /** Ranges and noise of the statistics; undefined: they leave exactly. */
  get bounded(): { readonly ranges: readonly ColumnRange[]; readonly scale: number; sd: number } | undefined {
    const ranges = rangesOf(this.plan)
    const found = boundedStatistics(this.plan, this.#cohort)
    if (ranges === undefined || found === undefined) return undefined
    const { scale, noise } = found
    // In counts, of as many shares as there are surely.
    return { ranges, scale, sd: (noise.shareSigma * Math.sqrt(noise.n)) / scale }
  }

  /** Of a round that starts from this state; nothing where the plan has no privacy, nor for statistics that leave exactly. */
  noise(state: FedState): Noise | undefined {
    if (state.pooled === null) return noiseOfStatistics(this.plan, this.#cohort)
    const { global, pooled, clip } = state
    return noiseOf(this.plan, this.#cohort, global.length, pooled.records, clip ?? undefined)
  }

  get bound(): number {
    return boundOf(this.plan, this.members)
  }

  /** The state after a sum. @param begin what training begins with, for the statistics */
  apply(state: FedState, sums: Sums, survivors: number, begin: (state: FedState) => Begun): FedState {
    if (state.pooled === null) {
      const pooled = this.#pooled(sums)
      const without = { ...state, pooled }
      return { ...without, ...begin(without) }
    }
    const noise = this.noise(state)
    const update = noise === undefined ? this.#update(state, sums, survivors) : this.#privateUpdate(state, sums, noise)
    const clip = this.#nextClip(state, sums, survivors, noise)
    if (this.plan.strategy.name === 'scaffold') return this.#scaffold(state, sums, survivors)
    if (this.compression !== undefined) return this.#compressed(this.compression, state, update)
    const { global, state: strategy } = this.#strategy.aggregate({
      global: Float64Array.from(state.global),
      state: state.strategy,
      clients: [{ records: 1, update, steps: 1, loss: 0 }],
    })
    return { ...state, done: state.done + 1, global: Float32Array.from(global), strategy, clip }
  }

  #pooled({ reals, wide }: Sums): Pooled {
    const { bounded } = this
    if (bounded === undefined) return pooledOf(this.columns, wide)
    const units = 2 ** this.encoding!.f / bounded.scale
    const counts = reals.map((value) => value * units)
    return pooledWithin(bounded.ranges, counts, bounded.sd, minimumOf(this.plan).records)
  }

  /** The same where each update is seen. */
  applyEach(state: FedState, all: readonly Contribution[]): FedState {
    const clients = all.map(({ reals, wide }) => ({ records: realOf(wide[WIDE.records]!), update: reals }))
    const { global, state: strategy } = this.#strategy.aggregate({
      global: Float64Array.from(state.global),
      state: state.strategy,
      clients,
    })
    return { ...state, done: state.done + 1, global: Float32Array.from(global), strategy }
  }

  /** Members of a bucket, where the strategy sees sums of buckets. */
  get bucket(): number | undefined {
    return this.sees === 'buckets' ? Number(this.plan.strategy['group']) : undefined
  }

  get leastBuckets(): number {
    const { robust } = this.plan
    return robust === undefined ? 1 : bucketsToBear(robust.attackers)
  }

  get hasBucketStatistics(): boolean {
    const { robust } = this.plan
    // A plan that says nothing of it was approved as one whose columns are one sum.
    return this.bucket !== undefined && robust?.statistics === 'buckets'
  }

  /** The same where sums of buckets are seen, in their order. */
  applyBuckets(state: FedState, all: readonly BucketSum[], begin: (state: FedState) => Begun): FedState {
    if (state.pooled === null) {
      const pooled = pooledOfBuckets(
        this.columns,
        all.map(({ sums }) => sums.wide),
        (this.plan.robust?.attackers ?? 0) + 1,
      )
      const without = { ...state, pooled }
      return { ...without, ...begin(without) }
    }
    const means = all.map(({ sums, survivors }) => bucketMean(sums.reals, realOf(sums.wide[WIDE.weight]!), survivors))
    const made = this.#strategy.combine!({ global: Float64Array.from(state.global), state: state.strategy, means })
    return { ...state, done: state.done + 1, global: Float32Array.from(made.global), strategy: made.state }
  }

  facts(state: FedState, sums: Sums): RoundFacts {
    if (state.pooled === null) {
      // Of buckets, all together are what attackers may have spoilt.
      return { loss: null, records: this.hasBucketStatistics ? null : this.#pooled(sums).records }
    }
    if (this.isPrivate) return { loss: null, records: null }
    const weight = realOf(sums.wide[WIDE.weight]!)
    // Each weighs 1 there, so that their weight is their number.
    const age = this.isBuffered ? { staleness: realOf(sums.wide[WIDE.extra]!) / weight } : {}
    const records = Math.round(realOf(sums.wide[WIDE.records]!))
    return { loss: realOf(sums.wide[WIDE.loss]!) / weight, records, ...age }
  }

  /** @param mean of what was sent */
  #compressed(compression: Compression, state: FedState, mean: Float64Array): FedState {
    const carried = compression.after(state, mean)
    if (!compression.isLast(state)) {
      return { ...state, done: state.done + 1, strategy: { ...state.strategy, ...carried } }
    }
    const { global, state: strategy } = this.#strategy.aggregate({
      global: Float64Array.from(state.global),
      state: withoutCarried(state.strategy),
      clients: [{ records: 1, update: compression.receive(state, mean), steps: 1, loss: 0 }],
    })
    return { ...state, done: state.done + 1, global: Float32Array.from(global), strategy: { ...strategy, ...carried } }
  }

  /** D of one member that stands for all, so that a strategy gives what it would have given for each. */
  #update({ global }: FedState, { reals, wide }: Sums, survivors: number): Float64Array {
    const { name } = this.plan.strategy
    if (name === 'qfedavg') return reals.map((value) => value / realOf(wide[WIDE.extra]!))
    const weight = this.isWeighted ? realOf(wide[WIDE.weight]!) : survivors
    if (!(weight > 0)) throw new ParameterRangeError('the weights of a sum are not above 0')
    // FedNova: the sum holds p D / a, and the extra number p a.
    const factor = name === 'fednova' ? realOf(wide[WIDE.extra]!) / weight : 1
    return reals.subarray(0, global.length).map((value) => (value / weight) * factor)
  }

  #privateUpdate({ global, pooled }: FedState, { reals }: Sums, noise: Noise): Float64Array {
    const d = global.length
    // The expected number, not the actual one: how many were in the sample is nobody's business.
    if (noise.unit === 'site') return reals.slice(0, d).map((value) => value / this.members)
    const step = this.plan.local.lr / (noise.q * pooled!.records * noise.scale)
    return reals.slice(0, d).map((value) => -step * value)
  }

  #nextClip(state: FedState, { reals }: Sums, survivors: number, noise: Noise | undefined): number | null {
    const privacy = this.plan.privacy
    if (
      noise === undefined ||
      noise.bitScale === null ||
      privacy === undefined ||
      privacy === 'off' ||
      privacy.adaptive === undefined
    ) {
      return state.clip
    }
    const { eta = 0.2, quantile = 0.5 } = privacy.adaptive
    const fitting = reals.at(-1)! / noise.bitScale + survivors / 2
    return nextBound(noise.clip, fitting, survivors, { eta, quantile })
  }

  /** Arrays: mean of D, and the sum of the changes of controls over all members. */
  #scaffold(state: FedState, { reals }: Sums, survivors: number): FedState {
    const d = state.global.length
    const total = Number(strategyParameters(this.plan)['total_clients'] ?? this.members)
    const rate = Number(strategyParameters(this.plan)['server_lr'] ?? 1)
    const before = state.strategy['c'] ?? new Float64Array(d)
    const c = before.map((value, index) => value + reals[d + index]! / total)
    const global = state.global.map((value, index) => value + (rate * reals[index]!) / survivors)
    return { ...state, done: state.done + 1, global, strategy: { c } }
  }
}
