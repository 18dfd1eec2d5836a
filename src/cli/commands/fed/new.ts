/** weft fed new: a plan to begin with. */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from '../../context.ts'
import { UsageError } from '../../errors.ts'

const PLAN = {
  schema: 'weft.fed-plan/1',
  name: 'heart',
  task: 'binary',
  target: { column: 'num', above: 0 },
  features: [{ column: 'age' }, { column: 'chol', missing: [0] }, { column: 'cp', values: [1, 2, 3, 4] }],
  split: { every: 5, test: 4 },
  model: { kind: 'mlp', hidden: [16], activation: 'tanh' },
  init: 'hash',
  rounds: 20,
  local: { steps: 5, batch: 'full', optimizer: 'sgd', lr: 0.5 },
  strategy: { name: 'fedavg', weights: 'records', server_lr: 1 },
  secagg: { f: 16, bits: 32, c: 8 },
  privacy: 'off',
  minimum: { sites: 3, records: 64 },
  deadline: '10m',
}

const ANALYSIS = {
  schema: 'weft.fed-analysis/1',
  name: 'look',
  statistics: [
    {
      kind: 'schema',
      columns: [
        { column: 'age', range: [0, 120] },
        { column: 'cp', values: [1, 2, 3, 4] },
      ],
    },
    { kind: 'moments', column: 'age', range: [0, 120] },
    { kind: 'quantiles', column: 'chol', range: [100, 600], bins: 50, at: [0.25, 0.5, 0.75] },
    { kind: 'histogram', column: 'cp', values: [1, 2, 3, 4] },
    { kind: 'drift', name: 'labels', column: 'num', values: [0, 1, 2, 3, 4] },
  ],
  records: 10_000,
  privacy: { unit: 'record', epsilon: 1, delta: 1e-5 },
  minimum: { sites: 3, records: 64 },
  deadline: '10m',
}

export const newCommand: Command = async ({ flags, out }) => {
  const isAnalysis = flags.flag('analysis')
  const path = resolve(flags.text('out') ?? flags.argument(1) ?? (isAnalysis ? 'fed-analysis.json' : 'fed-plan.json'))
  const plan = isAnalysis ? ANALYSIS : PLAN
  await writeFile(path, `${JSON.stringify(plan, null, 2)}\n`, { flag: 'wx' }).catch((error: unknown) => {
    throw new UsageError(`${path} cannot be written: ${(error as Error).message}`, 'choose another with --out FILE')
  })
  if (out.structured) out.document({ schema: 'weft.fed-new/1', path })
  else out.line(path)
}
