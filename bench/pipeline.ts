/**
 * A convolutional net in micro-batches over several processes against one, with one thread each, in turns within one
 * run. Each is held against the time that its work alone takes: all stages once, and then the slowest stage for each
 * further micro-batch, or all work shared by the cores, whichever is longer.
 *
 *   node bench/pipeline.ts [MODEL.onnx] [--parts 1,2,3] [--units 32] [--rounds 5] [--json]
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { GraphBuilder } from '../src/onnx/index.ts'
import type { AnyTensor } from '../src/onnx/index.ts'
import { GraphPipeline } from '../src/pipeline/index.ts'
import type { Tensors } from '../src/pipeline/index.ts'
import { systemClock } from '../src/util/index.ts'

const TARGET = 0.85
const CHANNELS = 48
const SIDE = 64
const LAYERS = 9
const clock = systemClock()

/** Nine convolutions of 3 by 3 over 48 channels, ReLU behind each; 340 million products a row, 0.8 MB between two. */
function net(): Uint8Array {
  const builder = new GraphBuilder()
  const weight = (name: string, inputs: number): string => {
    const values = Float32Array.from(
      { length: CHANNELS * inputs * 9 },
      (_, index) => Math.sin(index * 12.9898) / inputs,
    )
    return builder.constant(name, 'f32', [CHANNELS, inputs, 3, 3], values)
  }
  let x = builder.input('images', 'f32', ['batch', 3, SIDE, SIDE])
  for (let layer = 0; layer < LAYERS; layer++) {
    const wide = layer === 0 ? 3 : CHANNELS
    const sums = builder.node('Conv', [x, weight(`w${layer}`, wide)], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })
    const outputs = layer === LAYERS - 1 ? { outputs: ['features'] } : {}
    x = builder.node('Relu', [sums], {}, outputs)
  }
  builder.output(x, 'f32', ['batch', CHANNELS, SIDE, SIDE])
  return builder.finish('bench')
}

/** Rows of ones of all inputs, a row a micro-batch. */
function inputsOf({ prepared }: GraphPipeline, units: number): Tensors {
  return new Map(
    prepared.graph.inputs.map(({ name, type, shape }): [string, AnyTensor] => {
      if (type !== 'float32' || shape === null) throw new Error(`${name} is not a tensor of float32 with a shape`)
      const dims = shape.map((size, axis) => (axis === 0 ? units : Number(size)))
      const length = dims.reduce((product, size) => product * size, 1)
      return [name, { type, dims, data: Float32Array.from({ length }, (_, index) => (index % 255) / 255) }]
    }),
  )
}

interface Alone {
  /** Milliseconds of each stage. */
  readonly stages: readonly number[]
  /** What a micro-batch takes besides: to, between and from the processes. */
  readonly transport: number
}

let session = 1e6

/** A micro-batch through the stages with nothing else at work. */
async function alone({ prepared, hosts }: GraphPipeline, inputs: Tensors): Promise<Alone> {
  const values = new Map(inputs)
  const stages: number[] = []
  const started = clock.now()
  for (const [part, { inputs: reads, outputs }] of prepared.graph.parts.entries()) {
    const feeds = new Map(reads.map(({ name }) => [name, values.get(name)!]))
    const fetch = outputs.map(({ name }) => name)
    const result = await hosts[part]!.run({ session: session++, feeds, fetch, kept: [] })
    stages.push(result.runMs)
    for (const [name, tensor] of result.outputs) values.set(name, tensor)
  }
  return { stages, transport: clock.now() - started - sum(stages) }
}

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0)
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

interface Contender {
  readonly pipeline: GraphPipeline
  readonly alone: Alone[]
  /** Milliseconds of all micro-batches, a round each. */
  readonly walls: number[]
}

interface Row {
  readonly processes: number
  readonly wall: number
  readonly limit: number
  readonly ratio: number
  readonly stages: readonly number[]
  readonly transport: number
  readonly megabytes: number
  readonly speedup: number
}

