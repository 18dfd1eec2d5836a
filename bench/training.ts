/**
 * A training step (forward, backward, AdamW) of an MLP, a CNN and a decoder block: milliseconds, medians. With `--python FILE`, a Python
 * that has torch, the same steps by torch on as many threads, in turns with ours. `--threads N`, `--rounds N`, `--json`.
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

const { values } = parseArgs({
  options: {
    python: { type: 'string' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '30' },
    optimization: { type: 'string', default: 'basic' },
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

async function measured(name: keyof typeof MODELS, folder: string): Promise<number> {
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
  const taken: number[] = []
  for (let step = 0; step < rounds + 3; step++) {
    const start = performance.now()
    await stepper.step([{ feeds: { x, target }, rows: x.dims[0]! }], { step, rate: 0.001 })
    taken.push(performance.now() - start)
  }
  await stepper.close()
  return median(taken.slice(3))
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0
}

function ofTorch(python: string): Record<string, number> {
  const program = fileURLToPath(new URL('support/torch-steps.py', import.meta.url))
  const { stdout, stderr } = spawnSync(python, [program, String(threads), String(rounds)], { encoding: 'utf8' })
  if (stdout === '') throw new Error(stderr.slice(-500))
  return JSON.parse(stdout) as Record<string, number>
}

const TURNS = 3
const folder = await mkdtemp(join(tmpdir(), 'weft-bench-'))
const ours: Record<string, number[]> = {}
const theirs: Record<string, number[]> = {}
try {
  for (let turn = 0; turn < TURNS; turn++) {
    for (const name of Object.keys(MODELS) as (keyof typeof MODELS)[])
      (ours[name] ??= []).push(await measured(name, folder))
    for (const [name, time] of Object.entries(values.python === undefined ? {} : ofTorch(values.python)))
      (theirs[name] ??= []).push(time)
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}
const results = Object.entries(ours).map(([model, times]) => {
  const [weft, torch] = [median(times), theirs[model] === undefined ? null : median(theirs[model])]
  return { model, weft_ms: weft, torch_ms: torch, ratio: torch === null ? null : weft / torch }
})
const machine = { processor: cpus()[0]?.model ?? 'unknown', threads, load: loadavg()[0] }
if (values.json) process.stdout.write(`${JSON.stringify({ schema: 'weft.bench-training/1', machine, results })}\n`)
else {
  const shown = (value: number | null): string => (value === null ? '-' : value.toFixed(2))
  process.stdout.write(`${machine.processor}, ${threads} threads, load ${machine.load?.toFixed(1)}\n\n`)
  process.stdout.write('| a step of | weft, ms | torch, ms | ratio |\n| --- | --- | --- | --- |\n')
  for (const { model, weft_ms: weft, torch_ms: torch, ratio } of results) {
    process.stdout.write(`| ${model} | ${shown(weft)} | ${shown(torch)} | ${shown(ratio)} |\n`)
  }
}
