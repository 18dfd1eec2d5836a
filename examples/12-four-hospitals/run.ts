/** Four hospitals train one model and keep their patients: each alone, together by secure sums, and pooled, beside each other. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { check, say, table } from '../check.ts'
import { findPatients } from '../09-heart-disease/patients.ts'
import { weft } from '../weft.ts'
import type { Evaluated } from '../weft.ts'
import { interval } from './interval.ts'

const COLUMNS = 'age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num'.split(' ')
const NAMES = ['cleveland', 'hungarian', 'switzerland', 'va']
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
const SHARED = {
  task: 'binary',
  target: { column: 'num', above: 0 },
  features: FEATURES,
  model: { kind: 'linear' },
  init: 'zeros',
}
const FED = {
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

interface Simulated {
  readonly rounds: readonly { readonly sites: number; readonly records: number }[]
  readonly metrics: { readonly sites: Readonly<Record<string, { readonly n: number; readonly auc?: number }>> }
}

const folder = await mkdtemp(join(tmpdir(), 'weft-example-'))
try {
  const { from, isReal, files } = await findPatients(folder)
  const write = async (name: string, value: unknown): Promise<string> => {
    const path = join(folder, name)
    await writeFile(path, typeof value === 'string' ? value : JSON.stringify(value))
    return path
  }
  const csv = (path: string | readonly string[]) => ({
    kind: 'csv',
    path,
    header: false,
    columns: COLUMNS,
    missing: ['?', ''],
  })
  const sites = await Promise.all(
    files.map(async (file, index) => {
      const name = NAMES[index]!
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
  const train = async (name: string, paths: readonly string[]): Promise<string> => {
    const plan = { schema: 'weft.train-plan/1', name, ...SHARED, data: csv(paths), optimizer: { kind: 'sgd', lr: 0.5 } }
    const path = await write(`${name}.plan.json`, { ...plan, epochs: 100, batch: 'full', metrics: ['auc'] })
    weft('train', path, '--out', join(folder, name), '--quiet')
    return join(folder, name)
  }
  const aucOn = (model: string, test: string): number | undefined =>
    (weft('eval', model, '--data', test) as Evaluated).metrics['auc']
  const pooled = await train(
    'pooled',
    sites.map((site) => site.train),
  )
  const out = join(folder, 'federated')
  const data = sites.flatMap((site) => ['--data', site.data])
  const plan = await write('plan.json', FED)
  const together = weft('fed', 'simulate', plan, ...data, '--out', out, '--quiet') as Simulated
  const rows: (readonly [string, number, string, string, string])[] = []
  const sums = { alone: 0, together: 0, pooled: 0, sites: 0 }
  for (const { name, train: own, test, ill, well } of sites) {
    const aucs = [aucOn(await train(name, [own]), test), together.metrics.sites[name]?.auc, aucOn(pooled, test)]
    const [alone, federated, all] = aucs.map((auc) => interval(auc, ill, well)) as [string, string, string]
    rows.push([name, ill + well, alone, federated, all])
    if (aucs.some((auc) => auc === undefined)) continue
    sums.alone += aucs[0]!
    sums.together += aucs[1]!
    sums.pooled += aucs[2]!
    sums.sites++
  }
  table([['hospital', 'test', 'alone', 'federated', 'pooled'], ...rows])
  const mean = (sum: number): number => sum / sums.sites
  say(
    `mean AUC: alone ${mean(sums.alone).toFixed(3)}, federated ${mean(sums.together).toFixed(3)}, pooled ${mean(sums.pooled).toFixed(3)}`,
  )
  const gain = mean(sums.together) - mean(sums.alone)
  say(
    gain > 0.01
      ? 'federating helps the hospitals on the whole'
      : 'federating does not help here: the intervals say why',
  )
  check(
    together.rounds.length === 20 && together.rounds.every(({ sites: here }) => here === 4),
    `20 rounds of 4 sites of ${from}`,
  )
  check(
    Math.abs(mean(sums.together) - mean(sums.pooled)) < 0.05,
    'the federated model is within 0.05 AUC of the pooled one',
  )
  if (!isReal) say('with ../shared/data/health, these are the patients of UCI Heart Disease')
} finally {
  await rm(folder, { recursive: true, force: true })
}
