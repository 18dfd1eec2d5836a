/**
 * A step under privacy of records (a Poisson sample, each gradient clipped, rounding, this site's share of the noise) beside a plain
 * step of the same site on as many records: a linear model, an MLP, and low-rank factors beside a small language model.
 * `node bench/private-step.ts [linear mlp mlp-more lora] [--steps N] [--threads N] [--json]`. Milliseconds of processor time of this process, medians, the sides in turn;
 * the ratios are medians of the ratios of turns, so that a machine that is busy meanwhile is so for both.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createSeeded } from '../src/data/index.ts'
import {
  checkFedPlan,
  FIRST_STATE,
  keyedWords,
  openTrainer,
  readFedData,
  RoundMath,
  Site,
} from '../src/federated/index.ts'
import type { FedPlan, FedState, LocalTrainer, TrainerNeeds } from '../src/federated/index.ts'
import { createOrtEngine } from '../src/onnx/index.ts'
import { createPeer, homeFederationBase } from '../src/peer/index.ts'
import { systemClock, systemRandom } from '../src/util/index.ts'
import { median } from './support/median.ts'

const TINY = fileURLToPath(new URL('../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '40' },
    threads: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})
const [steps, threads] = [Number(values.steps), Number(values.threads)]
/** Steps that are not measured: sessions are opened, and code becomes fast, which takes more than the first few. */
const WARM = 20
const MEMBERS = 4
const WANTED = 2.5

const folder = mkdtempSync(join(tmpdir(), 'weft-bench-private-'))

interface Case {
  /** With the records of a step. */
  plan(batch: number, rate: number): object
  /** Writes the data; the path of its description. */
  data(at: string): string
  readonly records: number
  readonly batch: number
}

/** Fields of all plans. @param batch records of a step, at this rate of all */
const common = (records: number, batch: number, rate: number): object => ({
  schema: 'weft.fed-plan/1',
  name: 'bench',
  rounds: 4,
  strategy: { name: 'fedavg', weights: 'uniform', server_lr: 1 },
  secagg: { f: 16, bits: 32, c: 8 },
  privacy: { unit: 'record', epsilon: 8, delta: 1e-5, clip: 1, sample_rate: rate, noise_multiplier: 1 },
  minimum: { sites: 3, records: 1 },
  split: { every: records + 1, test: records },
  local: { steps: 1, batch, optimizer: 'sgd', lr: 0.1 },
  deadline: '20s',
})

function table(features: number, records: number, batch: number, model: object): Case {
  const columns = Array.from({ length: features }, (_, at) => `x${at}`)
  return {
    records,
    batch,
    plan: (size, rate) => ({
      ...common(records, size, rate),
      task: 'binary',
      target: { column: 'y', above: 0 },
      features: columns.map((column) => ({ column })),
      model,
      init: 'hash',
    }),
    data(at) {
      const seeded = createSeeded(1, 'rows')
      const rows = Array.from({ length: records }, () => {
        const row = columns.map(() => seeded.normal())
        return [...row.map((value) => value.toFixed(4)), row[0]! > 0 ? 1 : 0].join(',')
      })
      writeFileSync(join(at, 'rows.csv'), `${rows.join('\n')}\n`)
      const description = { kind: 'csv', path: 'rows.csv', header: false, columns: [...columns, 'y'] }
      return described(at, description)
    },
  }
}

const WINDOW = 64

/** @param base as a plan names it */
function texts(base: object, records: number, batch: number): Case {
  return {
    records,
    batch,
    plan: (size, rate) => ({
      ...common(records, size, rate),
      task: 'language',
      model: { ...base, length: WINDOW },
      adapter: { kind: 'lora', rank: 8, targets: ['q', 'k', 'v', 'o'], train: 'b' },
    }),
    data(at) {
      const words = ['the', 'whale', 'of', 'and', 'sea', 'to', 'in', 'was', 'he', 'that', 'his', 'it']
      const seeded = createSeeded(1, 'words')
      const text = Array.from({ length: records * WINDOW }, () => words[seeded.below(words.length)])
      writeFileSync(join(at, 'text.txt'), text.join(' '))
      return described(at, { kind: 'text', path: 'text.txt' })
    },
  }
}

function described(at: string, rest: object): string {
  const path = join(at, 'site.json')
  writeFileSync(path, JSON.stringify({ schema: 'weft.fed-data/1', site: 'bench', ...rest }))
  return path
}

interface Measured {
  readonly name: string
  readonly parameters: number
  readonly batch: number
  readonly plain_ms: number
  /** With rounding and noise. */
  readonly private_ms: number
  readonly clipped_ms: number
  readonly ratio: number
  /** Of the clipped sum alone. */
  readonly clipped_ratio: number
}

