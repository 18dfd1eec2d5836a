/**
 * A convolutional net over several processes against one, with one thread each, in turns within one run: micro-batches,
 * or frames. Each is held against what its work alone takes. The work of a stage is the processor time of the engine for
 * one unit, run alone; the limit is all stages once and then the slowest one for each further unit, or all work shared by
 * the cores, which fill and empty one after the other, whichever is longer. `reached` holds the time that passed against it, which other load on the machine makes
 * worse; `of processor time` holds what all processes together spent against it: what is reached where nothing else runs
 * and nobody waits. Cores that share caches, memory or units are slower when all are busy, so stages are also run beside
 * each other, each on inputs of its own: what `of the busy limit` lacks is waiting and transport.
 *
 *   node bench/pipeline.ts [MODEL.onnx] [--parts 1,2,3] [--units 32] [--rounds 5] [--frames] [--sockets] [--json]
 *
 * `--sockets` adds each number of parts again without shared memory.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { GraphPipeline } from '../src/pipeline/index.ts'
import { systemClock } from '../src/util/index.ts'
import { convolutions, FRAMES, inputsOf } from './support/convolutions.ts'
import { median } from './support/median.ts'
import { spentBy } from './support/processor-time.ts'
import type { Tensors } from '../src/pipeline/index.ts'

type GraphResult = Awaited<ReturnType<GraphPipeline['hosts'][number]['run']>>

const TARGET = 0.85
const BESIDE_RUNS = 4
const clock = systemClock()

interface Alone {
  /** Processor time of each stage's engine, milliseconds. */
  readonly stages: readonly number[]
  /** The same while the others compute too. */
  readonly beside: readonly number[]
  /** What a unit takes besides: to, between and from the processes. */
  readonly transport: number
}

let session = 1e6

/** A unit through the stages with nothing else at work. */
async function alone({ prepared, hosts }: GraphPipeline, inputs: Tensors): Promise<Alone> {
  const values = new Map(inputs)
  const stages: number[] = []
  const again: (() => Promise<readonly number[]>)[] = []
  let computed = 0
  const started = clock.now()
  for (const [part, { inputs: reads, outputs }] of prepared.graph.parts.entries()) {
    const feeds = new Map(reads.map(({ name }) => [name, values.get(name)!]))
    const fetch = outputs.map(({ name }) => name)
    const run = (): Promise<GraphResult> => hosts[part]!.run({ session: session++, feeds, fetch, kept: [] })
    again.push(() => repeated(run))
    const result = await run()
    stages.push(result.cpuMs)
    computed += result.runMs
    for (const [name, tensor] of result.outputs) values.set(name, tensor)
  }
  const transport = clock.now() - started - computed
  const beside = again.length === 1 ? stages : (await Promise.all(again.map((all) => all()))).map(median)
  return { stages, beside, transport }
}

/** Processor times of some runs: enough that the others compute all the while, as nearly as lengths allow. */
async function repeated(run: () => Promise<GraphResult>): Promise<readonly number[]> {
  const times: number[] = []
  while (times.length < BESIDE_RUNS) times.push((await run()).cpuMs)
  return times
}

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0)
/** All units once: milliseconds that passed, and of processor time. */
interface Round {
  readonly wall: number
  readonly hosts: readonly number[]
  readonly origin: number
  readonly counters: Readonly<Record<string, number>>
}

interface Contender {
  readonly pipeline: GraphPipeline
  readonly carrier: 'memory' | 'sockets'
  readonly alone: Alone[]
  readonly rounds: Round[]
}

interface Row {
  readonly processes: number
  readonly carrier: string
  readonly wall: number
  readonly limit: number
  readonly ratio: number
  readonly busyRatio: number
  /** Of the limit by what stages take beside each other. */
  readonly besideRatio: number
  readonly stages: readonly number[]
  readonly spent: number
  readonly origin: number
  readonly transport: number
  readonly megabytes: number
  readonly speedup: number
}

/**
 * The time that so much work takes on this machine, for `units` units. A stage begins when the first unit has come through
 * those before it, and ends before the last one goes through those behind it: so long its core has nothing to do, even where
 * there are fewer cores than stages.
 */
function limitOf(stages: readonly number[], units: number): number {
  const filled = sum(stages) + (units - 1) * Math.max(...stages)
  const cores = Math.min(availableParallelism(), stages.length)
  const idle = Array.from({ length: cores - 1 }, (_, at) => sum(stages.slice(0, at + 1)) + sum(stages.slice(-at - 1)))
  return Math.max(filled, (units * sum(stages) + sum(idle)) / cores)
}

