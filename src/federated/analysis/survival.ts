/**
 * Kaplan-Meier on a grid of times. Each record is counted once, in the interval in which it ends, by event or censored;
 * who is at risk follows from these counts. (Counts at risk themselves would make one record count in every interval.)
 */
import type { StatisticOf } from '../plan/analysis-schema.ts'
import { edgesOf, intervalOf } from './bins.ts'
import { bySum, grouped, placing } from './part.ts'
import type { Part } from './part.ts'

type Spec = StatisticOf<'kaplan-meier'>

/** Readings: events of each interval, censored of each, and those that go on behind the grid. */
export function survivalPart(spec: Spec): Part {
  const edges = edgesOf(spec)
  const steps = edges.length - 1
  const size = 2 * steps + 1
  const tally = placing(size, (row) => {
    const time = row.required(spec.time)
    if (time < edges[0]!) row.fail(spec.time, `${time} is before ${edges[0]}, where the grid begins`)
    const hasEvent = row.label(spec.event)
    const step = intervalOf(edges, time)
    if (step >= steps) return 2 * steps
    return hasEvent ? step : steps + step
  })
  const read = (counts: Float64Array): number[] => [...counts]
  const columns = [spec.time, spec.event.column]
  return grouped({ size, wide: 0, columns, ...bySum(1), tally, read }, spec.by)
}

export interface SurvivalStep {
  /** End of the interval. */
  readonly time: number
  readonly at_risk: number
  readonly events: number
  readonly censored: number
  readonly survival: number
  /** Greenwood's, of the survival; what noise adds is not in it. */
  readonly error: number
}

/** S at the end of each interval: product of 1 - events / at risk, those censored within it counted as at risk. */
export function survivalCurve(spec: Spec, readings: ArrayLike<number>): SurvivalStep[] {
  const edges = edgesOf(spec)
  const steps = edges.length - 1
  const ends = Array.from({ length: steps }, (_, step) => ({
    events: Math.max(0, readings[step]!),
    censored: Math.max(0, readings[steps + step]!),
  }))
  let risk = ends.reduce((sum, one) => sum + one.events + one.censored, Math.max(0, readings[2 * steps]!))
  let [survival, variance] = [1, 0]
  return ends.map(({ events, censored }, step) => {
    const line = { time: edges[step + 1]!, at_risk: risk, events, censored }
    const died = Math.min(events, risk)
    if (risk > 0) survival *= 1 - died / risk
    if (risk > died) variance += died / (risk * (risk - died))
    risk = Math.max(0, risk - events - censored)
    return { ...line, survival, error: survival * Math.sqrt(variance) }
  })
}
