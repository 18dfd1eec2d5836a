/** Who has a narrowed artery: a small network over the patients of four hospitals, from raw cells with gaps to a model. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { check, say, table } from '../check.ts'
import { weft } from '../weft.ts'
import type { Evaluated, Trained } from '../weft.ts'
import { COLUMNS, findPatients } from './patients.ts'

const MODEL = { model: { kind: 'mlp', hidden: [16], activation: 'tanh' }, init: 'hash' }

const folder = await mkdtemp(join(tmpdir(), 'weft-example-'))
try {
  const { from, isReal, isOwn, sites } = await findPatients(folder)
  const files = sites.map(({ file }) => file)
  const one = (column: string, ...values: readonly number[]) => ({ column, values })
  const plan = {
    schema: 'weft.train-plan/1',
    name: 'heart',
    task: 'binary',
    data: { kind: 'csv', path: files, header: false, columns: COLUMNS, missing: ['?', ''] },
    target: { column: 'num', above: 0 },
    // Every fifth patient of each hospital is kept for the test.
    split: { every: 5, test: 4 },
    ...MODEL,
    optimizer: { kind: 'sgd', lr: 0.5 },
    epochs: 100,
    batch: 'full',
    metrics: ['accuracy', 'auc', 'ece'],
  }
  const three = [{ column: 'age' }, { column: 'chol', missing: [0] }, one('cp', 1, 2, 3, 4)]
  const more = [one('sex', 0, 1), { column: 'trestbps', missing: [0] }, one('fbs', 0, 1), one('restecg', 0, 1, 2)]
  const stress = [{ column: 'thalach' }, one('exang', 0, 1), { column: 'oldpeak' }, one('slope', 1, 2, 3)]
  const vessels = [{ column: 'ca' }, one('thal', 3, 6, 7)]
  const runs = { three, all: [...three, ...more, ...stress, ...vessels] }
  const results = Object.entries(runs).map(async ([name, features]) => {
    const path = join(folder, `${name}.json`)
    await writeFile(path, JSON.stringify({ ...plan, features }))
    return [name, weft('train', path, '--out', join(folder, name), '--quiet') as Trained] as const
  })
  const [few, all] = await Promise.all(results)
  const row = ([name, { examples, metrics }]: NonNullable<typeof few>) => [
    name,
    examples.train,
    examples.test,
    metrics.test['auc']!.toFixed(3),
    metrics.test['accuracy']!.toFixed(3),
  ]
  table([['features', 'train', 'test', 'AUC', 'accuracy'], row(few!), row(all!)])
  const auc = all![1].metrics.test['auc']!
  if (isOwn) say(`AUC of the test patients of ${from}: ${auc.toFixed(3)}`)
  else check(auc >= 0.83, `AUC of the test patients of ${from}: ${auc.toFixed(3)}, at least 0.83`)
  if (!isOwn) check(few![1].metrics.test['auc']! < auc, 'age, cholesterol and pain alone say less')
  const again = weft('eval', join(folder, 'all')) as Evaluated
  check(again.metrics['auc'] === auc, 'weft eval says the same of the model')
  if (!isReal) say('with ../shared/data/health, these are the patients of UCI Heart Disease')
} finally {
  await rm(folder, { recursive: true, force: true })
}
