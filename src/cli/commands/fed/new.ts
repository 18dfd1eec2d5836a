/** weft fed new: a plan to begin with. */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { AnyManifest } from '../../../models/index.ts'
import { checkFedPlan, membersToBear } from '../../../federated/index.ts'
import { openFor } from '../../context.ts'
import type { Command, CommandContext } from '../../context.ts'
import { ensureModel } from '../../ensure-model.ts'
import { UsageError } from '../../errors.ts'
import { imagePlan } from './image-plan.ts'
import { warningsOf } from './warnings.ts'

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

/** An adapter of a language model, which each site holds itself. */
async function languagePlan(context: CommandContext, name: string): Promise<object> {
  const access = await openFor(context, 'fallback')
  await ensureModel(context, access, name, context.signal)
  const { model, digest, kind } = (await access.manifest(name, context.signal)) as AnyManifest & { kind?: string }
  if (kind === 'graph') throw new UsageError(`${name} is no language model`, 'name one that weft run takes')
  return {
    schema: 'weft.fed-plan/1',
    name: 'notes',
    task: 'language',
    model: { kind: 'base', name: model, digest, length: 128 },
    adapter: { kind: 'lora', rank: 8, targets: ['q', 'v'] },
    split: { every: 10, test: 9 },
    rounds: 10,
    local: { steps: 4, batch: 4, optimizer: 'adamw', lr: 0.001 },
    strategy: { name: 'fedavg', weights: 'records', server_lr: 1 },
    secagg: { f: 16, bits: 32, c: 8 },
    privacy: 'off',
    minimum: { sites: 3, records: 64 },
    deadline: '10m',
  }
}

function planOf(context: CommandContext, model?: string, images?: string): Promise<object> {
  if (images !== undefined) return imagePlan(resolve(images))
  return model === undefined ? Promise.resolve(PLAN) : languagePlan(context, model)
}

/** Sites of a bucket: one of four may be gone, and the other three are still summed. */
const BUCKET = 4

/** Momentum over the deals of buckets, and how many more rounds it takes. */
const ROUNDS = 2
const MOMENTUM = { momentum: 0.9, server_lr: 0.1 }

/** What bears attackers that lie about records, too, and not about their updates alone (E3d of docs/federated.md). */
function bearing(plan: object, path: string, attackers: number): object {
  const { task, rounds, local } = checkFedPlan(plan, path)
  const hasClasses = task === 'binary' || task === 'multiclass'
  return {
    ...plan,
    rounds: ROUNDS * rounds,
    local: { ...local, ...(hasClasses ? { balance: true } : {}) },
    strategy: {
      name: 'bucketed',
      group: BUCKET,
      clip: 2,
      rule: 'nearest',
      trim: attackers,
      ...MOMENTUM,
      most_records: 200,
    },
    robust: { attackers, statistics: 'buckets' },
    minimum: { sites: membersToBear(attackers, BUCKET), records: 64 },
  }
}

/** @throws UsageError */
function compressionFrom(words: string): object {
  const [, kind, value] = /^(random-k|low-rank):(\S+)$/.exec(words) ?? []
  if (kind === undefined)
    throw new UsageError(`--compress ${words} is no compression`, 'random-k:0.1 or low-rank:4, say')
  return kind === 'random-k' ? { kind, share: Number(value) } : { kind, rank: Number(value) }
}

export const newCommand: Command = async (context) => {
  const { flags, out } = context
  const [isAnalysis, model, images] = [flags.flag('analysis'), flags.text('lora'), flags.text('images')]
  const kinds = [isAnalysis && '--analysis', model && '--lora', images && '--images'].filter(Boolean)
  if (kinds.length > 1) throw new UsageError(`${kinds.join(' and ')} are ${kinds.length} kinds of plans`, 'give one')
  const path = resolve(flags.text('out') ?? flags.argument(1) ?? (isAnalysis ? 'fed-analysis.json' : 'fed-plan.json'))
  const attackers = flags.number('robust')
  if (isAnalysis && attackers !== undefined)
    throw new UsageError('--analysis and --robust do not go together', 'an analysis is one sum of all')
  const compress = flags.text('compress')
  if (isAnalysis && compress !== undefined)
    throw new UsageError('--analysis and --compress do not go together', 'an analysis has no updates')
  const cohort = flags.number('buffer')
  if (isAnalysis && cohort !== undefined)
    throw new UsageError('--analysis and --buffer do not go together', 'an analysis has no updates')
  const oldest = flags.number('oldest')
  if (oldest !== undefined && cohort === undefined)
    throw new UsageError('--oldest goes with --buffer', 'without it every update counts in its own round')
  const buffer = { cohort, ...(oldest === undefined ? {} : { oldest }) }
  const group = flags.number('gossip')
  if (isAnalysis && group !== undefined)
    throw new UsageError('--analysis and --gossip do not go together', 'an analysis is one sum of all')
  const chosen = {
    ...(compress === undefined ? {} : { compression: compressionFrom(compress) }),
    ...(cohort === undefined ? {} : { strategy: { name: 'fedbuff', server_lr: 1 }, buffer }),
    ...(group === undefined ? {} : { gossip: { group } }),
  }
  const training = { ...(await planOf(context, model, images)), ...chosen }
  const plan = isAnalysis ? ANALYSIS : attackers === undefined ? training : bearing(training, path, attackers)
  const isChanged = compress !== undefined || cohort !== undefined || group !== undefined
  if (isChanged) checkFedPlan(plan, path)
  await writeFile(path, `${JSON.stringify(plan, null, 2)}\n`, { flag: 'wx' }).catch((error: unknown) => {
    throw new UsageError(`${path} cannot be written: ${(error as Error).message}`, 'choose another with --out FILE')
  })
  if (out.structured) out.document({ schema: 'weft.fed-new/1', path })
  else {
    out.line(path)
    if (attackers !== undefined || cohort !== undefined || group !== undefined)
      for (const words of warningsOf(checkFedPlan(plan, path), [])) out.note(words)
  }
}