async function timed(action: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage()
  await action()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

async function measured(name: string, one: Case, base?: TrainerNeeds['base']): Promise<Measured> {
  const work = join(folder, name)
  mkdirSync(work)
  const read = await readFedData(one.data(work))
  const needs = { clock: systemClock(), engine: createOrtEngine(), folder: work, threads, base }
  const open = (rate: number): Promise<[FedPlan, LocalTrainer]> => {
    const plan = checkFedPlan(JSON.parse(JSON.stringify(one.plan(one.batch, rate))), 'bench')
    return openTrainer(needs, plan, read).then((trainer) => [plan, trainer])
  }
  const [plan, trainer] = await open(one.batch / one.records)
  const site = new Site(trainer, new RoundMath(plan, MEMBERS), keyedWords(systemRandom()))
  const columns = trainer.moments().map(({ column, count, mean }) => ({ column, count, mean, sd: 1 }))
  const first: FedState = { ...FIRST_STATE, pooled: { records: one.records * MEMBERS, columns } }
  const state = { ...first, ...(await site.begin(first)) }
  const start = await site.weights(state)
  const places = (at: number): Uint32Array =>
    Uint32Array.from({ length: one.batch }, (_, index) => (at * one.batch + index) % trainer.records)
  const turns: { plain: number; hidden: number; clipped: number }[] = []
  for (let at = 0; at < steps + WARM; at++) {
    const plain = await timed(() => trainer.train({ round: at, start, steps: 1 }))
    const hidden = await timed(() => site.prepare(state, {}, at))
    const clipped = await timed(() => trainer.clippedSum(start, places(at), 1))
    if (at >= WARM) turns.push({ plain, hidden, clipped })
  }
  await trainer.close()
  const middle = (of: (turn: (typeof turns)[number]) => number): number => median(turns.map(of))
  return {
    name,
    parameters: start.length,
    batch: one.batch,
    plain_ms: middle(({ plain }) => plain),
    private_ms: middle(({ hidden }) => hidden),
    clipped_ms: middle(({ clipped }) => clipped),
    ratio: middle(({ plain, hidden }) => hidden / plain),
    clipped_ratio: middle(({ plain, clipped }) => clipped / plain),
  }
}

/** A home with the embedded model, and its name as plans have it. */
async function embedded(): Promise<{ readonly base: NonNullable<TrainerNeeds['base']>; readonly named: object }> {
  const home = join(folder, 'home')
  const peer = await createPeer({ home, name: 'bench', network: `bench-${process.pid}`, lan: 'off', listen: [] })
  try {
    await peer.importModel({ source: TINY, name: 'tiny', measure: 'never' })
    const { digest } = await peer.manifest('tiny')
    return { base: homeFederationBase(home), named: { kind: 'base', name: 'tiny', digest } }
  } finally {
    await peer.stop({ drain: 0 })
  }
}

const MLP = { kind: 'mlp', hidden: [256, 256], activation: 'relu' }

const CASES: Readonly<Record<string, () => Promise<Measured>>> = {
  linear: () => measured('linear', table(32, 2048, 128, { kind: 'linear' })),
  mlp: () => measured('mlp', table(64, 2048, 128, MLP)),
  // Noise is by the parameter, whatever the records.
  'mlp-more': () => measured('mlp-more', table(64, 4096, 512, MLP)),
  lora: async () => {
    const { base, named } = await embedded()
    return measured('lora', texts(named, 64, 8), base)
  },
}

try {
  const load = loadavg()[0]!
  const results: Measured[] = []
  for (const [name, run] of Object.entries(CASES))
    if (positionals.length === 0 || positionals.includes(name)) results.push(await run())
  const machine = { processor: cpus()[0]?.model ?? 'unknown', threads, load: [load, loadavg()[0]!] }
  if (values.json) process.stdout.write(`${JSON.stringify({ schema: 'weft.bench-private/1', machine, results })}\n`)
  else {
    const shown = (value: number): string => value.toFixed(2)
    const loads = machine.load.map((value) => value.toFixed(1)).join(' to ')
    process.stdout.write(`${machine.processor}, ${threads} threads, load ${loads}, medians of ${steps} turns\n\n`)
    process.stdout.write(
      '| a step of (parameters, records) | plain, ms | private, ms | of plain | clipped sum alone, of plain |\n',
    )
    process.stdout.write('| --- | --- | --- | --- | --- |\n')
    for (const { name, parameters, batch, ...times } of results) {
      const figures = [times.plain_ms, times.private_ms, times.ratio, times.clipped_ratio].map(shown).join(' | ')
      const verdict = times.ratio <= WANTED ? '' : ` over ${WANTED}`
      process.stdout.write(`| ${name} (${parameters}, ${batch}) | ${figures}${verdict} |\n`)
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
