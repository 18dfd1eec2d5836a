/** Twelve stations learn which days are bad, and keep what they measured: each alone, together by secure sums, and pooled. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { interval } from '../12-four-hospitals/interval.ts'
import { check, say, table } from '../check.ts'
import { weft } from '../weft.ts'
import type { Evaluated } from '../weft.ts'
import { meanOf, verdict } from './mean.ts'
import { csv, FED, SHARED, stations } from './stations.ts'
import type { Simulated } from './stations.ts'

const folder = await mkdtemp(join(tmpdir(), 'weft-example-'))
try {
  const { isReal, sites, write } = await stations(folder)
  const data = sites.flatMap((site) => ['--data', site.data])
  const simulated = async (name: string, changes: object): Promise<Simulated> => {
    const plan = await write(`${name}.json`, { ...FED, ...changes })
    return weft('fed', 'simulate', plan, ...data, '--out', join(folder, name), '--quiet') as Simulated
  }
  const together = await simulated('together', {})
  // Held to the common model by nothing, a site's own model is what it would have learnt alone.
  const alone = await simulated('alone', { ditto: { lambda: 0 } })
  const plan = { schema: 'weft.train-plan/1', name: 'pooled', ...SHARED, data: csv(sites.map(({ file }) => file)) }
  const optimizer = { kind: 'sgd', lr: 0.5 }
  const path = await write('pooled.plan.json', { ...plan, optimizer, epochs: 200, batch: 'full', metrics: ['auc'] })
  weft('train', path, '--out', join(folder, 'pooled'), '--quiet')
  const aucs = sites.map(({ name, test }) => {
    const pooled = weft('eval', join(folder, 'pooled'), '--data', test) as Evaluated
    return [alone.metrics.sites[name]?.auc, together.metrics.sites[name]?.auc, pooled.metrics['auc']] as const
  })
  const rows = sites.map(({ name, bad, good }, index) => [
    name,
    bad + good,
    ...aucs[index]!.map((auc) => interval(auc, bad, good)),
  ])
  table([['station', 'days', 'alone', 'federated', 'pooled'], ...rows])
  const whole = aucs.filter((each): each is readonly [number, number, number] => !each.includes(undefined))
  for (const [index, name] of ['alone', 'federated', 'pooled'].entries()) {
    say(`${name}: mean AUC ${meanOf(whole.map((each) => each[index]!)).text}`)
  }
  const [gain, loss] = [meanOf(whole.map(([a, f]) => f - a)), meanOf(whole.map(([, f, p]) => f - p))]
  say(`federated less alone: ${gain.text}: ${verdict(gain)}`)
  say(`federated less pooled: ${loss.text}: ${verdict(loss)}`)
  const isWhole = together.rounds.length === 20 && together.rounds.every(({ sites: here }) => here === sites.length)
  check(isWhole && sites.length >= 3, `20 rounds of ${sites.length} stations, ${isReal ? 'as measured' : 'made up'}`)
  check(whole.length > 0 && Math.abs(loss.mean) < 0.02, 'the federated model is within 0.02 AUC of the pooled one')
  check(meanOf(whole.map(([, f]) => f)).mean > 0.7, 'it tells bad days from good ones in a year that it has not seen')
  if (!isReal) say('with ../shared/data/smart-city, these are the stations of Beijing')
} finally {
  await rm(folder, { recursive: true, force: true })
}
