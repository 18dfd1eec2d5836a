/** What both attacks by poison train: a linear model over the tables of made-up hospitals. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { checkFedPlan, readFedData, SiteTrainer } from '../../src/federated/index.ts'
import type { FedPlan } from '../../src/federated/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { plan, temporaryFolder, writeSite } from '../federated/support/hospitals.ts'

/** Bearing f dishonest members under secure sums takes g (2f + 1): 15 at g = 3. */
export const CLIENTS = 15
export const BAD = 2

const LOCAL = { steps: 3, batch: 'full', lr: 0.5 }
/** As `weft fed new --robust 2` has it, with buckets of 3. */
export const GUARDED = {
  rounds: 36,
  local: { ...LOCAL, balance: true },
  strategy: {
    name: 'bucketed',
    group: 3,
    clip: 2,
    rule: 'nearest',
    trim: BAD,
    momentum: 0.9,
    server_lr: 0.1,
    most_records: 200,
  },
  robust: { attackers: BAD, statistics: 'buckets' },
} as const

/** A trainer for each table, closed when `use` has ended. @param changes of the plan: its strategy, and what goes with it */
export async function overTables<Names extends string, Result>(
  changes: object,
  tables: Readonly<Record<Names, readonly string[]>>,
  use: (checked: FedPlan, sites: Readonly<Record<Names, SiteTrainer>>) => Promise<Result>,
): Promise<Result> {
  const folder = temporaryFolder()
  const checked = checkFedPlan(plan({ model: { kind: 'linear' }, rounds: 12, local: LOCAL, ...changes }), 'plan')
  mkdirSync(join(folder, 'work'))
  const needs = { clock: systemClock(), engine: createOrtEngine(), folder: join(folder, 'work'), threads: 1 }
  const sites = {} as Record<Names, SiteTrainer>
  try {
    for (const name of Object.keys(tables) as Names[])
      sites[name] = await SiteTrainer.open(needs, checked, await readFedData(writeSite(folder, name, tables[name])))
    return await use(checked, sites)
  } finally {
    for (const site of Object.values<SiteTrainer>(sites)) await site.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
