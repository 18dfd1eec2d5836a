/**
 * A training step (forward, backward, AdamW) of an MLP, a CNN and a decoder block: milliseconds, medians. With `--python FILE`, a Python
 * that has torch, the same steps by torch on as many threads, in turns with ours. `--threads N`, `--rounds N`, `--turns N`, `--json`.
 * Beside the time on the clock stands that of the processor, all threads together: on a machine that does other things too, only that tells.
 */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { arrayRows, createSeeded } from '../src/data/index.ts'
import { createOrtEngine } from '../src/onnx/index.ts'
import type { Optimization, Tensor } from '../src/onnx/index.ts'
import { buildForward } from '../src/training/graph/forward.ts'
import { createStepper } from '../src/training/loop/stepper.ts'
import { checkPlan } from '../src/training/plan/read-plan.ts'
import { medians } from './support/median.ts'

const { values } = parseArgs({
  options: {
    python: { type: 'string' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '30' },
    optimization: { type: 'string', default: 'basic' },
    turns: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})
const [threads, rounds] = [Number(values.threads), Number(values.rounds)]
const seeded = createSeeded(1, 'bench')

const floats = (...dims: readonly number[]): Tensor => {
  const count = dims.reduce((product, size) => product * size, 1)
  return { type: 'float32', dims, data: Float32Array.from({ length: count }, () => seeded.normal()) }
}
const classes = (below: number, ...dims: readonly number[]): Tensor => {
  const count = dims.reduce((product, size) => product * size, 1)
  return { type: 'int64', dims, data: BigInt64Array.from({ length: count }, () => BigInt(seeded.below(below))) }
}

const MODELS = {
  mlp: { model: { kind: 'mlp', hidden: [512, 512] }, x: floats(128, 784), target: classes(10, 128), outputs: 10 },
  cnn: { model: { kind: 'cnn' }, x: floats(64, 1, 28, 28), target: classes(10, 64), outputs: 10 },
  decoder: {
    model: { kind: 'decoder', layers: 1, width: 256, heads: 8, hidden: 704 },
    x: classes(256, 8, 128),
    target: classes(256, 8, 128),
    outputs: 256,
  },
} as const

/** Milliseconds of a step: on the clock, of the processor. */
interface Times {
  readonly clock: number
  readonly processor: number
}

async function measured(name: keyof typeof MODELS, folder: string): Promise<Times> {
  const { model, x, target, outputs } = MODELS[name]
  const plan = checkPlan(
    {
      schema: 'weft.train-plan/1',
      task: name === 'decoder' ? 'language' : 'multiclass',
      classes: outputs,
      data: { kind: 'npz', path: 'none', input: 'x', target: 'y' },
      model,
      optimizer: { kind: 'adamw', lr: 0.001, weight_decay: 0.01 },
      epochs: 1,
      batch: 'full',
    },
    'bench',
  )
  const rows = arrayRows({ x, target })
  const part = { rows, index: new Uint32Array() }
  const parts = { train: part, validation: part, test: part }
  const close = (): Promise<void> => rows.close()
  const examples = { parts, input: rows.fields[0]!, outputs, length: x.dims[1]!, files: [], close }
  const options = { threads, optimization: values.optimization as Optimization }
  const stepper = await createStepper(
    { engine: createOrtEngine(), folder, options },
    plan,
    buildForward(plan, examples, 1, true),
  )
  const taken: Times[] = []
  for (let step = 0; step < rounds + 3; step++) {
    const [start, used] = [performance.now(), process.cpuUsage()]
    await stepper.step([{ feeds: { x, target }, rows: x.dims[0]! }], { step, rate: 0.001 })
    const { user, system } = process.cpuUsage(used)
    taken.push({ clock: performance.now() - start, processor: (user + system) / 1000 })
  }
  await stepper.close()
  return medians(taken.slice(3))
}

function ofTorch(python: string): Record<string, Times> {
  const program = fileURLToPath(new URL('support/torch-steps.py', import.meta.url))
  const { stdout, stderr } = spawnSync(python, [program, String(threads), String(rounds)], { encoding: 'utf8' })
  if (stdout === '') throw new Error(stderr.slice(-500))
  const columns = JSON.parse(stdout) as Record<string, [number, number]>
  return Object.fromEntries(Object.entries(columns).map(([name, [clock, processor]]) => [name, { clock, processor }]))
}

const folder = await mkdtemp(join(tmpdir(), 'weft-bench-'))
const ours: Record<string, Times[]> = {}
const theirs: Record<string, Times[]> = {}
try {
  for (let turn = 0; turn < Number(values.turns); turn++) {
    for (const name of Object.keys(MODELS) as (keyof typeof MODELS)[])
      (ours[name] ??= []).push(await measured(name, folder))
    for (const [name, time] of Object.entries(values.python === undefined ? {} : ofTorch(values.python)))
      (theirs[name] ??= []).push(time)
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}
const results = Object.entries(ours).map(([model, times]) => {
  const weft = medians(times)
  const torch = theirs[model] === undefined ? undefined : medians(theirs[model])
  return {
    model,
    weft_ms: weft.clock,
    weft_processor_ms: weft.processor,
    torch_ms: torch?.clock ?? null,
    torch_processor_ms: torch?.processor ?? null,
    ratio: torch === undefined ? null : weft.clock / torch.clock,
    processor_ratio: torch === undefined ? null : weft.processor / torch.processor,
  }
})
const machine = { processor: cpus()[0]?.model ?? 'unknown', threads, load: loadavg()[0] }
if (values.json) process.stdout.write(`${JSON.stringify({ schema: 'weft.bench-training/1', machine, results })}\n`)
else {
  const shown = (value: number | null): string => (value === null ? '-' : value.toFixed(2))
  process.stdout.write(`${machine.processor}, ${threads} threads, load ${machine.load?.toFixed(1)}\n\n`)
  process.stdout.write(
    '| a step of | weft, ms | torch, ms | ratio | of the processor: weft, ms | torch, ms | ratio |\n',
  )
  process.stdout.write('| --- | --- | --- | --- | --- | --- | --- |\n')
  for (const one of results) {
    const clock = [one.weft_ms, one.torch_ms, one.ratio]
    const processor = [one.weft_processor_ms, one.torch_processor_ms, one.processor_ratio]
    process.stdout.write(`| ${[one.model, ...[...clock, ...processor].map(shown)].join(' | ')} |\n`)
  }
}
