/** The rounds of an analysis: what is asked in each, with how much noise, and what the sums say. */
import { ParameterRangeError, VectorLengthError } from '../errors.ts'
import type { AnalysisPlan, AnalysisPrivacy } from '../plan/analysis-schema.ts'
import { thresholdOf } from '../plan/threshold.ts'
import type { Noise } from '../plan/cohort.ts'
import { FedPlanError } from '../plan/errors.ts'
import { analysisRounds, mostRecords, roundsOfStatistic } from '../plan/read-analysis.ts'
import { shareSigmaOf } from '../privacy/distributed.ts'
import type { DistributedNoise } from '../privacy/distributed.ts'
import { leastMultiplier } from '../privacy/least-multiplier.ts'
import { rdpOf } from '../privacy/accounting.ts'
import type { LedgerEvent } from '../privacy/ledger-entries.ts'
import type { Sums, VectorShape } from '../rounds/layout.ts'
import { FIRST_STATE } from '../rounds/state.ts'
import type { FedState } from '../rounds/state.ts'
import type { RoundFacts, SumMath } from '../rounds/sum-math.ts'
import { limbLayout } from '../rounds/wide.ts'
import { noiseRoom } from '../secagg/encoding.ts'
import { largestParts, numbersOf, partsOfRound } from './parts.ts'
import type { RoundParts } from './parts.ts'

const DEFAULT_BITS = 32
/** Numbers of one sum: beyond it a plan asks for more than any table of statistics. */
const MOST_NUMBERS = 1 << 20
/** Of making counts coarser until the noise fits. */
const MOST_ATTEMPTS = 8

/** What one round said: sites in it, and readings by statistic. */
export interface RoundReadings {
  readonly sites: number
  readonly readings: ReadonlyMap<number, Float64Array>
}

export class AnalysisMath implements SumMath {
  readonly plan: AnalysisPlan
  readonly members: number
  readonly sees = 'sum'
  readonly #known = new Map<string, RoundParts>()
  #limited: { readonly z: number; readonly sensitivity: number } | undefined

  /** @throws FedPlanError: the modulus has no room for the records of a site, or the plan asks for too many numbers */
  constructor(plan: AnalysisPlan, members: number) {
    this.plan = plan
    this.members = members
    if (this.bound < mostRecords(plan)) {
      throw new FedPlanError(
        plan.name,
        'records',
        `is more than the sum of ${members} sites has room for (${this.bound})`,
      )
    }
    const { wide } = largestParts(plan, 0, this.bound)
    // An exact number is spread over several.
    const spread = wide === 0 ? 0 : wide * limbLayout(this.encoding.bits, members).limbs
    for (let round = 0; round < this.rounds; round++) {
      const size = numbersOf(plan, round, this.bound) + (round === 0 ? spread : 0)
      if (size <= MOST_NUMBERS) continue
      const why = `take ${size} numbers together in round ${round + 1}, and ${MOST_NUMBERS} are the most`
      throw new FedPlanError(plan.name, 'statistics', why)
    }
  }

  /** Refuses what no site could carry out, before anybody is asked. @throws FedPlanError */
  static check(plan: AnalysisPlan, members: number): AnalysisMath {
    const math = new AnalysisMath(plan, members)
    math.noise(FIRST_STATE)
    return math
  }

  get t(): number {
    return thresholdOf(this.members)
  }

  readonly bucket = undefined
  readonly leastBuckets = 1
  readonly hasBucketStatistics = false

  get encoding(): { readonly bits: number; readonly f: number } {
    return { bits: this.plan.secagg?.bits ?? DEFAULT_BITS, f: 0 }
  }

  /** Half of the modulus is left to noise. */
  get bound(): number {
    return Math.floor(2 ** (this.encoding.bits - 2) / this.members) - 1
  }

  get rounds(): number {
    return analysisRounds(this.plan)
  }

  isOver({ done }: FedState): boolean {
    return done >= this.rounds
  }

