/** Runs of training in this process, over files that are made here. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSeeded } from '../../../src/data/index.ts'
import { createOrtEngine, writeModel } from '../../../src/onnx/index.ts'
import type { Engine, Model, Tensor } from '../../../src/onnx/index.ts'
import { trainPlan } from '../../../src/training/index.ts'
import type { TrainOutcome, TrainRequest } from '../../../src/training/index.ts'
import { systemClock } from '../../../src/util/index.ts'

export const engine: Engine = createOrtEngine()

export interface Folder extends AsyncDisposable {
  readonly path: string
  at(name: string): string
}

export async function temporaryFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'weft-train-test-'))
  return {
    path,
    at: (name) => join(path, name),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}

/** Two clouds of points with a third column that is sometimes missing: `a,b,c,label`. */
export function cloudsCsv(rows: number): string {
  const seeded = createSeeded(5, 'clouds')
  const lines = Array.from({ length: rows }, () => {
    const label = seeded.below(2)
    const [a, b] = [seeded.normal() + 3 * label, 10 + 5 * (seeded.normal() - 2 * label)]
    const c = seeded.below(4) === 0 ? '?' : ['red', 'green'][seeded.below(2)]
    return `${a.toFixed(4)},${b.toFixed(4)},${c},${label}`
  })
  return `a,b,c,label\n${lines.join('\n')}\n`
}

export const CLOUDS = {
  schema: 'weft.train-plan/1',
  name: 'clouds',
  task: 'binary',
  data: { kind: 'csv', path: 'clouds.csv', missing: ['?'] },
  target: { column: 'label' },
  features: [{ column: 'a' }, { column: 'b' }, { column: 'c', values: ['red', 'green'] }],
  split: { every: 5, test: 4, validation: 3 },
  model: { kind: 'mlp', hidden: [8], activation: 'tanh' },
  optimizer: { kind: 'adamw', lr: 0.02, weight_decay: 0.01, clip_norm: 1 },
  epochs: 4,
  batch: 16,
} as const

export async function writeClouds(folder: Folder, changes: Readonly<Record<string, unknown>> = {}): Promise<string> {
  await writeFile(folder.at('clouds.csv'), cloudsCsv(160))
  return writePlan(folder, { ...CLOUDS, ...changes })
}

export async function writePlan(folder: Folder, plan: unknown): Promise<string> {
  await writeFile(folder.at('plan.json'), JSON.stringify(plan))
  return folder.at('plan.json')
}

type Options = Partial<Omit<TrainRequest, 'plan'>> & {
  readonly signal?: AbortSignal
  /** Told how many steps are done, before the next one. */
  readonly onStep?: (done: number) => void
}

export function train(folder: Folder, plan: string, options: Options = {}): Promise<TrainOutcome> {
  const { signal, onStep, ...request } = options
  const needs = { clock: systemClock(), engine }
  const all = { plan, out: folder.at('run'), resume: false, threads: 1, ...request }
  return trainPlan(needs, all, ({ done }) => onStep?.(done), signal)
}

/** The outputs of a model for these inputs. */
export async function run(
  model: Model,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<Readonly<Record<string, Tensor>>> {
  await using folder = await temporaryFolder()
  await writeModel(model, folder.at('model.onnx'))
  const graph = await engine.load(folder.at('model.onnx'), { threads: 1 })
  const results = await graph.run(
    feeds,
    model.graph.outputs.map(({ name }) => name),
  )
  await graph.release()
  return results
}

export function floats(dims: readonly number[], values: readonly number[]): Tensor {
  return { type: 'float32', dims, data: Float32Array.from(values) }
}

export function ints(dims: readonly number[], values: readonly number[]): Tensor {
  return { type: 'int64', dims, data: BigInt64Array.from(values, BigInt) }
}
