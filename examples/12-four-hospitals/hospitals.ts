/** The four hospitals: plans, and each one's patients for training and for testing as files. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { COLUMNS, findPatients } from '../09-heart-disease/patients.ts'

const one = (column: string, ...values: readonly number[]) => ({ column, values })
const FEATURES = [
  { column: 'age' },
  { column: 'chol', missing: [0] },
  one('cp', 1, 2, 3, 4),
  one('sex', 0, 1),
  { column: 'trestbps', missing: [0] },
  { column: 'thalach' },
  one('exang', 0, 1),
  { column: 'oldpeak' },
]
export const SHARED = {
  task: 'binary',
  target: { column: 'num', above: 0 },
  features: FEATURES,
  model: { kind: 'linear' },
  init: 'zeros',
}
export const FED = {
  schema: 'weft.fed-plan/1',
  name: 'hospitals',
  ...SHARED,
  split: { every: 5, test: 4 },
  rounds: 20,
  local: { steps: 5, batch: 'full', optimizer: 'sgd', lr: 0.5 },
  strategy: { name: 'fedavg', weights: 'records' },
  secagg: { f: 16, bits: 32, c: 8 },
  privacy: 'off',
}

export interface Simulated {
  readonly rounds: readonly { readonly sites: number; readonly records: number }[]
  readonly metrics: { readonly sites: Readonly<Record<string, { readonly n: number; readonly auc?: number }>> }
}

export const csv = (path: string | readonly string[]) => ({
  kind: 'csv',
  path,
  header: false,
  columns: COLUMNS,
  missing: ['?', ''],
})

/** Every fifth patient is for the test. */
export async function hospitals(folder: string) {
  const { from, isReal, isOwn, sites: found } = await findPatients(folder)
  const write = async (name: string, value: unknown): Promise<string> => {
    const path = join(folder, name)
    await writeFile(path, typeof value === 'string' ? value : JSON.stringify(value))
    return path
  }
  const sites = await Promise.all(
    found.map(async ({ name, file }) => {
      const rows = (await readFile(file, 'utf8')).trim().split('\n')
      const test = rows.filter((_, row) => row % 5 === 4)
      const ill = test.filter((row) => Number(row.split(',').at(-1)) > 0).length
      return {
        name,
        data: await write(`${name}.json`, { schema: 'weft.fed-data/1', site: name, ...csv(file) }),
        train: await write(`${name}-train.csv`, rows.filter((_, row) => row % 5 !== 4).join('\n')),
        test: await write(`${name}-test.csv`, test.join('\n')),
        ill,
        well: test.length - ill,
      }
    }),
  )
  return { from, isReal, isOwn, sites, write }
}
