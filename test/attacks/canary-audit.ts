/**
 * E9 on the final model of a federation of weft: a hundred canaries, records with a label by chance, of which a fair coin puts each into
 * the table of a site or leaves it out (an audit by one run: Steinke, Nasr, Jagielski, arXiv 2305.08846). Whoever has the model tells them
 * apart by their losses.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSeeded } from '../../src/data/index.ts'
import { checkFedPlan, LocalPool, readFedData, RoundMath, Simulation, SiteTrainer } from '../../src/federated/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { temporaryFolder } from '../federated/support/hospitals.ts'

const CANARIES = 100
const SITES = 5
/** Of a site, beside its canaries. */
const HONEST = 40
const INPUTS = 24
const COLUMNS = Array.from({ length: INPUTS }, (_, at) => `x${at}`)
/** Of honest records: what a network learns by heart. */
const WRONG_LABELS = 0.25

export interface Losses {
  /** Of canaries that were trained on. */
  readonly members: readonly number[]
  readonly others: readonly number[]
}

/** The same privacy for whoever trains; "off" in the control. */
export interface AuditPlan {
  readonly privacy: 'off' | { readonly epsilon: number; readonly delta: number; readonly sample_rate: number }
  readonly rounds: number
  readonly local: { readonly steps: number; readonly lr: number }
}

function planOf({ privacy, rounds, local }: AuditPlan, records: number): unknown {
  return {
    schema: 'weft.fed-plan/1',
    name: 'canaries',
    task: 'binary',
    target: { column: 'y', above: 0 },
    features: COLUMNS.map((column) => ({ column })),
    // All rows are for training.
    split: { every: records + 1, test: records },
    model: { kind: 'mlp', hidden: [32], activation: 'tanh' },
    init: 'hash',
    rounds,
    local: { ...local, batch: 'full', optimizer: 'sgd' },
    strategy: { name: 'fedavg', weights: privacy === 'off' ? 'records' : 'uniform', server_lr: 1 },
    secagg: { f: 16, bits: 32, c: 8 },
    privacy: privacy === 'off' ? 'off' : { unit: 'record', clip: 1, ...privacy },
    minimum: { sites: 3, records: 64 },
    deadline: '20s',
  }
}

/** Honest ones, whose label follows from their numbers but for some, and then the canaries. */
function rows(seed: number): string[] {
  const seeded = createSeeded(seed, 'audited records')
  return Array.from({ length: SITES * HONEST + CANARIES }, (_, at) => {
    const numbers = COLUMNS.map(() => seeded.normal())
    const isIll = numbers[0]! + numbers[1]! - numbers[2]! > 0
    const isCanary = at >= SITES * HONEST
    const isWrong = seeded.uniform() < (isCanary ? 0.5 : WRONG_LABELS)
    return [...numbers.map((value) => value.toFixed(4)), Number(isIll !== isWrong)].join(',')
  })
}

/** One run: what each canary's loss is under the model that comes of it. */
export async function audited(audit: AuditPlan, seed: number): Promise<Losses> {
  const folder = temporaryFolder()
  const work = join(folder, 'work')
  mkdirSync(work)
  const all = rows(seed)
  writeFileSync(join(folder, 'all.csv'), `${all.join('\n')}\n`)
  const described = { kind: 'csv', path: 'all.csv', header: false, columns: [...COLUMNS, 'y'] }
  const description = join(folder, 'all.json')
  writeFileSync(description, JSON.stringify({ schema: 'weft.fed-data/1', site: 'all', ...described }))
  const plan = checkFedPlan(planOf(audit, all.length), 'canaries')
  const needs = { clock: systemClock(), engine: createOrtEngine(), folder: work, threads: 1 }
  const whole = await SiteTrainer.open(needs, plan, await readFedData(description))
  try {
    const coin = createSeeded(seed, 'coin')
    const isIn = Array.from({ length: CANARIES }, () => coin.uniform() < 0.5)
    const placesOf = (site: number): Uint32Array => {
      const honest = Array.from({ length: HONEST }, (_, at) => site * HONEST + at)
      const canaries = isIn.flatMap((is, at) => (is && at % SITES === site ? [SITES * HONEST + at] : []))
      return Uint32Array.from([...honest, ...canaries])
    }
    const sites: SiteTrainer[] = []
    for (let site = 0; site < SITES; site++) sites.push(await whole.virtual(`site-${site}`, placesOf(site)))
    const pool = new LocalPool(sites, new RoundMath(plan, SITES), seed)
    const simulation = new Simulation(plan, pool, { seed, masks: false })
    await simulation.run()
    const weights = await pool.weights(simulation.state, 0)
    const losses: { readonly members: number[]; readonly others: number[] } = { members: [], others: [] }
    for (const [at, is] of isIn.entries()) {
      const canary = await whole.virtual(`canary-${at}`, Uint32Array.of(SITES * HONEST + at))
      losses[is ? 'members' : 'others'].push((await canary.loss(weights, 'train'))!)
    }
    return losses
  } finally {
    await whole.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
