/**
 * `weft fed simulate` of virtual clients: 1,000 of them, 100 rounds of logistic regression on 8,000 rows, masks off; on one
 * thread and on as many as there are cores, in turn. `node bench/simulation.ts [clients] [rounds] [pairs]`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSeeded } from '../src/data/index.ts'
import { checkFedPlan, simulateFederation } from '../src/federated/index.ts'
import { createOrtEngine } from '../src/onnx/index.ts'
import { systemClock } from '../src/util/index.ts'

const [clients = 1000, rounds = 100, pairs = 3] = process.argv.slice(2).map(Number)
const ROWS = 8000
const FEATURES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
const print = (line: string): void => void process.stdout.write(`${line}\n`)
const folder = mkdtempSync(join(tmpdir(), 'weft-bench-simulation-'))

function writeTable(): string {
  const seeded = createSeeded(1, 'rows')
  const rows = Array.from({ length: ROWS }, () => {
    const values = FEATURES.map(() => seeded.normal())
    const score = values.reduce((sum, value, at) => sum + (at % 2 === 0 ? value : -value), 0)
    return [...values.map((value) => value.toFixed(4)), score + seeded.normal() > 0 ? 1 : 0].join(',')
  })
  writeFileSync(join(folder, 'all.csv'), `${rows.join('\n')}\n`)
  const columns = [...FEATURES, 'y']
  const data = { schema: 'weft.fed-data/1', site: 'all', kind: 'csv', path: 'all.csv', header: false, columns }
  writeFileSync(join(folder, 'all.json'), JSON.stringify(data))
  return join(folder, 'all.json')
}

const plan = checkFedPlan(
  {
    schema: 'weft.fed-plan/1',
    name: 'bench',
    task: 'binary',
    target: { column: 'y', above: 0 },
    features: FEATURES.map((column) => ({ column })),
    split: { every: 5, test: 4 },
    model: { kind: 'linear' },
    init: 'zeros',
    rounds,
    local: { steps: 1, batch: 'full', optimizer: 'sgd', lr: 0.5 },
    strategy: { name: 'fedavg', weights: 'records', server_lr: 1 },
    secagg: { f: 16, bits: 32, c: 8 },
    privacy: 'off',
    minimum: { sites: 3, records: 1 },
    deadline: '20s',
  },
  'bench',
)

const path = writeTable()
const needs = { clock: systemClock(), engine: createOrtEngine() }

/** Seconds by the clock, and the loss of the last round. */
async function timed(threads: number): Promise<[seconds: number, loss: number | null]> {
  const began = performance.now()
  const out = join(folder, `out-${threads}`)
  const result = await simulateFederation(needs, { plan, data: [path], out, spec: { seed: 1, clients, threads } })
  return [(performance.now() - began) / 1000, result.rounds.at(-1)?.loss ?? null]
}

try {
  const cores = availableParallelism()
  print(`${cpus()[0]?.model}, ${cores} cores; ${clients} clients, ${rounds} rounds, ${ROWS} rows`)
  for (let pair = 0; pair < pairs; pair++) {
    const [one, lossOfOne] = await timed(1)
    const [all, lossOfAll] = await timed(cores)
    if (lossOfOne !== lossOfAll) throw new Error('threads changed the result')
    print(`1 thread ${one.toFixed(1)} s, ${cores} threads ${all.toFixed(1)} s: ${(one / all).toFixed(2)} times as fast`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
