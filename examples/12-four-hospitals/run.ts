/** Four hospitals train one model and keep their patients: each alone, together by secure sums, and pooled, beside each other. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { check, say, table } from '../check.ts'
import { weft } from '../weft.ts'
import type { Evaluated } from '../weft.ts'
import { csv, FED, hospitals, SHARED } from './hospitals.ts'
import type { Simulated } from './hospitals.ts'
import { interval } from './interval.ts'

const folder = await mkdtemp(join(tmpdir(), 'weft-example-'))
try {
  const { from, isReal, isOwn, sites, write } = await hospitals(folder)
  const train = async (name: string, paths: readonly string[]): Promise<string> => {
    const plan = { schema: 'weft.train-plan/1', name, ...SHARED, data: csv(paths), optimizer: { kind: 'sgd', lr: 0.5 } }
    const path = await write(`${name}.plan.json`, { ...plan, epochs: 100, batch: 'full', metrics: ['auc'] })
    weft('train', path, '--out', join(folder, name), '--quiet')
    return join(folder, name)
  }
  const aucOn = (model: string, test: string): number | undefined =>
    (weft('eval', model, '--data', test) as Evaluated).metrics['auc']
  const everybody = sites.map((site) => site.train)
  const pooled = await train('pooled', everybody)
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
  const [alone, federated, all] = [mean(sums.alone), mean(sums.together), mean(sums.pooled)]
  say(`mean AUC: alone ${alone.toFixed(3)}, federated ${federated.toFixed(3)}, pooled ${all.toFixed(3)}`)
  const gain = federated - alone
  const verdict = gain > 0.01 ? 'better' : gain < -0.01 ? 'worse' : 'no better'
  say(`federated is ${verdict} than alone on the mean; where intervals overlap, it is sure at no hospital`)
  const isWhole = together.rounds.length === 20 && together.rounds.every(({ sites: here }) => here === sites.length)
  check(isWhole, `20 rounds of ${sites.length} sites of ${from}`)
  if (!isOwn) check(Math.abs(federated - all) < 0.05, 'the federated model is within 0.05 AUC of the pooled one')
  if (!isReal) say('with ../shared/data/health, these are the patients of UCI Heart Disease')
} finally {
  await rm(folder, { recursive: true, force: true })
}
