/** `weft train` for a language model that stays as it is: a plan in, a folder with an adapter out. */
import { createHash } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { createSeeded, NoRowsError } from '../../data/index.ts'
import { ADAPTER_FILES, openEmbedding, writeAdapter } from '../../models/index.ts'
import type { Embedding, ModelManifest, Tokenizer } from '../../models/index.ts'
import type { BlobStore } from '../../store/index.ts'
import { absoluteData, memoryOf, rowsMemory } from '../data/index.ts'
import type { Examples } from '../data/index.ts'
import { PlanFieldError } from '../errors.ts'
import { lastCheckpoint } from '../loop/checkpoint.ts'
import { isFinite } from '../loop/diagnose.ts'
import { openRunFolder, RUN_FILES } from '../loop/folder.ts'
import type { RunFolder } from '../loop/folder.ts'
import { BEGINNING } from '../loop/progress.ts'
import { checkData, checkParts, restore } from '../loop/resume.ts'
import { metricsOfParts, writeResult } from '../loop/result.ts'
import { Run } from '../loop/run.ts'
import { runId } from '../loop/run-id.ts'
import { checkMemory } from '../loop/run-memory.ts'
import type { Tensors } from '../loop/stepper.ts'
import type { TrainNeeds, TrainOutcome, TrainProgressSink, TrainRequest, TrainResult } from '../loop/types.ts'
import { metricsOf } from '../metrics/index.ts'
import { readPlan } from '../plan/read-plan.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { asAdapter } from './convert.ts'
import { firstAdapter, formOf, PROMPT } from './form.ts'
import type { AdapterSpec } from './form.ts'
import { loadTokenExamples } from './examples.ts'
import type { AdapterLine } from './line.ts'
import type { GradientForm } from './rounding.ts'
import { adapterForward, AdapterStepper } from './stepper.ts'

/** A language model whose tokenizer and embedding are here. */
export interface BaseModel {
  readonly manifest: ModelManifest
  readonly store: BlobStore
  readonly tokenizer: Tokenizer
  /** Its blocks, for texts of so many rows. */
  line(spec: AdapterSpec, length: number, work: string, threads: number, gradients?: GradientForm): Promise<AdapterLine>
}

export interface AdapterNeeds extends TrainNeeds {
  /** @throws when there is no such language model */
  base(name: string, signal?: AbortSignal): Promise<BaseModel>
}

const [RANK, ALPHA_PER_RANK] = [8, 2]
const TARGETS = ['q', 'k', 'v', 'o'] as const

/** @throws the errors of plans, data, models, the disk and the run; the signal's reason */
export async function trainAdapter(
  needs: AdapterNeeds,
  request: TrainRequest,
  sink: TrainProgressSink,
  signal?: AbortSignal,
): Promise<TrainOutcome> {
  const { plan, folder: source, path } = await readPlan(request.plan)
  const spec = adapterSpec(plan, path)
  checkGradients(plan, spec, path)
  const name = plan.model.kind === 'base' ? plan.model.name : ''
  const base = await needs.base(name, signal)
  const { manifest, store, tokenizer } = base
  const rows = checkTextRows(plan, spec, manifest, path)
  const seed = request.seed ?? plan.seed ?? 0
  const folder = await openRunFolder(request.out, request.resume)
  const undo: (() => Promise<void> | void)[] = [() => folder.close()]
  try {
    const load = {
      folder: source,
      scratch: folder.work,
      memory: rowsMemory(plan),
      seed,
      planPath: path,
    }
    const examples = await loadTokenExamples(plan, tokenizer, load, signal)
    undo.push(() => examples.close())
    checkParts(plan, examples, path)
    const ref = manifest.blocks[0]!.tensors[0]!
    const embedding = openEmbedding(store.path(ref.address), manifest.shape, ref, 'f32')
    undo.push(() => embedding.close())
    const parameters = firstValues(spec, manifest, embedding, seed)
    checkMemory(plan, adapterForward(parameters), memoryOf(plan))
    const run = adapterRunId(plan, parameters, seed, manifest)
    const checkpoint = folder.isOld ? await lastCheckpoint(folder.path, run) : undefined
    if (checkpoint !== undefined) checkData(checkpoint.meta, examples)
    const threads = checkpoint?.meta.threads ?? request.threads ?? plan.threads ?? availableParallelism()
    const sessions = { engine: needs.engine, folder: folder.work, options: { threads, optimization: 'basic' as const } }
    const line = await base.line(spec, rows, folder.work, threads, plan.gradients ?? 'float32')
    undo.push(() => line.close())
    const { width } = manifest.shape
    const stepper = await AdapterStepper.open({ sessions, plan, parameters, line, embedding, width, signal })
    undo.push(() => stepper.close())
    if (checkpoint !== undefined) restore(stepper, checkpoint, folder.path)
    if (!folder.isOld)
      await folder.write(RUN_FILES.plan, `${JSON.stringify(storedPlan(plan, seed, source), null, 2)}\n`)
    const data = examples.files.map(({ sha256 }) => sha256)
    const loop = new Run({
      clock: needs.clock,
      plan,
      seed,
      folder: folder.path,
      examples,
      metrics: metricsOf(plan, path),
      stepper,
      evaluation: stepper.evaluation,
      diagnose: (values) => Promise.resolve(oddParameter(values)),
      meta: { schema: 'weft.checkpoint/1', run, data, threads },
      progress: checkpoint?.meta.progress ?? BEGINNING,
      best: checkpoint?.best,
      sink,
    })
    await loop.toEnd(signal)
    const result = await finish(
      { plan, seed, folder, examples, manifest, spec },
      loop,
      loop.best ?? stepper.parameters,
      signal,
    )
    return { result, curve: loop.progress.curve, resumed: checkpoint?.meta.progress.step ?? null }
  } finally {
    for (const action of undo.reverse()) await action()
  }
}

