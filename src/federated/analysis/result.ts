/** What an analysis found, as a document: out of the state that all members agree on. */
import type { AnalysisPlan, BinSpec, StatisticOf, StatisticSpec } from '../plan/analysis-schema.ts'
import { roundsOfStatistic, statisticName } from '../plan/read-analysis.ts'
import { rdpOf } from '../privacy/accounting.ts'
import type { PrivacyUnit } from '../privacy/ledger-entries.ts'
import type { FedState } from '../rounds/state.ts'
import { edgesOf } from './bins.ts'
import { distanceEdges } from './drift.ts'
import type { AnalysisMath } from './math.ts'
import { bracketsOf, interpolated } from './quantiles.ts'
import { SCHEMA_FIELDS } from './schema-part.ts'
import { areaOf, calibrationOf } from './scores.ts'
import { survivalCurve } from './survival.ts'

/** Facts of one statistic, or of one of its groups. */
export type Facts = Readonly<Record<string, unknown>>

export interface StatisticResult {
  readonly name: string
  readonly kind: StatisticSpec['kind']
  /** Standard deviation of the noise in each of its counts, in records (of a distance: in sites); null: exact. */
  readonly noise_sd: number | null
  /** One, or one for each value of `by`. */
  readonly groups: readonly ({ readonly group: string | number | null } & Facts)[]
}

/** All of it, or nothing of it, is said. */
export interface SpentPrivacy {
  readonly unit: PrivacyUnit
  readonly epsilon: number
  readonly delta: number
  readonly q: number
  readonly z: number
  readonly T: number
}

export interface AnalysisResult {
  readonly schema: 'weft.fed-analysis-result/1'
  readonly name: string
  /** Sites in the last sum. */
  readonly sites: number
  readonly rounds: number
  /** What these sums cost; what sites paid for sums that were lost stands in their ledgers. */
  readonly privacy: SpentPrivacy | null
  readonly statistics: readonly StatisticResult[]
}

/** @throws VectorLengthError: the rounds are not over */
export function analysisResult(math: AnalysisMath, state: FedState): AnalysisResult {
  const { plan, rounds } = math
  const last = math.round(state, rounds - 1)
  const statistics = plan.statistics.map((spec, index) => {
    const round = roundsOfStatistic(spec) - 1
    const readings = math.round(state, round).readings.get(index)!
    const pool = math.round(state, 0).readings.get(index)!
    return {
      name: statisticName(spec),
      kind: spec.kind,
      noise_sd: noiseIn(math, state, round, index),
      groups: groupsOf(spec, readings, pool),
    }
  })
  return {
    schema: 'weft.fed-analysis-result/1',
    name: plan.name,
    sites: last.sites,
    rounds,
    privacy: spentOf(math, state),
    statistics,
  }
}

/** The state that a round began from. */
function before(state: FedState, round: number): FedState {
  return { ...state, done: round }
}

function noiseIn(math: AnalysisMath, state: FedState, round: number, index: number): number | null {
  const from = before(state, round)
  const noise = math.noise(from)
  if (noise === undefined) return null
  const { scale } = math.parts(from).parts.find((one) => one.index === index)!
  return (noise.shareSigma * Math.sqrt(math.round(state, round).sites)) / scale
}

function spentOf(math: AnalysisMath, state: FedState): SpentPrivacy | null {
  const { privacy = 'off' } = math.plan
  const noises = Array.from({ length: math.rounds }, (_, round) => math.noise(before(state, round)))
  if (privacy === 'off') return null
  const events = noises.flatMap((noise) => (noise === undefined ? [] : [noise.event]))
  const { unit, delta } = privacy
  return { unit, epsilon: rdpOf(events, delta), delta, q: 1, z: noises[0]!.z, T: events.length }
}

function groupsOf(spec: StatisticSpec, readings: Float64Array, pool: Float64Array): StatisticResult['groups'] {
  const by = 'by' in spec ? spec.by : undefined
  if (by === undefined) return [{ group: null, ...factsOf(spec, readings, pool) }]
  const size = readings.length / by.values.length
  return by.values.map((group, index) => ({
    group,
    ...factsOf(spec, readings.subarray(index * size, (index + 1) * size), pool),
  }))
}

function factsOf(spec: StatisticSpec, readings: Float64Array, pool: Float64Array): Facts {
  switch (spec.kind) {
    case 'count':
      return { count: readings[0] }
    case 'moments': {
      const [count = 0, mean = 0, variance = 0] = readings
      return count > 0
        ? { count, mean, variance, sd: Math.sqrt(variance) }
        : { count: 0, mean: null, variance: null, sd: null }
    }
    case 'histogram':
      return histogram(spec, readings)
    case 'quantiles':
      return quantiles(spec, readings)
    case 'kaplan-meier': {
      const steps = survivalCurve(spec, readings)
      const half = steps.find(({ survival }) => survival <= 0.5)
      return { median: half?.time ?? null, beyond: readings.at(-1), steps }
    }
    case 'auc':
      return { ...areaOf(spec, readings) }
    case 'calibration':
      return { ...calibrationOf(spec, readings) }
    case 'drift': {
      const edges = distanceEdges(spec)
      const distances = [...readings].map((sites, index) => ({ from: edges[index], to: edges[index + 1], sites }))
      return { distances, ...histogram(spec, pool) }
    }
    default:
      return schemaFacts(spec, readings)
  }
}

function histogram(spec: BinSpec, readings: Float64Array): Facts {
  const { values } = spec
  if (values !== undefined) {
    const bins = values.map((value, index) => ({ value, count: readings[index] }))
    return { bins, other: readings[values.length], missing: readings[values.length + 1] }
  }
  const edges = edgesOf(spec)
  const count = edges.length - 1
  const bins = Array.from({ length: count }, (_, bin) => ({
    from: edges[bin],
    to: edges[bin + 1],
    count: readings[bin],
  }))
  return { bins, below: readings[count], above: readings[count + 1], missing: readings[count + 2] }
}

function quantiles(spec: StatisticOf<'quantiles'>, readings: Float64Array): Facts {
  const { brackets, total } = bracketsOf(spec, readings)
  const resolution = (spec.range[1] - spec.range[0]) / spec.bins ** (spec.rounds ?? 1)
  const list = brackets.map((bracket, level) => {
    const at = spec.at[level]!
    return { at, value: interpolated(bracket, at * total), low: bracket.low, high: bracket.high }
  })
  return { count: total, resolution, quantiles: list }
}

function schemaFacts(spec: StatisticOf<'schema'>, readings: Float64Array): Facts {
  const fields = SCHEMA_FIELDS.length
  const columns = spec.columns.map(({ column }, index) => ({
    column,
    ...Object.fromEntries(SCHEMA_FIELDS.map((field, place) => [field, readings[fields * index + place]])),
  }))
  return { columns }
}

/** What an analysis costs in secrecy, in words, before anybody says yes to it. */
export function analysisWarnings({ privacy = 'off', statistics }: AnalysisPlan): string[] {
  if (privacy === 'off') {
    return ['privacy is off: the sums are exact, and a count of few records tells of each of them']
  }
  const { unit, epsilon, delta, noise_multiplier: z } = privacy
  const said =
    z === undefined
      ? `epsilon ${epsilon} at delta ${delta} for the whole analysis`
      : `noise of z = ${z} a round, which no epsilon bounds but the one of the ledger`
  const words = [`privacy is of one ${unit}: ${said}`]
  if (statistics.some(({ kind }) => kind === 'drift' || kind === 'schema')) {
    words.push('counts of sites have noise as counts of records have: with few sites they say little')
  }
  return words
}
