/** What a run ends with: its curve, and what came of it. */
import type { Metrics } from '../metrics/index.ts'
import type { Examples } from '../data/index.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { curveSvg } from './curve.ts'
import { curvePng } from './curve-png.ts'
import { RUN_FILES } from './folder.ts'
import type { RunFolder } from './folder.ts'
import type { Run } from './run.ts'
import type { TrainResult } from './types.ts'

/** Undefined: the part has no examples. */
export interface PartMetrics {
  readonly train: Metrics | undefined
  readonly validation: Metrics | undefined
  readonly test: Metrics | undefined
}

export async function metricsOfParts(loop: Run, signal?: AbortSignal): Promise<PartMetrics> {
  return {
    train: await loop.evaluated('train', signal),
    validation: await loop.evaluated('validation', signal),
    test: await loop.evaluated('test', signal),
  }
}

export interface RunFacts {
  readonly plan: TrainPlan
  readonly name: string
  readonly seed: number
  readonly folder: RunFolder
  readonly examples: Examples
  /** Numbers that were trained. */
  readonly parameters: number
  /** What was written into the folder before. */
  readonly files: readonly string[]
}

/** The result last: who finds it finds all. */
export async function writeResult(facts: RunFacts, loop: Run, metrics: PartMetrics): Promise<TrainResult> {
  const { plan, name, seed, folder, parameters, files } = facts
  const { curve, step, epoch, stopped, best } = loop.progress
  const { train, validation, test } = facts.examples.parts
  await folder.write(RUN_FILES.curve, `${JSON.stringify({ schema: 'weft.curve/1', name, points: curve }, null, 2)}\n`)
  await folder.write(RUN_FILES.drawing, curveSvg(name, curve))
  await folder.write(RUN_FILES.picture, curvePng(curve))
  const result: TrainResult = {
    schema: 'weft.train-result/1',
    name,
    task: plan.task,
    seed,
    parameters,
    examples: { train: train.index.length, validation: validation.index.length, test: test.index.length },
    rows: sizeOf(facts.examples),
    steps: step,
    epochs: epoch,
    stopped,
    best_epoch: best?.epoch ?? epoch,
    metrics: {
      train: metrics.train ?? {},
      ...(metrics.validation === undefined ? {} : { validation: metrics.validation }),
      ...(metrics.test === undefined ? {} : { test: metrics.test }),
    },
    files: [...files, RUN_FILES.curve, RUN_FILES.drawing, RUN_FILES.picture],
  }
  await folder.write(RUN_FILES.result, `${JSON.stringify(result, null, 2)}\n`)
  return result
}

/** Of all parts, whose rows may lie in two places: those for testing may be of their own. */
function sizeOf({ parts, unpacked = 0 }: Examples): TrainResult['rows'] {
  const places = new Set(Object.values(parts).map(({ rows }) => rows))
  const sizes = [...places].map(({ size }) => size)
  const sum = (of: 'bytes' | 'spilled'): number => sizes.reduce((all, size) => all + size[of], 0)
  return { bytes: sum('bytes'), spilled: sum('spilled'), unpacked }
}
