/** `weft train`: a plan in, a folder with a model out. */
import { join, resolve } from 'node:path'
import { availableParallelism } from 'node:os'
import { writeModel } from '../../onnx/index.ts'
import type { LoadOptions, Model } from '../../onnx/index.ts'
import { absoluteData, loadExamples, memoryOf, ROWS_SHARE, rowsMemory } from '../data/index.ts'
import type { Examples } from '../data/index.ts'
import { MemoryBudgetError } from '../autodiff/errors.ts'
import { PlanFieldError, TrainingMemoryError } from '../errors.ts'
import { openModelFile } from '../foreign/model-file.ts'
import { teacherOf } from '../foreign/teacher.ts'
import type { Teacher } from '../foreign/teacher.ts'
import type { Checkpointing } from '../autodiff/types.ts'
import { buildForward } from '../graph/forward.ts'
import type { Forward } from '../graph/forward.ts'
import { evaluationGraph } from '../graph/step.ts'
import { trainedModel } from '../graph/trained.ts'
import { metricsOf } from '../metrics/index.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { checkShares, isShared, openSharedStepper } from '../parallel/open.ts'
import { readPlan } from '../plan/read-plan.ts'
import { lastCheckpoint } from './checkpoint.ts'
import { firstNotFinite } from './diagnose.ts'
import { openRunFolder, RUN_FILES } from './folder.ts'
import type { RunFolder } from './folder.ts'
import { writeHubModel } from './hub-model.ts'
import { BEGINNING } from './progress.ts'
import { checkData, checkParts, restore } from './resume.ts'
import { metricsOfParts, writeResult } from './result.ts'
import { Run } from './run.ts'
import { runId } from './run-id.ts'
import { openSession } from './sessions.ts'
import type { SessionNeeds } from './sessions.ts'
import { checkMemory, countOf, fixedBytes } from './run-memory.ts'
import { createStepper } from './stepper.ts'
import type { Stepper, Tensors } from './stepper.ts'
import type { TrainNeeds, TrainOutcome, TrainProgressSink, TrainRequest, TrainResult } from './types.ts'

/** @throws the errors of plans, data, graphs, the disk and the run; the signal's reason */
export async function trainPlan(
  needs: TrainNeeds,
  request: TrainRequest,
  sink: TrainProgressSink,
  signal?: AbortSignal,
): Promise<TrainOutcome> {
  const read = await readPlan(request.plan)
  const { plan } = read
  if (plan.adapter !== undefined)
    throw new PlanFieldError(read.path, 'adapter', 'it stands beside a model of kind base')
  checkShares(plan, read.path, needs.gradients?.count ?? 0)
  const metrics = metricsOf(plan, read.path)
  const seed = request.seed ?? plan.seed ?? 0
  const memory = memoryOf(plan)
  const folder = await openRunFolder(request.out, request.resume)
  let examples: Examples | undefined
  try {
    const load = { folder: read.folder, scratch: folder.work, memory: rowsMemory(plan), seed, planPath: read.path }
    examples = await loadExamples(plan, load, signal)
    checkParts(plan, examples, read.path)
    const threads = request.threads ?? plan.threads ?? availableParallelism()
    const options: LoadOptions = { threads, optimization: 'basic' }
    const open = { clock: needs.clock, folder: read.folder, work: folder.work, memory, options }
    const file = plan.model.kind === 'onnx' ? await openModelFile(open, plan.model.path, signal) : undefined
    const plain = buildForward(plan, examples, seed, false, file)
    const teacher = await teacherFor(plan, read.path, { ...examples, outputs: plain.outputs }, (path) =>
      openModelFile(open, path, signal),
    )
    const forward = { ...buildForward(plan, examples, seed, true, file), teacher }
    checkMemory(plan, forward, memory)
    const job: Job = {
      needs,
      plan,
      metrics,
      seed,
      folder,
      examples,
      forward,
      plain,
      options,
      sink,
      source: read.folder,
    }
    return await runJob(job, signal)
  } finally {
    await examples?.close()
    await folder.close()
  }
}

/** @throws PlanFieldError, TrainedModelError, and the errors of models */
async function teacherFor(
  plan: TrainPlan,
  path: string,
  examples: Pick<Examples, 'input' | 'outputs'>,
  open: (path: string) => Promise<Model>,
): Promise<Teacher | undefined> {
  const isDistillation = plan.loss?.kind === 'distillation'
  if (isDistillation !== (plan.teacher !== undefined)) {
    throw new PlanFieldError(path, 'teacher', 'a loss of kind "distillation" takes one, and no other does')
  }
  if (plan.teacher === undefined) return undefined
  return teacherOf(await open(plan.teacher.path), plan.teacher, examples, examples.outputs)
}

interface Job {
  readonly needs: TrainNeeds
  readonly plan: TrainPlan
  readonly metrics: ReturnType<typeof metricsOf>
  readonly seed: number
  readonly folder: RunFolder
  readonly examples: Examples
  readonly forward: Forward
  /** Without what only training needs. */
  readonly plain: Forward
  readonly options: LoadOptions
  readonly sink: TrainProgressSink
  /** Folder of the plan. */
  readonly source: string
}