  /** Of the round that starts from this state. */
  parts(state: Pick<FedState, 'done' | 'strategy'>): RoundParts {
    const { done, strategy } = state
    const before = done === 0 ? undefined : strategy[nameOf(done - 1)]
    const key = before === undefined ? `${done}` : `${done} ${Buffer.from(before.buffer).toString('base64')}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const readings = before === undefined ? new Map<number, Float64Array>() : this.round(state, done - 1).readings
    const made = partsOfRound(this.plan, done, readings, this.bound, this.#limits().sensitivity)
    if (this.#known.size > 16) this.#known.clear()
    this.#known.set(key, made)
    return made
  }

  shape(state: FedState): VectorShape {
    const { size, wide } = this.parts(state)
    return { reals: size, wide }
  }

  noise(state: FedState): Noise | undefined {
    const { privacy = 'off' } = this.plan
    if (privacy === 'off') return undefined
    const { size, sensitivity } = this.parts(state)
    const { z } = this.#limits()
    const noise = this.#distributed(privacy, sensitivity, size, z)
    return {
      unit: privacy.unit,
      q: 1,
      z,
      clip: sensitivity,
      scale: 1,
      shareSigma: noise.shareSigma,
      event: { mechanism: 'distributed', q: 1, steps: 1, noise },
      bitScale: null,
    }
  }

  #distributed({ colluders = 0 }: AnalysisPrivacy, sensitivity: number, d: number, z: number): DistributedNoise {
    const n = this.t - colluders
    if (n < 1) throw new FedPlanError(this.plan.name, 'privacy.colluders', 'leaves nobody whose noise counts')
    const shareSigma = shareSigmaOf(z, sensitivity, 0, n)
    // Each record adds whole units: nothing is rounded behind the sensitivity.
    return { n, clip: sensitivity, f: 0, d, shareSigma, mechanism: 'gaussian', rounding: 'none' }
  }

  /**
   * The plan's z, or the least that keeps all rounds together within epsilon; and the most that a unit may change, in units
   * of the sum, so that the modulus has room for the noise: counts are made coarser until it has.
   * @throws FedPlanError: no noise is enough, or the modulus has no room for it
   */
  #limits(): { readonly z: number; readonly sensitivity: number } {
    const { plan, bound, members } = this
    const { privacy = 'off' } = plan
    if (this.#limited !== undefined) return this.#limited
    if (privacy === 'off') return (this.#limited = { z: 0, sensitivity: Number.POSITIVE_INFINITY })
    const room = noiseRoom(members, { bits: this.encoding.bits, f: 0, c: bound })
    let limit = Number.POSITIVE_INFINITY
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const rounds = Array.from({ length: this.rounds }, (_, round) => largestParts(plan, round, bound, limit))
      const z = this.#multiplier(privacy, rounds)
      const largest = Math.max(...rounds.map(({ sensitivity }) => sensitivity))
      const sd = this.#distributed(privacy, largest, 1, z).shareSigma * Math.sqrt(members)
      if (sd <= room) return (this.#limited = { z, sensitivity: limit })
      limit = Math.min(limit, largest) * Math.min(0.9, (0.99 * room) / sd)
    }
    const why = `has no room for the noise of epsilon ${privacy.epsilon} over ${members} sites: fewer "records", or more bits`
    throw new FedPlanError(plan.name, 'secagg.bits', why)
  }

  #multiplier(privacy: AnalysisPrivacy, rounds: readonly RoundParts[]): number {
    if (privacy.noise_multiplier !== undefined) return privacy.noise_multiplier
    const eventsAt = (z: number): LedgerEvent[] =>
      rounds.map(({ size, sensitivity }) => ({
        mechanism: 'distributed',
        q: 1,
        steps: 1,
        noise: this.#distributed(privacy, sensitivity, size, z),
      }))
    const found = leastMultiplier((z) => rdpOf(eventsAt(z), privacy.delta), privacy.epsilon)
    if (found === undefined) {
      const why = `no noise keeps ${this.rounds} sums within epsilon ${privacy.epsilon}`
      throw new FedPlanError(this.plan.name, 'privacy', why)
    }
    // A hair more, so that sums of floating point do not pass the cap.
    return found * (1 + 1e-9)
  }

  apply(state: FedState, { reals, wide }: Sums, survivors: number): FedState {
    const each = this.parts(state).parts.map(({ part, from, wideFrom, scale }) => {
      const counts = reals.slice(from, from + part.size).map((value) => value / scale)
      return part.read(counts, wide.slice(wideFrom, wideFrom + part.wide))
    })
    // Not as arguments of a call: a million of them are more than a stack holds.
    const array = Float64Array.from([survivors, ...each.map(({ length }) => length), ...each.flat()])
    return { ...state, done: state.done + 1, strategy: { ...state.strategy, [nameOf(state.done)]: array } }
  }

  applyEach(): FedState {
    throw new ParameterRangeError('an analysis is a sum of all')
  }

  applyBuckets(): FedState {
    return this.applyEach()
  }

  facts(): RoundFacts {
    return { loss: null, records: null }
  }

  /** What round `round`, from 0, said. @throws VectorLengthError: the state does not have it */
  round({ strategy }: Pick<FedState, 'strategy'>, round: number): RoundReadings {
    const asked = this.plan.statistics.flatMap((spec, index) => (roundsOfStatistic(spec) > round ? [index] : []))
    const [sites = Number.NaN, ...rest] = strategy[nameOf(round)] ?? []
    const readings = new Map<number, Float64Array>()
    let at = asked.length
    for (const [place, index] of asked.entries()) {
      const length = rest[place] ?? Number.NaN
      if (!Number.isSafeInteger(length) || length < 0 || at + length > rest.length) {
        throw new VectorLengthError(`the readings of round ${round + 1} are cut short`)
      }
      readings.set(index, Float64Array.from(rest.slice(at, at + length)))
      at += length
    }
    return { sites, readings }
  }
}

/** Of the arrays of a state. */
function nameOf(round: number): string {
  return `round-${round + 1}`
}