/** @throws PlanFieldError */
export function adapterSpec(plan: TrainPlan, path: string): AdapterSpec {
  if (plan.task !== 'language') throw new PlanFieldError(path, 'task', 'a base model is trained for "language"')
  for (const field of ['loss', 'teacher', 'init', 'features', 'target', 'shares'] as const) {
    if (plan[field] !== undefined) throw new PlanFieldError(path, field, 'an adapter of a language model has none')
  }
  const { adapter = { kind: 'lora' } } = plan
  if (adapter.kind === 'prompt') return adapter
  const { rank = RANK, targets = TARGETS } = adapter
  return { kind: 'lora', rank, alpha: adapter.alpha ?? ALPHA_PER_RANK * rank, targets }
}

/** What a soft prompt learns comes back with the rows: no stage has anything of it that could be rounded. @throws PlanFieldError */
function checkGradients({ gradients }: TrainPlan, { kind }: AdapterSpec, path: string): void {
  if (kind !== 'prompt' || gradients !== 'int8') return
  throw new PlanFieldError(path, 'gradients', 'stages tell no gradient of a soft prompt: leave it out')
}

/** Rows of a text, soft prompt included. @throws PlanFieldError: more than the model takes */
export function checkTextRows(
  { data }: TrainPlan,
  spec: AdapterSpec,
  { shape, model }: ModelManifest,
  path: string,
): number {
  if (data.kind !== 'text') throw new PlanFieldError(path, 'data.kind', 'a language model takes "text"')
  const rows = data.length + (spec.kind === 'prompt' ? spec.tokens : 0)
  if (rows <= shape.context) return rows
  throw new PlanFieldError(path, 'data.length', `${rows} rows are more than the context of ${model}, ${shape.context}`)
}

/** A soft prompt begins as the rows of tokens that are drawn (Lester et al., section 3.2). */
function firstValues(spec: AdapterSpec, { shape }: ModelManifest, embedding: Embedding, seed: number): Tensors {
  if (spec.kind === 'lora') return firstAdapter(shape, formOf(spec), seed)
  const seeded = createSeeded(seed, 'adapter', PROMPT)
  const ids = Int32Array.from({ length: spec.tokens }, () => seeded.below(shape.vocabulary))
  const bytes = embedding.rows(ids)
  const data = new Float32Array(bytes.buffer, bytes.byteOffset, spec.tokens * shape.width)
  return { [PROMPT]: { type: 'float32', dims: [spec.tokens, shape.width], data } }
}

function adapterRunId(plan: TrainPlan, parameters: Tensors, seed: number, { digest }: ModelManifest): string {
  const run = runId(plan, adapterForward(parameters), seed)
  return createHash('sha256').update(`${run}/${digest}`).digest('hex')
}

function storedPlan(plan: TrainPlan, seed: number, source: string): TrainPlan {
  const moved = { ...plan, seed, data: absoluteData(plan.data, source) }
  return plan.test === undefined ? moved : { ...moved, test: absoluteData(plan.test, source) }
}

function oddParameter(values: Tensors): string {
  const odd = Object.entries(values).find(([, tensor]) => !isFinite(tensor))
  return odd === undefined ? 'the frozen blocks' : `the step before, which made the parameter ${odd[0]}`
}

interface Finished {
  readonly plan: TrainPlan
  readonly seed: number
  readonly folder: RunFolder
  readonly examples: Examples
  readonly manifest: ModelManifest
  readonly spec: AdapterSpec
}

/** The adapter first, the result last: who finds a result finds all. */
async function finish(job: Finished, loop: Run, parameters: Tensors, signal?: AbortSignal): Promise<TrainResult> {
  const { plan, manifest, spec, folder } = job
  const metrics = await metricsOfParts(loop, signal)
  if (metrics.train === undefined) throw new NoRowsError('the part for training')
  await writeAdapter(folder.path, manifest.shape, manifest.model, asAdapter(spec, parameters))
  const count = Object.values(parameters).reduce((sum, { data }) => sum + data.length, 0)
  const files = [ADAPTER_FILES.config, ADAPTER_FILES.weights]
  return writeResult({ ...job, name: plan.name ?? 'adapter', parameters: count, files }, loop, metrics)
}
