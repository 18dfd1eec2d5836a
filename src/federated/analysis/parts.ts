/** Which parts the rounds of a plan have, and where each lies in the vector. */
import { mostRecords, roundsOfStatistic } from '../plan/read-analysis.ts'
import type { AnalysisPlan, StatisticSpec } from '../plan/analysis-schema.ts'
import { countPart, histogramPart } from './counts.ts'
import { distancePart, poolPart } from './drift.ts'
import { momentsPart } from './moments.ts'
import type { Part } from './part.ts'
import { quantilesPart } from './quantiles.ts'
import { schemaPart } from './schema-part.ts'
import { aucPart, calibrationPart } from './scores.ts'
import { survivalPart } from './survival.ts'

/** @param before readings of the round before, of a statistic that takes several */
function partOf(spec: StatisticSpec, isPrivate: boolean, before: Float64Array | undefined): Part {
  switch (spec.kind) {
    case 'count':
      return countPart(spec)
    case 'moments':
      return momentsPart(spec, isPrivate)
    case 'histogram':
      return histogramPart(spec)
    case 'quantiles':
      return quantilesPart(spec, before)
    case 'kaplan-meier':
      return survivalPart(spec)
    case 'auc':
      return aucPart(spec)
    case 'calibration':
      return calibrationPart(spec, isPrivate)
    case 'drift':
      return before === undefined ? poolPart(spec) : distancePart(spec, before)
    default:
      return schemaPart(spec)
  }
}

export interface PlacedPart {
  /** Place of its statistic in the plan. */
  readonly index: number
  readonly part: Part
  /** Where its whole numbers begin, and its exact ones. */
  readonly from: number
  readonly wideFrom: number
  /** A count of one is so many units. */
  readonly scale: number
}

export interface RoundParts {
  readonly parts: readonly PlacedPart[]
  readonly size: number
  readonly wide: number
  /** Euclidean norm of what one record, or site, changes in all of the vector, in units. */
  readonly sensitivity: number
}

/** Units of a count: finer ones cost bits and tell nothing more. */
const MOST_UNITS = 4096
/** Units that the coarsest part has where there is room. */
const WANTED_UNITS = 16

/** Whole numbers that the vector has at most in a round: counted, before anything of that size is made. */
export function numbersOf(plan: AnalysisPlan, round: number, room: number): number {
  // The first round of a quantile has one histogram, each further one a histogram for each level at most.
  if (round === 0) return partsOfRound(plan, 0, new Map(), room).size
  return plan.statistics.reduce((sum, spec) => {
    if (roundsOfStatistic(spec) <= round) return sum
    return sum + (spec.kind === 'quantiles' ? spec.at.length * spec.bins : 1 + MOST_DISTANCES)
  }, 0)
}

/** Edges of distances in a plan. */
const MOST_DISTANCES = 20

/**
 * @param round from 0
 * @param before readings of the round before by statistic
 * @param room largest whole number of one member
 * @param limit on the sensitivity, as far as whole units allow: what noise has room for
 */
export function partsOfRound(
  plan: AnalysisPlan,
  round: number,
  before: ReadonlyMap<number, Float64Array>,
  room: number,
  limit: number = Number.POSITIVE_INFINITY,
): RoundParts {
  const { privacy = 'off', statistics } = plan
  const isPrivate = privacy !== 'off'
  const records = mostRecords(plan)
  const asked = statistics.flatMap((spec, index) =>
    roundsOfStatistic(spec) > round
      ? [{ index, weight: spec.weight ?? 1, part: partOf(spec, isPrivate, before.get(index)) }]
      : [],
  )
  const sensitivityOf = (part: Part): number => {
    if (!isPrivate) return 0
    return privacy.unit === 'record' ? part.ofRecord : part.ofSite(records)
  }
  const ratios = asked.map(({ weight, part }) => weight / (sensitivityOf(part) || 1))
  const fits = Math.min(...asked.map(({ part }, at) => room / (part.most(records) * ratios[at]!)))
  const quiet = limit / Math.hypot(...asked.map(({ weight }) => weight))
  const factor = Math.min(fits, quiet, Math.max(MOST_UNITS / Math.max(...ratios), WANTED_UNITS / Math.min(...ratios)))
  let [from, wideFrom, squares] = [0, 0, 0]
  const parts = asked.map(({ index, part }, at): PlacedPart => {
    const scale = isPrivate ? Math.max(1, Math.floor(factor * ratios[at]!)) : 1
    const placed = { index, part, from, wideFrom, scale }
    from += part.size
    wideFrom += part.wide
    squares += (scale * sensitivityOf(part)) ** 2
    return placed
  })
  return { parts, size: from, wide: wideFrom, sensitivity: Math.sqrt(squares) }
}

/** The same where nothing is known yet: no round has more coordinates, and its sensitivity is this one. */
export function largestParts(plan: AnalysisPlan, round: number, room: number, limit?: number): RoundParts {
  const before = new Map<number, Float64Array>()
  for (const [index, spec] of plan.statistics.entries()) {
    if (round === 0) break
    if (spec.kind === 'quantiles') {
      // No two levels in one bin.
      const brackets = spec.at.flatMap((_, level) => [level, level + 1, 0, 1])
      before.set(index, Float64Array.of(...brackets, spec.at.length))
    } else if (spec.kind === 'drift') before.set(index, new Float64Array())
  }
  return partsOfRound(plan, round, before, room, limit)
}
