/** Twelve air-quality stations: what each has measured at noon, as the table of a site, and its last whole year for testing. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSeeded } from '../../src/data/index.ts'
import { inData, named } from '../find.ts'

const WINDS = 'N NNE NE ENE E ESE SE SSE S SSW SW WSW W WNW NW NNW'.split(' ')
const NUMBERS = ['TEMP', 'PRES', 'DEWP', 'RAIN', 'WSPM']
export const COLUMNS = ['year', 'month', ...NUMBERS, 'wd', 'bad']
const TEST_YEAR = 2016
/** PM2.5, ug/m3, of a day: grade II of China's standard GB 3095-2012. */
const LIMIT = 75

export const SHARED = {
  task: 'binary',
  target: { column: 'bad', above: 0 },
  features: [
    ...NUMBERS.map((column) => ({ column })),
    { column: 'wd', values: WINDS },
    { column: 'month', values: Array.from({ length: 12 }, (_, month) => month + 1) },
  ],
  split: { column: 'year', test: TEST_YEAR },
  model: { kind: 'linear' },
  init: 'zeros',
}
export const FED = {
  schema: 'weft.fed-plan/1',
  name: 'air',
  ...SHARED,
  rounds: 20,
  local: { steps: 10, batch: 'full', optimizer: 'sgd', lr: 0.5 },
  strategy: { name: 'fedavg', weights: 'records' },
  secagg: { f: 16, bits: 32, c: 8 },
  privacy: 'off',
}

export const csv = (path: string | readonly string[]) => ({
  kind: 'csv',
  path,
  header: false,
  columns: COLUMNS,
  missing: ['NA'],
})

export interface Simulated {
  readonly rounds: readonly { readonly sites: number; readonly records: number }[]
  readonly metrics: { readonly sites: Readonly<Record<string, { readonly n: number; readonly auc?: number }>> }
}

/** Tables of your own (`--data FOLDER`, columns as UCI's PRSA data has them), those beside the repository, or made ones. */
export async function stations(folder: string) {
  const from = named('data') ?? inData('smart-city/beijing-air')
  const tables = from === undefined ? made() : await read(from)
  const write = async (name: string, value: unknown): Promise<string> => {
    const path = join(folder, name)
    await writeFile(path, typeof value === 'string' ? value : JSON.stringify(value))
    return path
  }
  const sites = await Promise.all(
    [...tables].map(async ([name, rows]) => {
      const lines = (which: typeof rows): string => which.map((row) => row.join(',')).join('\n')
      const test = rows.filter(([year]) => Number(year) === TEST_YEAR)
      const bad = test.filter((row) => row.at(-1) === '1').length
      const file = await write(`${name}.csv`, lines(rows))
      const data = await write(`${name}.json`, { schema: 'weft.fed-data/1', site: name, ...csv(file) })
      return { name, file, data, test: await write(`${name}-test.csv`, lines(test)), bad, good: test.length - bad }
    }),
  )
  return { isReal: from !== undefined, sites, write }
}

type Rows = readonly (readonly string[])[]

async function read(folder: string): Promise<Map<string, Rows>> {
  const tables = new Map<string, Rows>()
  const files = (await readdir(folder)).filter((name) => name.endsWith('.csv')).sort()
  for (const name of files) {
    const [head = '', ...lines] = (await readFile(join(folder, name), 'utf8')).trim().split(/\r?\n/)
    const cells = (line: string): string[] => line.replaceAll('"', '').split(',')
    const place = new Map(cells(head).map((column, index) => [column, index]))
    const rows = lines.map(cells).flatMap((row) => {
      const cell = (column: string): string => row[place.get(column) ?? -1] ?? 'NA'
      const pm = cell('PM2.5')
      // One hour a day: the hours of a day are no days of their own. What nobody measured can be learnt from by nobody.
      if (cell('hour') !== '12' || pm === 'NA' || Number(cell('year')) > TEST_YEAR) return []
      return [[...COLUMNS.slice(0, -1).map(cell), Number(pm) > LIMIT ? '1' : '0']]
    })
    tables.set(/PRSA_Data_(\w+?)_/.exec(name)?.[1] ?? name.slice(0, -4), rows)
  }
  return tables
}

/** Still, damp days are bad, and each station has its own bias; a day's weather is that of the whole city. */
function made(): Map<string, Rows> {
  const city = createSeeded(1, 'city')
  const days = Array.from({ length: 4 * 365 }, (_, day) => {
    const season = Math.cos((2 * Math.PI * day) / 365)
    const still = city.normal()
    return { day, season, still, damp: city.normal() }
  })
  const tables = new Map<string, Rows>()
  for (let station = 1; station <= 12; station++) {
    const own = createSeeded(station, 'station')
    const [bias, gaps] = [0.6 * own.normal(), 0.02]
    const rows = days.map(({ day, season, still, damp }) => {
      const risk = 0.9 * season - 1.1 * still + 0.8 * damp + bias + 1.2 * own.normal()
      const number = (value: number): string => (own.uniform() < gaps ? 'NA' : value.toFixed(1))
      const weather = [
        number(13 - 14 * season + own.normal()),
        number(1012 + 8 * season),
        number(3 - 10 * season + 6 * damp),
        number(Math.max(0, damp - 1.5)),
        number(Math.max(0, 2 + still)),
      ]
      const [year, month] = [2013 + Math.floor(day / 365), 1 + Math.floor((day % 365) / 30.5)]
      return [String(year), String(month), ...weather, WINDS[own.below(16)]!, risk > 0.3 ? '1' : '0']
    })
    tables.set(`station-${String(station).padStart(2, '0')}`, rows)
  }
  return tables
}