/** Milliseconds a unit. The median of the rounds counts. */
function rowOf({ pipeline, carrier, alone: singles, rounds }: Contender, units: number, one: number): Row {
  const stages = pipeline.hosts.map((_, part) => median(singles.map((each) => each.stages[part]!)))
  const wall = median(rounds.map((round) => round.wall))
  const hosts = pipeline.hosts.map((_, part) => median(rounds.map((round) => round.hosts[part]!)) / units)
  const origin = median(rounds.map((round) => round.origin)) / units
  const limit = limitOf(stages, units)
  const beside = pipeline.hosts.map((_, part) => median(singles.map((each) => each.beside[part]!)))
  const bytes = rounds[0]!.counters['boundary_bytes']!
  return {
    processes: pipeline.hosts.length,
    carrier,
    wall: wall / units,
    limit: limit / units,
    ratio: limit / wall,
    besideRatio: limitOf(beside, units) / wall,
    busyRatio: limit / Math.max(limitOf(hosts, units), (units * sum([...hosts, origin])) / availableParallelism()),
    stages,
    spent: sum([...hosts, origin]),
    origin,
    transport: median(singles.map(({ transport }) => transport)),
    megabytes: bytes / units / 1e6,
    speedup: one / wall,
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      parts: { type: 'string', default: '1,2,3' },
      units: { type: 'string', default: '32' },
      rounds: { type: 'string', default: '5' },
      frames: { type: 'boolean', default: false },
      sockets: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const folder = await mkdtemp(join(tmpdir(), 'weft-bench-pipeline-'))
  const contenders: Contender[] = []
  try {
    const path = positionals[0] ?? join(folder, 'net.onnx')
    if (positionals.length === 0) await writeFile(path, convolutions())
    const needs = { clock, cache: join(folder, 'cache'), codeCache: join(folder, 'code') }
    for (const parts of values.parts.split(',').map(Number)) {
      for (const carrier of values.sockets ? (['memory', 'sockets'] as const) : (['memory'] as const)) {
        const shared = carrier === 'memory' ? {} : { sharedFolder: null }
        const pipeline = await GraphPipeline.open({ ...needs, ...shared }, { path, parts, threads: 1 })
        contenders.push({ pipeline, carrier, alone: [], rounds: [] })
      }
    }
    const units = Number(values.units)
    await measure(contenders, units, Number(values.rounds), values.frames)
    const one = median(contenders[0]!.rounds.map(({ wall }) => wall))
    const model = positionals.length === 0 ? 'made-up convolutions' : basename(path)
    report(
      `${model}, ${units} ${values.frames ? 'frames' : 'micro-batches of one row'}`,
      contenders.map((each) => rowOf(each, units, one)),
      values.json,
    )
  } finally {
    await Promise.all(contenders.map(({ pipeline }) => pipeline.close()))
    await rm(folder, { recursive: true })
  }
}

/** The first round warms up, and proves the micro-batches. */
async function measure(
  contenders: readonly Contender[],
  units: number,
  rounds: number,
  frames: boolean,
): Promise<void> {
  const request = frames ? { frames: FRAMES } : { microBatch: 1 }
  for (let round = 0; round <= rounds; round++) {
    for (const { pipeline, alone: singles, rounds: done } of contenders) {
      const all = inputsOf(pipeline, units, frames)
      const single = inputsOf(pipeline, 1, false)
      const results: Alone[] = []
      for (let unit = 0; unit < 8; unit++) results.push(await alone(pipeline, single))
      const pids = pipeline.hosts.map(({ pid }) => pid)
      const [before, own] = [pids.map(spentBy), process.cpuUsage()]
      const { stats } = await pipeline.infer(all, request)
      const { user, system } = process.cpuUsage(own)
      const hosts = pids.map((pid, part) => spentBy(pid) - before[part]!)
      if (round === 0) continue
      singles.push(...results)
      done.push({ wall: stats.run_ms, hosts, origin: (user + system) / 1000, counters: stats.counters })
    }
  }
}

function report(what: string, rows: readonly Row[], json: boolean): void {
  const out = (text: string): void => void process.stdout.write(`${text}\n`)
  const machine = `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`
  if (json) {
    out(JSON.stringify({ schema: 'weft.bench.pipeline/3', machine, unit: 'ms', what, target: TARGET, rows }))
    return
  }
  out(`${what}, milliseconds a unit, median of the rounds. ${machine}`)
  out('')
  const heads = [
    'processes',
    'by',
    'time',
    'limit by work',
    'reached',
    'of the busy limit',
    'of processor time',
    'against the first',
  ]
  out(`| ${[...heads, 'stages', 'processor', 'of these here', 'transport alone', 'MB'].join(' | ')} |`)
  out(`|${'---|'.repeat(heads.length + 5)}`)
  for (const row of rows) {
    const stages = row.stages.map((ms) => ms.toFixed(1)).join(' + ')
    const reached = [row.ratio, row.besideRatio, row.busyRatio].map((ratio) => ratio.toFixed(2))
    const ratios = [...reached, `${row.speedup.toFixed(2)}x`, stages]
    const rest = [row.spent, row.origin, row.transport, row.megabytes].map((value) => value.toFixed(1))
    const cells = [row.processes, row.carrier, row.wall.toFixed(1), row.limit.toFixed(1), ...ratios, ...rest]
    out(`| ${cells.join(' | ')} |`)
  }
  out('')
  const several = rows.filter(({ processes, carrier }) => processes > 1 && carrier === 'memory')
  if (several.length === 0) return
  const best = (ratio: (row: Row) => number): string => Math.max(...several.map(ratio)).toFixed(2)
  out(
    `Best of several processes: ${best(({ ratio }) => ratio)} of the limit, ${best(({ besideRatio }) => besideRatio)} of that of busy cores, ${best(({ busyRatio }) => busyRatio)} by processor time; the target is ${TARGET}.`,
  )
}

await main()
