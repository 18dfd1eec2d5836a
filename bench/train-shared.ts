/**
 * Steps of a small CNN that peers share: one process on all threads, one peer, and two peers with half of the threads each, in
 * turns. Rows a second (medians), and bytes of gradients a step, exact and rounded. `--rows N` of a batch, `--accumulate N` batches a
 * step, `--shares N`, `--steps N`, `--rounds N`, `--threads N`, `--json`.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createSeeded, writeNpz } from '../src/data/index.ts'
import type { AnyTensor } from '../src/onnx/index.ts'
import type { LocalPeer } from '../src/peer/index.ts'
import { systemClock } from '../src/util/index.ts'
import { benchPeers } from './support/bench-peers.ts'
import { median } from './support/median.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '32' },
    accumulate: { type: 'string', default: '8' },
    shares: { type: 'string', default: '2' },
    steps: { type: 'string', default: '6' },
    rounds: { type: 'string', default: '2' },
    threads: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
})
const [rows, accumulate, shares, steps, rounds, threads] = (
  ['rows', 'accumulate', 'shares', 'steps', 'rounds', 'threads'] as const
).map((name) => Number(values[name])) as [number, number, number, number, number, number]

const clock = systemClock()
const folder = await mkdtemp(join(tmpdir(), 'weft-bench-shared-'))
const { all: peers, start: peer } = benchPeers(folder)

const SIZE = 28

async function writeInputs(): Promise<void> {
  const count = rows * accumulate * steps
  const seeded = createSeeded(1, 'shared')
  const arrays = new Map<string, AnyTensor>([
    [
      'x',
      {
        type: 'float32',
        dims: [count, 1, SIZE, SIZE],
        data: Float32Array.from({ length: count * SIZE * SIZE }, () => seeded.uniform()),
      },
    ],
    [
      'y',
      { type: 'int64', dims: [count], data: BigInt64Array.from({ length: count }, () => BigInt(seeded.below(10))) },
    ],
  ])
  await writeNpz(join(folder, 'data.npz'), arrays)
  const plan = {
    schema: 'weft.train-plan/1',
    task: 'multiclass',
    classes: 10,
    data: { kind: 'npz', path: 'data.npz', input: 'x', target: 'y' },
    split: { share: { test: 0 } },
    model: { kind: 'cnn' },
    optimizer: { kind: 'adamw', lr: 0.001 },
    epochs: 1,
    batch: rows,
    accumulate,
    shares,
  }
  await writeFile(join(folder, 'plan.json'), JSON.stringify(plan))
  await writeFile(join(folder, 'int8.json'), JSON.stringify({ ...plan, gradients: 'int8' }))
}

interface Outcome {
  /** Milliseconds of each step but the first. */
  readonly times: readonly number[]
  readonly bytes: number
}

async function run(by: LocalPeer, plan: string, out: string, named?: readonly string[]): Promise<Outcome> {
  const times: number[] = []
  let last = 0
  const request = { plan: join(folder, plan), out: join(folder, out), resume: false, threads, peers: named }
  const { counters } = await by.train(request, () => {
    const now = clock.now()
    if (last > 0) times.push(now - last)
    last = now
  })
  return { times, bytes: (counters['gradient_bytes'] ?? 0) / steps }
}

try {
  await writeInputs()
  const origin = await peer('origin', threads)
  const known = origin.status().peer.addresses
  const [whole, a, b] = [
    await peer('whole', threads, known),
    await peer('a', threads / 2, known),
    await peer('b', threads / 2, known),
  ]
  while (origin.status().peers.filter(({ state }) => state === 'connected').length < 3) await clock.sleep(50)
  const cases = [
    ['one process', 'plan.json', undefined],
    ['one peer', 'plan.json', [whole.id]],
    ['two peers', 'plan.json', [a.id, b.id]],
    ['two peers, int8', 'int8.json', [a.id, b.id]],
  ] as const
  const found = cases.map(([name]) => ({ name, times: [] as number[], bytes: 0 }))
  for (let round = 0; round < rounds; round++) {
    for (const [at, [, plan, named]] of cases.entries()) {
      const { times, bytes } = await run(origin, plan, `run-${round}-${at}`, named)
      found[at]!.times.push(...times)
      found[at]!.bytes = bytes
    }
  }
  const table = found.map(({ name, times, bytes }) => ({
    name,
    rows_a_second: (rows * accumulate * 1000) / median(times),
    gradient_bytes_a_step: bytes,
  }))
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, load: loadavg()[0] }
  const lines = [
    `| CNN of ${SIZE} x ${SIZE}, ${accumulate} batches of ${rows}, ${shares} shares, ${threads} threads in all | rows/s | gradients, bytes a step |`,
    '| --- | --- | --- |',
    ...table.map(
      (line) => `| ${line.name} | ${line.rows_a_second.toFixed(0)} | ${line.gradient_bytes_a_step.toFixed(0)} |`,
    ),
    '',
    `${machine.cpu}, ${machine.cores} cores, load ${machine.load?.toFixed(1)}; medians of ${found[0]!.times.length} steps`,
  ]
  process.stdout.write(values.json ? `${JSON.stringify({ table, machine })}\n` : `${lines.join('\n')}\n`)
} finally {
  await Promise.all(peers.map((each) => each.stop({ drain: 0 })))
  await rm(folder, { recursive: true, force: true })
}