async function runJob(job: Job, signal?: AbortSignal): Promise<TrainOutcome> {
  const { needs, plan, folder, examples, forward, seed } = job
  const run = runId(plan, forward, seed)
  const checkpoint = folder.isOld ? await lastCheckpoint(folder.path, run) : undefined
  if (checkpoint !== undefined) checkData(checkpoint.meta, examples)
  const threads = checkpoint?.meta.threads ?? job.options.threads
  const options: LoadOptions = { ...job.options, threads }
  const sessions = { engine: needs.engine, folder: folder.work, options }
  const evaluationModel = evaluationGraph(plan, job.plain)
  const stepper = await openStepper(job, sessions, signal).catch((error: unknown) => {
    throw error instanceof MemoryBudgetError ? tooSmall(job, error) : error
  })
  const evaluation = await openSession(sessions, 'evaluation', evaluationModel)
  try {
    if (checkpoint !== undefined) restore(stepper, checkpoint, folder.path)
    if (!folder.isOld) await folder.write(RUN_FILES.plan, `${JSON.stringify(storedPlan(job), null, 2)}\n`)
    const data = examples.files.map(({ sha256 }) => sha256)
    const meta = { schema: 'weft.checkpoint/1', run, data, threads } as const
    const progress = checkpoint?.meta.progress ?? BEGINNING
    const { clock } = needs
    const best = checkpoint?.best
    const loop = new Run({
      ...job,
      clock,
      folder: folder.path,
      stepper,
      evaluation,
      diagnose: (parameters, feeds) => firstNotFinite(sessions, evaluationModel, parameters, feeds),
      meta,
      progress,
      best,
    })
    await loop.toEnd(signal)
    const result = await finish(job, loop, loop.best ?? stepper.parameters, signal)
    return { result, curve: loop.progress.curve, resumed: checkpoint?.meta.progress.step ?? null }
  } finally {
    await stepper.close()
    await evaluation.close()
  }
}

function openStepper(job: Job, sessions: SessionNeeds, signal?: AbortSignal): Promise<Stepper> {
  const { needs, plan, forward } = job
  const activations = activationsOf(job)
  if (needs.gradients === undefined && !isShared(plan)) return createStepper(sessions, plan, forward, activations)
  return openSharedStepper({ ...job, activations, sessions, gradients: needs.gradients }, signal)
}

/** The model first, the result last: who finds a result finds all. */
async function finish(job: Job, loop: Run, parameters: Tensors, signal?: AbortSignal): Promise<TrainResult> {
  const { plan, folder, examples, forward, seed } = job
  const metrics = await metricsOfParts(loop, signal)
  const written = await writeModel(trainedModel(job.plain, parameters), join(folder.path, RUN_FILES.model))
  const files = written.files.map(({ path }) => path.slice(folder.path.length + 1))
  if (examples.features !== undefined) {
    const preprocessing = { schema: 'weft.preprocessing/1', input: 'x', features: examples.features }
    await folder.write(RUN_FILES.preprocessing, `${JSON.stringify(preprocessing, null, 2)}\n`)
    files.push(RUN_FILES.preprocessing)
  }
  files.push(...(await writeHubModel(folder, plan, parameters, examples)))
  const facts = { plan, name: plan.name ?? 'model', seed, folder, examples, parameters: countOf(forward), files }
  return writeResult(facts, loop, metrics)
}

/** With the seed that was used, and paths that hold from the folder of the run too. */
function storedPlan({ plan, seed, source }: Job): TrainPlan {
  const { data, test, model } = plan
  const file = model.kind === 'onnx' ? { ...model, path: resolve(source, model.path) } : model
  const teacher = plan.teacher && { ...plan.teacher, path: resolve(source, plan.teacher.path) }
  const moved = { ...plan, seed, model: file, ...(teacher && { teacher }), data: absoluteData(data, source) }
  return test === undefined ? moved : { ...moved, test: absoluteData(test, source) }
}

/** In the bytes that a plan names: half of them are for rows, and parameters and state come before activations. */
function tooSmall({ plan, forward }: Job, { needed }: MemoryBudgetError): TrainingMemoryError {
  return new TrainingMemoryError(Math.ceil((fixedBytes(plan, forward) + needed) / (1 - ROWS_SHARE)), memoryOf(plan))
}

/** What is left of a budget that the plan names: where activations need more, some are computed again. */
function activationsOf({ plan, forward, examples }: Job): Checkpointing | undefined {
  if (plan.memory === undefined) return undefined
  const rows = plan.batch === 'full' ? examples.parts.train.index.length : plan.batch
  const bytes = Math.max(0, plan.memory - rowsMemory(plan) - fixedBytes(plan, forward))
  return {
    bytes,
    sizes: new Map([
      ['batch', rows],
      ['length', examples.length],
    ]),
  }
}
