/** What happened to a job, for people: its rounds as a table, its life-cycle a line or two an event. */
import { shortId } from '../../format.ts'
import { COLUMNS, printable, table, width, wrap } from '../../text.ts'

export type Line = Readonly<Record<string, unknown>>

/** Facts of rounds, as a table has room for them; `--json` has them all. */
const COLUMNS_OF_ROUNDS: readonly (readonly [string, string])[] = [
  ['round', 'ROUND'],
  ['step', 'SUM'],
  ['loss', 'LOSS'],
  ['records', 'RECORDS'],
  ['members', 'SITES'],
  ['bytes', 'BYTES'],
  ['staleness', 'AGE'],
  ['distance', 'DISTANCE'],
  ['mixed', 'MIXED'],
  ['late', 'LATE'],
]

/** Columns that say something; of the metrics on this site's own rows as many as there is room for. */
export function roundLines(rounds: readonly Line[]): string[] {
  if (rounds.length === 0) return []
  const says = (name: string): boolean => rounds.some((line) => (line[name] ?? null) !== null)
  const facts = COLUMNS_OF_ROUNDS.filter(([name]) => says(name))
  const own = rounds.map((line) => (line['own_test'] ?? {}) as Line)
  const metrics = [...new Set(own.flatMap((one) => Object.keys(one)))]
  for (let most = metrics.length; ; most--) {
    const shownMetrics = metrics.slice(0, most)
    const heads = [...facts.map(([, head]) => head), ...shownMetrics.map((name) => `OWN ${name.toUpperCase()}`)]
    const rows = rounds.map((line, at) => [
      ...facts.map(([name]) => (name === 'round' && line['event'] === 'statistics' ? 'columns' : cell(line[name]))),
      ...shownMetrics.map((name) => cell(own[at]![name])),
    ])
    const lines = table(
      heads.map((head) => ({ head, right: true })),
      rows,
    )
    if (most === 0 || lines.every((line) => width(line) <= COLUMNS)) return lines
  }
}

function cell(value: unknown): string {
  if (value === undefined || value === null) return '-'
  if (typeof value === 'number' && !Number.isInteger(value)) return value.toPrecision(4)
  if (value === true) return 'yes'
  if (Array.isArray(value)) return String(value.length)
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** An event of the life-cycle; names of peers and hashes by their beginning and end. */
export function eventLines({ at, event, ...facts }: Line): string[] {
  const told = Object.entries(facts).flatMap(([name, value]) => (value === null ? [] : [`${name}=${short(value)}`]))
  const time = String(at).replace(/\.\d+Z$/, 'Z')
  const [first = '', ...rest] = wrap(printable([time, '', String(event), '', ...told].join(' ')))
  return [first, ...rest.flatMap((line) => wrap(line, COLUMNS - 4)).map((line) => `    ${line}`)]
}

function short(value: unknown): string {
  if (typeof value === 'number' && !Number.isInteger(value)) return value.toPrecision(6)
  if (typeof value === 'string')
    return value.replace(/\b12D3\w{48}\b/g, shortId).replace(/\b([0-9a-f]{16})[0-9a-f]{48}\b/g, '$1')
  if (Array.isArray(value)) return value.map(short).join(',')
  if (typeof value === 'object' && value !== null)
    return Object.entries(value)
      .map(([name, each]) => `${name}:${short(each)}`)
      .join(',')
  return JSON.stringify(value)
}
