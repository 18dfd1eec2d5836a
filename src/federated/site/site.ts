/** What a site does in a round: from the state that all agree on to what it adds to the sum, and its own memory after it. */
import { bucketWeight } from '../aggregation/bucketed.ts'
import { fairShare } from '../aggregation/fair.ts'
import type { Compression } from '../compression/types.ts'
import { clipToNorm, l2Norm } from '../privacy/clipping.ts'
import { noiseBounds } from '../privacy/distributed.ts'
import type { DistributedNoise } from '../privacy/distributed.ts'
import type { Words } from '../privacy/words.ts'
import type { Noise } from '../plan/cohort.ts'
import { TrainerError } from '../plan/errors.ts'
import type { FedPlan } from '../plan/schema.ts'
import { strategyParameters } from '../plan/strategy.ts'
import type { Contribution } from '../rounds/layout.ts'
import type { RoundMath } from '../rounds/math.ts'
import type { Begun, FedState } from '../rounds/state.ts'
import { fixedOf } from '../rounds/wide.ts'
import { buffered } from './aged.ts'
import { trainOutside } from './external.ts'
import type { ExternalTrainer } from './external.ts'
import { compressedUpdate } from './compressed.ts'
import type { Trained } from './compressed.ts'
import { picked, placed, sharedPlaces, sharedShapes } from './parameters.ts'
import { boundedRow, momentsToWide } from './statistics.ts'
import type { Prepared, RoundSite, SiteMemory } from './prepared.ts'
import { noised, roundedByChance } from './whole-units.ts'
import type { LocalResult, LocalTrainer } from './local-trainer.ts'

export type { Prepared, RoundSite, SiteMemory } from './prepared.ts'

export class Site implements RoundSite {
  readonly trainer: LocalTrainer
  /** In place of training here. */
  external: ExternalTrainer | undefined
  readonly #math: RoundMath
  readonly #words: Words
  #fitted: string | undefined
  /** Of the model that it is fitted to. */
  #shared: Uint32Array | undefined
  /** In place of coordinates that nobody may have: the integers stand for them. */
  #zeros = new Float64Array()

  /** @param words from a secure source: its bits decide samples and noise */
  constructor(trainer: LocalTrainer, math: RoundMath, words: Words) {
    this.trainer = trainer
    this.#math = math
    this.#words = words
  }

  get records(): number {
    return this.trainer.records
  }

