/** `weft eval`: a trained model over examples, its own or others. */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { NoRowsError } from '../../data/index.ts'
import type { PartName } from '../../data/index.ts'
import { ADAPTER_FILES } from '../../models/index.ts'
import { readModel } from '../../onnx/index.ts'
import { loadExamples, loadForTest, otherFiles, readFitted, rowsMemory } from '../data/index.ts'
import { evaluationGraph } from '../graph/step.ts'
import { forwardOf } from '../graph/trained.ts'
import { metricsOf } from '../metrics/index.ts'
import type { Metrics } from '../metrics/index.ts'
import { readPlan } from '../plan/read-plan.ts'
import { RunFolderError, RunNotFoundError } from '../errors.ts'
import { othersOf } from './batches.ts'
import { evaluate } from './evaluate.ts'
import { RUN_FILES } from './folder.ts'
import { openSession } from './sessions.ts'
import type { TrainNeeds } from './types.ts'

export interface EvalRequest {
  /** Folder of a run, or the path of a model in one. */
  readonly model: string
  /** In place of the plan beside the model. */
  readonly plan?: string | undefined
  /** Other files of the same kind, all of whose rows are evaluated. */
  readonly data?: readonly string[] | undefined
  /** Of the plan's own data. @default 'test' */
  readonly part?: PartName | undefined
  readonly threads?: number | undefined
}

export interface Evaluation {
  readonly schema: 'weft.evaluation/1'
  readonly model: string
  readonly part: PartName | null
  readonly examples: number
  readonly metrics: Metrics
}

const RUN_HINT = 'name the folder of a run, or a model in one'

/** @throws RunNotFoundError, RunFolderError, TrainedModelError, NoRowsError, and the errors of plans, data and models */
export async function evalModel(needs: TrainNeeds, request: EvalRequest, signal?: AbortSignal): Promise<Evaluation> {
  const { model, plan: planPath } = await pathsOf(request)
  const { plan, folder, path } = await readPlan(planPath)
  const metrics = metricsOf(plan, path)
  const forward = forwardOf(await readModel(model))
  const work = await mkdtemp(join(tmpdir(), 'weft-eval-'))
  try {
    const load = { folder, scratch: work, memory: rowsMemory(plan), seed: plan.seed ?? 0, planPath: path }
    const { data } = request
    const fitted = await readFitted(join(dirname(model), RUN_FILES.preprocessing))
    const examples =
      data === undefined
        ? await loadExamples(plan, load, signal)
        : await loadForTest(
            plan,
            otherFiles(
              plan.data,
              data.map((file) => resolve(file)),
              path,
            ),
            load,
            fitted,
            signal,
          )
    try {
      const part = data === undefined ? (request.part ?? 'test') : 'test'
      const chosen = examples.parts[part]
      if (chosen.index.length === 0) throw new NoRowsError(data === undefined ? `the part ${part}` : 'the data')
      const options = {
        threads: request.threads ?? plan.threads ?? availableParallelism(),
        optimization: 'basic',
      } as const
      const session = await openSession(
        { engine: needs.engine, folder: work, options },
        'evaluation',
        evaluationGraph(plan, forward),
      )
      const others = othersOf(plan, examples, load.seed, 'evaluation')
      const asked = { session, plan, part: chosen, parameters: {}, metrics, others }
      const evaluated = await evaluate(asked, signal)
      await session.close()
      return {
        schema: 'weft.evaluation/1',
        model,
        part: data === undefined ? part : null,
        examples: chosen.index.length,
        metrics: evaluated.metrics,
      }
    } finally {
      await examples.close()
    }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function pathsOf({ model, plan }: EvalRequest): Promise<{ readonly model: string; readonly plan: string }> {
  const path = resolve(model)
  const stats = await stat(path).catch(() => undefined)
  if (stats === undefined) throw new RunNotFoundError(path, 'is not there', RUN_HINT)
  const folder = stats.isDirectory() ? path : dirname(path)
  const isThere = async (name: string): Promise<boolean> =>
    (await stat(join(folder, name)).catch(() => undefined)) !== undefined
  const isWhole = stats.isDirectory()
  const isOfAdapter = isWhole || Object.values<string>(ADAPTER_FILES).includes(basename(path))
  if (isOfAdapter && !(await isThere(RUN_FILES.model))) {
    if (await isThere(ADAPTER_FILES.config)) {
      throw new RunFolderError(path, 'holds an adapter', `weft eval ${folder} evaluates it beside its base model`)
    }
    if (!(await isThere(RUN_FILES.plan))) throw new RunNotFoundError(path, 'holds no run', RUN_HINT)
    throw new RunFolderError(path, 'has no model yet', 'weft train --resume ends the run')
  }
  const file = isWhole ? join(path, RUN_FILES.model) : path
  return { model: file, plan: plan === undefined ? join(folder, RUN_FILES.plan) : resolve(plan) }
}
