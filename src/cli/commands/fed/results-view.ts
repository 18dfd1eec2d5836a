/** What an analysis found, for people: a table for each statistic, in 80 columns. */
import type { JobResults, StatisticResult } from '../../../federated/index.ts'
import type { Output } from '../../output.ts'
import { printable, table } from '../../text.ts'

type Group = StatisticResult['groups'][number]
type Row = Readonly<Record<string, unknown>>

/** Rows of one table; what is longer stands in `--json`. */
const MOST_ROWS = 24

export function showResults(out: Output, results: JobResults): void {
  const { job, name, sites, privacy, statistics, own } = results
  out.line(`${job}  ${printable(name)}  ${sites} sites`)
  out.line(
    privacy === null
      ? 'privacy off: these are exact sums'
      : `privacy of one ${privacy.unit}: epsilon ${shown(privacy.epsilon)}, delta ${privacy.delta}, q ${privacy.q}, ` +
          `z ${shown(privacy.z)}, T ${privacy.T}`,
  )
  for (const statistic of statistics) {
    const noise = statistic.noise_sd === null ? '' : `  (each count +- ${shown(statistic.noise_sd)})`
    out.line()
    out.line(printable(statistic.name) + noise)
    for (const group of statistic.groups) showGroup(out, statistic, group)
  }
  const distances = Object.entries(own?.distances ?? {})
  if (own === null || distances.length === 0) return
  out.line()
  out.line(`this site, ${printable(own.site)}: how far it is from the others (0 alike, 1 nothing in common)`)
  out.lines(
    table(
      [{ head: 'STATISTIC' }, { head: 'DISTANCE', right: true }],
      distances.map(([statistic, distance]) => [printable(statistic), shown(distance)]),
    ),
  )
}

function showGroup(out: Output, { kind }: StatisticResult, group: Group): void {
  if (group.group !== null) out.line(`  ${printable(String(group.group))}:`)
  const { rows, ...facts } = ROWS[kind](group)
  const said = Object.entries(facts).map(([name, value]) => `${name.replaceAll('_', ' ')} ${shown(value)}`)
  if (said.length > 0) out.line(`  ${said.join('  ')}`)
  if (rows === undefined || rows.length === 0) return
  const names = Object.keys(rows[0]!)
  const heads = names.map((name) => ({ head: name.replaceAll('_', ' ').toUpperCase(), right: true }))
  const cells = rows.slice(0, MOST_ROWS).map((row) => names.map((name) => printable(shown(row[name]))))
  out.lines(table(heads, cells))
  if (rows.length > MOST_ROWS) out.line(`  and ${rows.length - MOST_ROWS} more rows: see --json`)
}

interface Shown {
  readonly rows?: readonly Row[]
  readonly [fact: string]: unknown
}

const factsOf = (group: Group): Shown => Object.fromEntries(Object.entries(group).filter(([name]) => name !== 'group'))
const list = (value: unknown): readonly Row[] => value as readonly Row[]

const ROWS: Readonly<Record<StatisticResult['kind'], (group: Group) => Shown>> = {
  count: ({ count }) => ({ count }),
  moments: factsOf,
  histogram: (group) => {
    const { bins, ...rest } = factsOf(group)
    return { ...rest, rows: list(bins) }
  },
  quantiles: ({ count, resolution, quantiles }) => ({ count, resolution, rows: list(quantiles) }),
  'kaplan-meier': ({ median, beyond, steps }) => ({ median, beyond, rows: list(steps) }),
  auc: factsOf,
  calibration: ({ error, bins }) => ({ error, rows: list(bins) }),
  drift: ({ distances }) => ({ rows: list(distances) }),
  schema: ({ columns }) => ({ rows: list(columns) }),
}

/** Five digits: more of them than noise leaves. */
function shown(value: unknown): string {
  if (value === null || value === undefined) return '-'
  if (typeof value === 'string') return value
  if (typeof value !== 'number') return JSON.stringify(value)
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5)))
}