  get #plan(): FedPlan {
    return this.#math.plan
  }

  /** @throws FedPlanError: the plan's compression saves nothing of this model */
  async begin(state: FedState): Promise<Begun> {
    await this.#fit(state)
    const shapes = sharedShapes(this.trainer.shapes(), this.#plan.personal)
    const strategy = this.#math.compression?.first(shapes) ?? {}
    return { global: picked(this.trainer.initial, this.#places()), strategy }
  }

  /** All parameters of the model at this site. */
  async weights(state: FedState, memory: SiteMemory = {}): Promise<Float32Array> {
    await this.#fit(state)
    return placed(memory.own ?? this.trainer.initial, state.global, this.#places())
  }

  /** @throws TrainerError, and what training throws */
  async prepare(state: FedState, memory: SiteMemory, step: number, signal?: AbortSignal): Promise<Prepared> {
    const made = await this.#made(state, memory, step, signal)
    return this.external === undefined || state.pooled === null ? made : { ...made, isRepeatable: false }
  }

  async #made(state: FedState, memory: SiteMemory, step: number, signal?: AbortSignal): Promise<Prepared> {
    const { bounded, compression } = this.#math
    const round = Math.floor(step / (compression?.sums ?? 1))
    if (state.pooled === null && bounded !== undefined) return this.#boundedStatistics(state, memory, bounded)
    if (state.pooled === null) {
      const wide = momentsToWide(this.trainer.records, this.trainer.moments())
      return { contribution: { reals: new Float64Array(), wide }, memory, noise: undefined }
    }
    const noise = this.#math.noise(state)
    const start = await this.weights(state, memory)
    if (noise?.unit === 'record') return this.#record(start, memory, noise)
    if (compression !== undefined && memory.trained?.round === round) {
      return this.#compressed(compression, state, memory, memory.trained)
    }
    const job = { round, start, ...this.#corrections(state, memory, start) }
    const result =
      this.external === undefined ? await this.trainer.train(job, signal) : await this.#outside(start, signal)
    const own = result.weights
    const ditto = await this.#ditto(memory, start, round, signal)
    const kept: SiteMemory = { ...memory, ...(this.#plan.personal === undefined ? {} : { own }), ...ditto }
    const update = this.#difference(start, own)
    if (noise !== undefined) return { ...this.#privateSite(update, noise), memory: kept, noise }
    if (compression !== undefined) {
      const loss = (await this.trainer.loss(start, 'train')) ?? 0
      return this.#compressed(compression, state, kept, { round, loss, update })
    }
    return this.#plain(state, kept, memory, { update, result, start })
  }

  /** Local training from a model of this site's own. Where it is of no other, nothing of it is held to one. */
  async trainFrom(
    start: Float32Array,
    round: number,
    signal?: AbortSignal,
  ): Promise<{ readonly weights: Float32Array; readonly loss: number }> {
    const mu = this.#plan.local.proximal ?? 0
    const job = { round, start, ...(mu > 0 ? { proximal: { mu, anchor: start } } : {}) }
    const { weights } =
      this.external === undefined ? await this.trainer.train(job, signal) : await this.#outside(start, signal)
    return { weights, loss: (await this.trainer.loss(start, 'train', signal)) ?? 0 }
  }

  /** Each record in whole units, and this site's share of the noise. */
  async #boundedStatistics(
    state: FedState,
    memory: SiteMemory,
    { ranges, scale }: NonNullable<RoundMath['bounded']>,
  ): Promise<Prepared> {
    const noise = this.#math.noise(state)!
    const integers = new Float64Array(1 + 3 * ranges.length)
    await this.trainer.eachTrainingRow(
      ranges.map(({ column }) => column),
      (values) => {
        for (const [index, value] of boundedRow(ranges, values).entries()) {
          const scaled = value * scale
          const below = Math.floor(scaled)
          integers[index]! += below + (this.#words.next() / 2 ** 32 < scaled - below ? 1 : 0)
        }
      },
    )
    const most = this.#math.bound * 2 ** this.#math.encoding!.f
    const odd = integers.findIndex((value) => !(Math.abs(value) <= most))
    if (odd >= 0) throw new TrainerError(this.trainer.site, `number ${odd} of the statistics is beyond ${most}`)
    const reals = new Float64Array(integers.length)
    return { contribution: { reals, wide: [], integers: this.#noised(integers, noise) }, memory, noise }
  }

  async #outside(start: Float32Array, signal?: AbortSignal): Promise<LocalResult> {
    const update = await trainOutside(this.external!, this.trainer.site, this.trainer.shapes(), start, signal)
    return { weights: start.map((value, index) => value + update[index]!), steps: this.#plan.local.steps ?? 1 }
  }

  async #fit(state: FedState): Promise<void> {
    const key = JSON.stringify(state.pooled)
    if (key === this.#fitted || state.pooled === null) return
    await this.trainer.fit(state.pooled)
    this.#fitted = key
    this.#shared = undefined
  }

  #places(): Uint32Array {
    return (this.#shared ??= sharedPlaces(this.trainer.shapes(), this.#plan.personal))
  }

  #difference(from: Float32Array, to: Float32Array): Float64Array {
    const places = this.#places()
    const update = new Float64Array(places.length)
    for (let at = 0; at < update.length; at++) update[at] = to[places[at]!]! - from[places[at]!]!
    const odd = update.findIndex((value) => !Number.isFinite(value))
    if (odd >= 0) throw new TrainerError(this.trainer.site, `coordinate ${odd} of the update is ${update[odd]}`)
    return update
  }

  #corrections(state: FedState, memory: SiteMemory, start: Float32Array): object {
    const mu = this.#plan.local.proximal ?? 0
    const proximal = mu > 0 ? { proximal: { mu, anchor: start } } : {}
    if (this.#plan.strategy.name !== 'scaffold') return proximal
    const d = state.global.length
    const [c, own] = [state.strategy['c'] ?? new Float64Array(d), memory.control ?? new Float64Array(d)]
    const shared = c.map((value, index) => value - own[index]!)
    const correction = new Float64Array(start.length)
    for (const [index, place] of this.#places().entries()) correction[place] = shared[index]!
    return { ...proximal, correction }
  }

  /** Li, Hu, Beirami, Smith, arXiv 2012.04221: v goes on from where it was, held to the global model by lambda. */
  async #ditto(memory: SiteMemory, start: Float32Array, round: number, signal?: AbortSignal): Promise<SiteMemory> {
    const { ditto } = this.#plan
    if (ditto === undefined) return {}
    const proximal = { mu: ditto.lambda, anchor: start }
    const { weights } = await this.trainer.train(
      { round, start: memory.ditto ?? start, proximal, steps: ditto.steps },
      signal,
    )
    return { ditto: weights }
  }

  #compressed(compression: Compression, state: FedState, kept: SiteMemory, trained: Trained): Prepared {
    const { update, memory } = compressedUpdate(compression, state, kept, trained)
    const weight = this.#weight(state)
    const wide = this.#told(weight, trained.loss)
    return { contribution: { reals: update.map((value) => value * weight), wide }, memory, noise: undefined }
  }

  #weight(state: FedState): number {
    return this.#math.isWeighted ? (this.trainer.records * this.#math.members) / state.pooled!.records : 1
  }

  #told(weight: number, loss: number): bigint[] {
    return [fixedOf(weight), fixedOf(weight * loss), fixedOf(this.trainer.records)]
  }

  async #plain(
    state: FedState,
    kept: SiteMemory,
    before: SiteMemory,
    local: { readonly update: Float64Array; readonly result: LocalResult; readonly start: Float32Array },
  ): Promise<Prepared> {
    const { update, result, start } = local
    const loss = (await this.trainer.loss(start, 'train')) ?? 0
    const weight = this.#weight(state)
    const wide = this.#told(weight, loss)
    const parameters = strategyParameters(this.#plan)
    const { name } = this.#plan.strategy
    if (name === 'scaffold') {
      const d = state.global.length
      const c = state.strategy['c'] ?? new Float64Array(d)
      const scale = result.steps * Number(parameters['lr'])
      const change = update.map((value, index) => -c[index]! - value / scale)
      const control = change.map((value, index) => (before.control?.[index] ?? 0) + value)
      const reals = new Float64Array(2 * d)
      reals.set(update)
      reals.set(change, d)
      return { contribution: { reals, wide }, memory: { ...kept, control }, noise: undefined }
    }
    if (name === 'qfedavg') {
      const { factor, part } = fairShare(loss, l2Norm(update), Number(parameters['q']), Number(parameters['lr']))
      const reals = update.map((value) => value * factor)
      return { contribution: { reals, wide: [...wide, fixedOf(part)] }, memory: kept, noise: undefined }
    }
    if (name === 'fednova') {
      const reals = update.map((value) => (value * weight) / result.steps)
      return {
        contribution: { reals, wide: [...wide, fixedOf(weight * result.steps)] },
        memory: kept,
        noise: undefined,
      }
    }
    if (this.#math.bucket !== undefined) {
      const { values } = clipToNorm(update, Number(parameters['clip']))
      const counted = bucketWeight(parameters, (await this.trainer.balanced?.())?.even ?? this.trainer.records)
      const reals = values.map((value) => value * counted)
      return { contribution: { reals, wide: this.#told(counted, loss) }, memory: kept, noise: undefined }
    }
    const isSeen = this.#math.strategy.sees === 'each'
    const reals = isSeen ? update : update.map((value) => value * weight)
    const prepared = { contribution: { reals, wide }, memory: kept, noise: undefined }
    return this.#math.isBuffered ? buffered(prepared, state.done) : prepared
  }

  /** A Poisson sample of the records, each gradient clipped, and this site's share of the noise. */
  async #record(start: Float32Array, memory: SiteMemory, noise: Noise): Promise<Prepared> {
    const threshold = noise.q * 2 ** 32
    const places: number[] = []
    for (let place = 0; place < this.trainer.records; place++) if (this.#words.next() < threshold) places.push(place)
    const sum = await this.trainer.clippedSum(start, Uint32Array.from(places), noise.clip)
    const shared = this.#places()
    // Each vector more is as dear as the noise: of all parameters the sum becomes what leaves, in its place.
    const reals = shared.length === sum.length ? sum : new Float64Array(shared.length)
    if (reals !== sum) for (let at = 0; at < reals.length; at++) reals[at] = sum[shared[at]!]!
    const integers = this.#noised(this.#rounded(reals, noise.scale, reals), noise)
    if (this.#zeros.length !== integers.length) this.#zeros = new Float64Array(integers.length)
    return { contribution: { reals: this.#zeros, wide: [], integers }, memory, noise }
  }

  #privateSite(update: Float64Array, noise: Noise): { readonly contribution: Contribution } {
    const { values, fits } = clipToNorm(update, noise.clip)
    const bit = noise.bitScale === null ? [] : [((fits ? 1 : 0) - 0.5) * noise.bitScale]
    const reals = new Float64Array(values.length + bit.length)
    reals.set(values)
    reals.set(bit, values.length)
    const { noise: distributed } = noise.event as { readonly noise: DistributedNoise }
    const { delta2 } = noiseBounds(distributed)
    // The bound of the accountant holds for a member that rounds again until its norm fits.
    let rounded = this.#rounded(reals)
    while (l2Norm(rounded) > delta2) rounded = this.#rounded(reals)
    return { contribution: { reals, wide: [], integers: this.#noised(rounded, noise) } }
  }

  #rounded(reals: Float64Array, scale = 1, rounded?: Float64Array): Float64Array {
    const { f } = this.#plan.secagg as { readonly f: number }
    return roundedByChance(this.#words, this.trainer.site, reals, scale * 2 ** f, rounded)
  }

  #noised(integers: Float64Array, { shareSigma }: Noise): Float64Array {
    return noised(this.#words, integers, shareSigma)
  }
}
