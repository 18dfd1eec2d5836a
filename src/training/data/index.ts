/** The examples that a plan names, ready to be taken in batches. */
import { PART_NAMES } from '../../data/index.ts'
import type { SplitSpec } from '../../data/index.ts'
import { PlanFieldError } from '../errors.ts'
import type { DataSpec, TrainPlan } from '../plan/schema.ts'
import { loadArrays } from './arrays.ts'
import { forEachSource } from './memory.ts'
import type { FittedFeature } from './preprocess.ts'
import { loadTable } from './table.ts'
import { loadTexts } from './texts.ts'
import type { Examples, LoadNeeds } from './types.ts'

export { addPreprocessing, fitFeature, inputCount } from './preprocess.ts'
export type { FeatureForm, FittedFeature } from './preprocess.ts'
export { FIELD } from './types.ts'
export type { Examples, LoadNeeds, Part } from './types.ts'
export { loadWindows } from './texts.ts'
export type { TextReader } from './texts.ts'
export { readFitted } from './fitted.ts'
export { forEachSource, memoryOf, ROWS_SHARE, rowsMemory } from './memory.ts'
export { absoluteData, otherFiles } from './paths.ts'

const ALL_TRAIN: SplitSpec = { share: { test: 0 } }
const ALL_TEST: SplitSpec = { share: { test: 1 } }

/** @throws the errors of the files, PlanFieldError, NoRowsError */
export function loadExamples(plan: TrainPlan, needs: LoadNeeds, signal?: AbortSignal): Promise<Examples> {
  const each = forEachSource(plan, needs)
  return loadParts(plan, needs.planPath, (spec, split, main) => load(plan, spec, each, split, main?.features, signal))
}

/**
 * The data of a plan in its parts, and its test data where they are of their own.
 * @param load `main`: what test data are read like
 * @throws PlanFieldError for a split that makes no sense, and what `load` throws
 */
export async function loadParts(
  plan: TrainPlan,
  planPath: string,
  load: (spec: DataSpec, split: SplitSpec, main: Examples | undefined) => Promise<Examples>,
): Promise<Examples> {
  checkSplit(plan, planPath)
  const main = await load(plan.data, plan.split ?? ALL_TRAIN, undefined)
  if (plan.test === undefined) return main
  const test = await load(plan.test, ALL_TEST, main).catch(async (error: unknown) => {
    await main.close()
    throw error
  })
  return {
    ...main,
    parts: { ...main.parts, test: test.parts.test },
    files: [...main.files, ...test.files],
    unpacked: (main.unpacked ?? 0) + (test.unpacked ?? 0),
    close: async () => {
      await main.close()
      await test.close()
    },
  }
}

/** All rows of a source, for a model that is trained: they stand in the part for testing. */
export function loadForTest(
  plan: TrainPlan,
  spec: DataSpec,
  needs: LoadNeeds,
  features: readonly FittedFeature[] | undefined,
  signal?: AbortSignal,
): Promise<Examples> {
  return load(plan, spec, needs, ALL_TEST, features, signal)
}

function load(
  plan: TrainPlan,
  spec: DataSpec,
  needs: LoadNeeds,
  split: SplitSpec,
  fitted: readonly FittedFeature[] | undefined,
  signal?: AbortSignal,
): Promise<Examples> {
  if (spec.kind === 'csv') return loadTable(plan, spec, needs, split, fitted, signal)
  if (spec.kind === 'text') return loadTexts(plan, spec, needs, split, signal)
  return loadArrays(plan, spec, needs, split, signal)
}

function checkSplit({ split, test }: TrainPlan, planPath: string): void {
  if (split === undefined) return
  const wrong = (why: string): PlanFieldError => new PlanFieldError(planPath, 'split', why)
  if ('every' in split) {
    for (const name of PART_NAMES) {
      const at = name === 'train' ? undefined : split[name]
      if (at !== undefined && at >= split.every) throw wrong(`${name} is ${at}, and ${split.every - 1} is the most`)
    }
    if (split.validation === split.test) throw wrong('validation and test are the same rows')
  }
  if ('share' in split && split.share.test + (split.share.validation ?? 0) >= 1) throw wrong('nothing is left to train')
  if (test !== undefined && 'share' in split && split.share.test > 0) throw wrong('there is a "test" of its own')
}
