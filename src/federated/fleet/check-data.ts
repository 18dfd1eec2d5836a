/** A site's data under a plan, looked at before anything is promised. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { AnalysisPlan } from '../plan/analysis-schema.ts'
import type { Words } from '../privacy/words.ts'
import { FIRST_STATE } from '../rounds/state.ts'
import { readFedData } from '../plan/read-plan.ts'
import { AnalysisMath } from '../analysis/math.ts'
import { AnalysisSite } from '../analysis/site.ts'
import { isAnalysis } from '../plan/job-plan.ts'
import type { JobPlan } from '../plan/job-plan.ts'
import { minimumOf } from '../plan/train-plan.ts'
import { vectorLayout } from '../rounds/layout.ts'
import { checkSize, roundBytes } from '../rounds/sizes.ts'
import { packedBytes } from '../secagg/packing.ts'
import { sharedShapes } from '../site/parameters.ts'
import type { ParameterShape } from '../site/parameters.ts'
import { FedPlanError } from '../plan/errors.ts'
import type { FedPlan } from '../plan/schema.ts'
import type { TrainerNeeds } from '../site/local-trainer.ts'
import { openTrainer } from '../site/open-trainer.ts'
import type { ColumnMoments } from '../site/statistics.ts'

export interface CheckedData {
  readonly site: string
  readonly dataset: string
  /** Rows, or windows of text, for training and for testing. */
  readonly records: number
  readonly test: number
  readonly columns: readonly ColumnMoments[]
  /** Of the model, all together; of an analysis, numbers of its first sum. */
  readonly parameters: number
  /** That leave this site in one round, its vector's, at the least number of members. */
  readonly bytes: number
}

/** @throws MessageSizeError, FedPlanError (a compression that saves nothing of this model), what reading the data throws: a column that is not there, a cell that is no number, too few rows */
export async function checkData(
  needs: Pick<TrainerNeeds, 'clock' | 'engine' | 'base'>,
  root: string,
  plan: JobPlan,
  path: string,
  signal?: AbortSignal,
): Promise<CheckedData> {
  if (isAnalysis(plan)) return checkRecords(plan, path, signal)
  await mkdir(root, { recursive: true, mode: 0o700 })
  const folder = await mkdtemp(join(root, 'check-'))
  try {
    const data = await readFedData(path)
    const trainer = await openTrainer({ ...needs, folder, threads: 1 }, plan, data, signal)
    try {
      const { site, dataset = site } = data.data
      const columns = trainer.moments()
      // The model has the same parameters whatever the statistics of all sites will be.
      await trainer.fit({ records: trainer.records, columns: columns.map((column) => ({ ...column, sd: 1 })) })
      const parameters = trainer.initial.length
      checkSize(plan, parameters)
      checkPersonal(plan, trainer.shapes())
      const shapes = sharedShapes(trainer.shapes(), plan.personal)
      const bytes = roundBytes(plan, shapes, Math.max(3, minimumOf(plan).sites))
      return { site, dataset, records: trainer.records, test: trainer.testRecords, columns, parameters, bytes }
    } finally {
      await trainer.close()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** What was to stay and has no such name would leave. @throws FedPlanError */
function checkPersonal({ name, personal = [] }: FedPlan, shapes: readonly ParameterShape[]): void {
  const wrong = (why: string): FedPlanError => new FedPlanError(name, 'personal', why)
  const stray = personal.find((part) => !shapes.some((shape) => shape.name.includes(part)))
  const names = shapes.slice(0, 20).map((shape) => shape.name)
  if (stray !== undefined)
    throw wrong(`${JSON.stringify(stray)} is in the name of no parameter; there are ${names.join(', ')}`)
  if (personal.length > 0 && sharedShapes(shapes, personal).length === 0)
    throw wrong('leaves no parameter that the sites share')
}

async function checkRecords(plan: AnalysisPlan, path: string, signal?: AbortSignal): Promise<CheckedData> {
  const data = await readFedData(path)
  const math = AnalysisMath.check(plan, Math.max(3, minimumOf(plan).sites))
  const { records } = await AnalysisSite.open(math, data, NO_WORDS, signal)
  const { site, dataset = site } = data.data
  const { reals, wide } = math.shape(FIRST_STATE)
  const bytes = packedBytes(vectorLayout({ reals, wide }, math.encoding.bits, math.members).d, math.encoding.bits)
  return { site, dataset, records, test: 0, columns: [], parameters: reals + wide, bytes }
}

/** Nothing is noised here. */
const NO_WORDS: Words = { next: () => 0, below: () => 0 }
