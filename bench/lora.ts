/**
 * Steps of a low-rank adapter: one process on all threads, and two peers with half of the threads each, in turns. Tokens a second (medians),
 * their ratio, and the most memory that any training host held. `[MODEL.gguf]` (default: weft-tiny), `--length N`, `--accumulate N`
 * micro-batches a step, `--steps N`, `--rounds N`, `--threads N`, `--json`.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { LocalPeer } from '../src/peer/index.ts'
import { systemClock } from '../src/util/index.ts'
import { benchPeers } from './support/bench-peers.ts'
import { median } from './support/median.ts'

const TINY = fileURLToPath(new URL('../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    length: { type: 'string', default: '256' },
    accumulate: { type: 'string', default: '4' },
    steps: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '2' },
    threads: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
})
const [length, accumulate, steps, rounds, threads] = (
  ['length', 'accumulate', 'steps', 'rounds', 'threads'] as const
).map((name) => Number(values[name])) as [number, number, number, number, number]

const clock = systemClock()
const folder = await mkdtemp(join(tmpdir(), 'weft-bench-lora-'))
const { all: peers, start: peer } = benchPeers(folder)

/** Milliseconds of each step but the first. */
async function stepTimes(
  by: LocalPeer,
  out: string,
  stages: readonly { peer: string; from: number; to: number }[],
): Promise<number[]> {
  const times: number[] = []
  let last = 0
  const request = {
    plan: join(folder, 'plan.json'),
    out: join(folder, out),
    resume: false,
    lines: [stages],
    threads: 1,
  }
  await by.train(request, () => {
    const now = clock.now()
    if (last > 0) times.push(now - last)
    last = now
    noteMemory()
  })
  return times
}

let most = 0
/** Of the processes that train: VmHWM, bytes. */
function noteMemory(): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('adapters/host/main')) continue
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      if (!status.includes(`PPid:\t${process.pid}\n`)) continue
      most = Math.max(most, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024)
    } catch {
      // It has ended meanwhile.
    }
  }
}

try {
  const one = await peer('one', threads)
  const [a] = [await peer('a', threads / 2)]
  const b = await peer('b', threads / 2, a.status().peer.addresses)
  await one.importModel({ source: positionals[0] ?? TINY, name: 'base', measure: 'never' })
  await a.importModel({ source: positionals[0] ?? TINY, name: 'base', measure: 'never' })
  while (a.status().peers.every(({ state }) => state !== 'connected')) await clock.sleep(50)
  const { blocks } = await a.manifest('base')
  // A token each, in most vocabularies.
  const common = ['the', 'of', 'and', 'to', 'in', 'was', 'he', 'that', 'his', 'it']
  const words = Array.from(
    { length: (steps + 1) * accumulate * length + 1 },
    (_, at) => common[((at * 7919) % 9) ^ (at % 2)],
  )
  await writeFile(join(folder, 'text.txt'), words.join(' '))
  const plan = {
    schema: 'weft.train-plan/1',
    task: 'language',
    data: { kind: 'text', path: 'text.txt', length },
    split: { share: { test: 0 } },
    model: { kind: 'base', name: 'base' },
    adapter: { kind: 'lora', rank: 8, targets: ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] },
    optimizer: { kind: 'adamw', lr: 0.001 },
    epochs: 1,
    batch: 1,
    accumulate,
  }
  await writeFile(join(folder, 'plan.json'), JSON.stringify(plan))
  const middle = Math.ceil(blocks.length / 2)
  const whole = [{ peer: one.id, from: 0, to: blocks.length }]
  const halves = [
    { peer: a.id, from: 0, to: middle },
    { peer: b.id, from: middle, to: blocks.length },
  ]
  const times = { one: [] as number[], two: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    times.one.push(...(await stepTimes(one, `one-${round}`, whole)))
    times.two.push(...(await stepTimes(a, `two-${round}`, halves)))
  }
  const rate = (milliseconds: readonly number[]): number => (accumulate * length * 1000) / median(milliseconds)
  const result = {
    tokens_a_second: { one: rate(times.one), two: rate(times.two) },
    ratio: rate(times.two) / rate(times.one),
    most_memory: most,
    steps: times.one.length,
    machine: { cpu: cpus()[0]?.model, cores: cpus().length, load: loadavg()[0] },
  }
  const lines = [
    `| length ${length}, ${accumulate} micro-batches, ${threads} threads in all | |`,
    '| --- | --- |',
    `| one process, tokens/s | ${result.tokens_a_second.one.toFixed(1)} |`,
    `| two peers, tokens/s | ${result.tokens_a_second.two.toFixed(1)} |`,
    `| two / one | ${result.ratio.toFixed(2)} |`,
    `| most memory of a training host | ${(most / 1e6).toFixed(0)} MB |`,
    '',
    `${result.machine.cpu}, ${result.machine.cores} cores, load ${result.machine.load?.toFixed(1)}; medians of ${result.steps} steps`,
  ]
  process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : `${lines.join('\n')}\n`)
} finally {
  await Promise.all(peers.map((each) => each.stop({ drain: 0 })))
  await rm(folder, { recursive: true, force: true })
}
