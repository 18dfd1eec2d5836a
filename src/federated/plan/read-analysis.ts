/** Checks a plan of an analysis: what the schema cannot say. */
import { numberOf } from '../../data/index.ts'
import { rangeFault } from './bounded-statistics.ts'
import { checkIdentifiers } from './identifiers.ts'
import { issueOf } from './issue.ts'
import { FedPlanError } from './errors.ts'
import { analysisSchema } from './analysis-schema.ts'
import type { AnalysisPlan, BinSpec, LabelSpec, StatisticSpec } from './analysis-schema.ts'

/** @param where for messages. @throws FedPlanError */
export function checkAnalysisPlan(value: unknown, where: string): AnalysisPlan {
  const result = analysisSchema.safeParse(value)
  if (!result.success) throw issueOf(where, result.error.issues[0]!, Object.keys(analysisSchema.shape))
  const plan = result.data
  const drifts = new Set<string>()
  for (const [index, one] of plan.statistics.entries()) {
    const wrong: Wrong = (field, why) => {
      throw new FedPlanError(where, `statistics.${index}.${field}`, why)
    }
    checkStatistic(plan, one, wrong)
    checkIdentifiers(columnsOf(one), `statistics.${index}`, where)
    if (one.kind !== 'drift') continue
    // A site's own distances go by name.
    const name = statisticName(one)
    if (drifts.has(name)) wrong('name', `is needed: "${name}" is another drift's already`)
    drifts.add(name)
  }
  return plan
}

/** Whose values it is made of; that a column is there, and how many cells are missing, is no value. */
function columnsOf(spec: StatisticSpec): (string | undefined)[] {
  const one = spec as { readonly [name: string]: unknown }
  const inner = ['event', 'target', 'by'].map((name) => one[name] as { readonly column?: string } | undefined)
  return [one['column'], one['time'], one['score'], ...inner.map((part) => part?.column)] as (string | undefined)[]
}

/** As results have it. */
export function statisticName(spec: StatisticSpec): string {
  if (spec.name !== undefined) return spec.name
  const of = 'column' in spec ? spec.column : 'score' in spec ? spec.score : 'time' in spec ? spec.time : ''
  return of === '' ? spec.kind : `${spec.kind} ${of}`
}

type Wrong = (field: string, why: string) => never

function checkStatistic({ privacy = 'off' }: AnalysisPlan, one: StatisticSpec, wrong: Wrong): void {
  if ('range' in one && one.range !== undefined) checkRange(one.range, 'range', wrong)
  if ('by' in one && one.by !== undefined) checkDistinct(one.by.values, 'by.values', wrong)
  switch (one.kind) {
    case 'moments':
      if (privacy !== 'off' && one.range === undefined) {
        wrong('range', 'is needed under privacy: what one record can change has to have a bound')
      }
      return
    case 'histogram':
    case 'drift':
      checkBins(one, wrong)
      return
    case 'kaplan-meier':
      checkBins(one, wrong)
      if ((one.edges?.[0] ?? one.range?.[0])! < 0) wrong(one.edges === undefined ? 'range' : 'edges', 'begins before 0')
      checkLabel(one.event, 'event', wrong)
      return
    case 'auc':
    case 'calibration':
      checkLabel(one.target, 'target', wrong)
      return
    case 'schema':
      for (const [index, column] of one.columns.entries()) {
        if (column.range !== undefined && column.values !== undefined) {
          wrong(`columns.${index}`, 'has both a range and values')
        }
        if (column.range !== undefined) checkRange(column.range, `columns.${index}.range`, wrong)
      }
      return
    default:
  }
}

function checkRange(range: readonly [number, number], field: string, wrong: Wrong): void {
  const why = rangeFault(range)
  if (why !== undefined) wrong(field, why)
}

/** A cell that equals two values is counted for the first: the other one would be told as 0. */
function checkDistinct(values: readonly (string | number)[], field: string, wrong: Wrong): void {
  const seen = new Set<string | number>()
  for (const value of values) {
    const known = typeof value === 'number' ? value : (numberOf(value) ?? value)
    if (seen.has(known)) wrong(field, `has ${JSON.stringify(value)} twice`)
    seen.add(known)
  }
}

function checkBins({ edges, range, bins, values }: BinSpec, wrong: Wrong): void {
  const forms = [edges, range ?? bins, values].filter((form) => form !== undefined)
  if (forms.length !== 1 || (range === undefined) !== (bins === undefined)) {
    wrong('bins', 'has to be one of "edges", "range" with "bins", and "values"')
  }
  if (values !== undefined) checkDistinct(values, 'values', wrong)
  if (edges !== undefined && !Number.isFinite(edges.at(-1)! - edges[0]!)) wrong('edges', 'are too far apart')
  if (edges?.some((edge, index) => index > 0 && !(edge > edges[index - 1]!)) === true) wrong('edges', 'do not rise')
}

function checkLabel({ above, equals }: LabelSpec, field: string, wrong: Wrong): void {
  if ((above === undefined) === (equals === undefined)) wrong(field, 'has to have one of "above" and "equals"')
}

/** Secure sums that the analysis takes. */
export function analysisRounds({ statistics }: AnalysisPlan): number {
  return Math.max(...statistics.map(roundsOfStatistic))
}

export function roundsOfStatistic(one: StatisticSpec): number {
  if (one.kind === 'quantiles') return one.rounds ?? 1
  return one.kind === 'drift' ? 2 : 1
}

const DEFAULT_RECORDS = 100_000

/** Records of one site at most. */
export function mostRecords({ records }: AnalysisPlan): number {
  return records ?? DEFAULT_RECORDS
}