/** Milliseconds a micro-batch. The median of the rounds counts. */
function rowOf({ pipeline, alone: singles, walls }: Contender, units: number, one: number, bytes: number): Row {
  const stages = pipeline.hosts.map((_, part) => median(singles.map((each) => each.stages[part]!)))
  const wall = median(walls)
  const filled = sum(stages) + (units - 1) * Math.max(...stages)
  const limit = Math.max(filled, (units * sum(stages)) / availableParallelism())
  return {
    processes: pipeline.hosts.length,
    wall: wall / units,
    limit: limit / units,
    ratio: limit / wall,
    stages,
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
      json: { type: 'boolean', default: false },
    },
  })
  const [units, rounds] = [Number(values.units), Number(values.rounds)]
  const folder = await mkdtemp(join(tmpdir(), 'weft-bench-pipeline-'))
  const contenders: Contender[] = []
  try {
    const path = positionals[0] ?? join(folder, 'net.onnx')
    if (positionals.length === 0) await writeFile(path, net())
    const needs = { clock, cache: join(folder, 'cache'), codeCache: join(folder, 'code') }
    for (const parts of values.parts.split(',').map(Number)) {
      const pipeline = await GraphPipeline.open(needs, { path, parts, threads: 1 })
      contenders.push({ pipeline, alone: [], walls: [] })
    }
    const bytes = await measure(contenders, units, rounds)
    const one = median(contenders[0]!.walls)
    const rows = contenders.map((each, index) => rowOf(each, units, one, bytes[index]!))
    report(positionals.length === 0 ? `${LAYERS} convolutions` : basename(path), units, rows, values.json)
  } finally {
    await Promise.all(contenders.map(({ pipeline }) => pipeline.close()))
    await rm(folder, { recursive: true })
  }
}

/** @returns bytes to and from the processes of each. The first round warms up, and proves the micro-batches. */
async function measure(contenders: readonly Contender[], units: number, rounds: number): Promise<readonly number[]> {
  const all = inputsOf(contenders[0]!.pipeline, units)
  const single = inputsOf(contenders[0]!.pipeline, 1)
  const bytes = contenders.map(() => 0)
  for (let round = 0; round <= rounds; round++) {
    for (const [index, contender] of contenders.entries()) {
      const singles: Alone[] = []
      for (let unit = 0; unit < 8; unit++) singles.push(await alone(contender.pipeline, single))
      const { stats } = await contender.pipeline.infer(all, { microBatch: 1 })
      if (round === 0) continue
      contender.alone.push(...singles)
      contender.walls.push(stats.run_ms)
      bytes[index] = stats.counters['boundary_bytes']!
    }
  }
  return bytes
}

function report(model: string, units: number, rows: readonly Row[], json: boolean): void {
  const out = (text: string): void => void process.stdout.write(`${text}\n`)
  const machine = `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`
  if (json) {
    out(JSON.stringify({ schema: 'weft.bench.pipeline/1', machine, unit: 'ms', model, units, target: TARGET, rows }))
    return
  }
  out(`${model}, ${units} micro-batches of one row, milliseconds a micro-batch, median of the rounds. ${machine}`)
  out('')
  out('| processes | time | limit by work | reached | against the first | stages alone | transport alone | MB |')
  out('|---|---|---|---|---|---|---|---|')
  for (const row of rows) {
    const stages = row.stages.map((ms) => ms.toFixed(1)).join(' + ')
    const figures = [row.wall.toFixed(1), row.limit.toFixed(1), row.ratio.toFixed(2), `${row.speedup.toFixed(2)}x`]
    out(
      `| ${row.processes} | ${figures.join(' | ')} | ${stages} | ${row.transport.toFixed(1)} | ${row.megabytes.toFixed(1)} |`,
    )
  }
  out('')
  const best = Math.max(...rows.filter(({ processes }) => processes > 1).map(({ ratio }) => ratio))
  out(`Best of several processes: ${best.toFixed(2)} of the limit; the target is ${TARGET}.`)
}

await main()
