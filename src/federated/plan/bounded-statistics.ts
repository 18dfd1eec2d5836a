/**
 * Statistics of the columns under privacy of records: where each number has a range, what one record adds to their sums has
 * a bound, and the sums are noised and charged like any other.
 */
import { z } from 'zod'
import { distributedEpsilon, shareSigmaOf } from '../privacy/distributed.ts'
import type { DistributedNoise } from '../privacy/distributed.ts'
import { leastMultiplier } from '../privacy/least-multiplier.ts'
import { FedPlanError } from './errors.ts'
import type { FedPlan } from './schema.ts'

export interface ColumnRange {
  readonly column: string
  readonly low: number
  readonly high: number
}

const numberSchema = z.looseObject({
  column: z.string(),
  values: z.unknown().optional(),
  range: z.tuple([z.number(), z.number()]).optional(),
})

/** Why no value can be told its place in a range; undefined: it can. */
export function rangeFault([low, high]: readonly [number, number]): string | undefined {
  if (!(low < high)) return 'does not rise'
  if (!Number.isFinite(2 * (high - low))) return 'is too wide for a number'
  return high - low > Number.MIN_VALUE ? undefined : 'is too narrow for a number'
}

/**
 * Ranges of the columns that are pooled, in plan order; undefined: the statistics leave exactly.
 * @throws FedPlanError: a range is none, some have one and some do not, or nothing would be hidden by it
 */
export function rangesOf(plan: FedPlan): readonly ColumnRange[] | undefined {
  const wrong = (index: number, why: string): never => {
    throw new FedPlanError(plan.name, `features.${index}.range`, why)
  }
  const numbers = (plan.features ?? []).flatMap((feature, index) => {
    const result = numberSchema.safeParse(feature)
    if (!result.success) return wrong(index, 'is no pair of numbers')
    const { column, values, range } = result.data
    if (range !== undefined && values !== undefined) wrong(index, 'is for numbers, and this column has values')
    const fault = range === undefined ? undefined : rangeFault(range)
    if (fault !== undefined) wrong(index, fault)
    return values === undefined ? [{ index, column, range }] : []
  })
  const first = numbers.find(({ range }) => range !== undefined)
  if (first === undefined) return undefined
  const { privacy = 'off' } = plan
  if (privacy === 'off' || privacy.unit !== 'record') wrong(first.index, 'is for privacy of records')
  return numbers.map(({ index, column, range }) => {
    if (range === undefined) return wrong(index, 'is needed: other columns have one, and epsilon covers all or none')
    return { column, low: range[0], high: range[1] }
  })
}

/** Means and deviations of some column leave as exact sums, which no epsilon covers. */
export function leavesExactStatistics(plan: FedPlan): boolean {
  const isNumber = (feature: unknown): boolean => numberSchema.safeParse(feature).data?.values === undefined
  return rangesOf(plan) === undefined && (plan.features ?? []).some(isNumber)
}

/** Share of epsilon that the statistics take. */
const SHARE = 0.1
/** Records of a site for which there is room at the wanted fineness. */
const WANTED_RECORDS = 1_000_000
const MOST_UNITS = 4096

export interface StatisticsNoise {
  readonly z: number
  /** A count of one is so many units of the sum. */
  readonly scale: number
  readonly noise: DistributedNoise
}

/**
 * Of the sum of the statistics; undefined: they leave exactly.
 * @param room largest whole number of one member
 * @param n shares of noise that surely survive
 */
export function statisticsNoise(plan: FedPlan, room: number, n: number): StatisticsNoise | undefined {
  const ranges = rangesOf(plan)
  const { privacy = 'off', secagg = 'off' } = plan
  if (ranges === undefined || privacy === 'off' || secagg === 'off') return undefined
  const scale = Math.min(MOST_UNITS, 2 ** Math.max(0, Math.floor(Math.log2(room / WANTED_RECORDS))))
  // A record is one count; of each column another, and a value and its square within [-1, 1].
  const clip = (scale * Math.sqrt(1 + 3 * ranges.length)) / 2 ** secagg.f
  const noiseAt = (multiplier: number): DistributedNoise => ({
    n,
    clip,
    f: secagg.f,
    d: 1 + 3 * ranges.length,
    shareSigma: shareSigmaOf(multiplier, clip, secagg.f, n),
    mechanism: 'gaussian',
    rounding: 'none',
  })
  const z =
    privacy.noise_multiplier ??
    leastMultiplier(
      (multiplier) => distributedEpsilon(noiseAt(multiplier), 1, privacy.delta).epsilon,
      SHARE * privacy.epsilon,
    )
  if (z === undefined) throw new FedPlanError(plan.name, 'privacy', `no noise keeps the statistics within epsilon`)
  return { z, scale, noise: noiseAt(z) }
}
