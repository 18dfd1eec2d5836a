/** `weft eval` of a folder with an adapter: how good it is beside its base model, over its own texts or others. */
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { NoRowsError } from '../../data/index.ts'
import { openEmbedding, readAdapter } from '../../models/index.ts'
import { otherFiles, rowsMemory } from '../data/index.ts'
import type { EvalRequest, Evaluation } from '../loop/eval-model.ts'
import { evaluate } from '../loop/evaluate.ts'
import { RUN_FILES } from '../loop/folder.ts'
import { metricsOf } from '../metrics/index.ts'
import { readPlan } from '../plan/read-plan.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { loadTokenExamples } from './examples.ts'
import { parametersFrom, specOf } from './convert.ts'
import { AdapterStepper } from './stepper.ts'
import { adapterSpec, checkTextRows } from './train-adapter.ts'
import type { AdapterNeeds } from './train-adapter.ts'

/** @throws NoRowsError, and the errors of plans, data, adapters and models; the signal's reason */
export async function evalAdapter(
  needs: AdapterNeeds,
  request: EvalRequest,
  signal?: AbortSignal,
): Promise<Evaluation> {
  const root = resolve(request.model)
  const read = await readPlan(request.plan ?? join(root, RUN_FILES.plan))
  const { path } = read
  const { data } = request
  const isOwn = data === undefined
  const plan = isOwn ? read.plan : overFiles(read.plan, data, path)
  const base = await needs.base(plan.model.kind === 'base' ? plan.model.name : '', signal)
  const { manifest, store, tokenizer } = base
  const { shape } = manifest
  adapterSpec(plan, path)
  const adapter = await readAdapter(root, shape)
  const spec = specOf(adapter)
  const rows = checkTextRows(plan, spec, manifest, path)
  const work = await mkdtemp(join(tmpdir(), 'weft-eval-'))
  const undo: (() => Promise<void> | void)[] = [() => rm(work, { recursive: true, force: true })]
  try {
    const load = { folder: read.folder, scratch: work, memory: rowsMemory(plan), seed: plan.seed ?? 0, planPath: path }
    const examples = await loadTokenExamples(plan, tokenizer, load, signal)
    undo.push(() => examples.close())
    const part = isOwn ? (request.part ?? 'test') : 'train'
    const chosen = examples.parts[part]
    if (chosen.index.length === 0) throw new NoRowsError(isOwn ? `the part ${part}` : 'the data')
    const threads = request.threads ?? plan.threads ?? availableParallelism()
    const ref = manifest.blocks[0]!.tensors[0]!
    const embedding = openEmbedding(store.path(ref.address), shape, ref, 'f32')
    undo.push(() => embedding.close())
    const line = await base.line(spec, rows, work, threads)
    undo.push(() => line.close())
    const parameters = parametersFrom(shape, adapter)
    const sessions = { engine: needs.engine, folder: work, options: { threads, optimization: 'basic' as const } }
    const { width } = shape
    const stepper = await AdapterStepper.open({ sessions, plan, parameters, line, embedding, width, signal })
    undo.push(() => stepper.close())
    const session = stepper.evaluation
    const metrics = metricsOf(plan, path)
    const asked = { session, plan, part: chosen, parameters, metrics, others: undefined }
    const evaluated = await evaluate(asked, signal)
    return {
      schema: 'weft.evaluation/1',
      model: root,
      part: isOwn ? part : null,
      examples: chosen.index.length,
      metrics: evaluated.metrics,
    }
  } finally {
    for (const action of undo.reverse()) await action()
  }
}

/** Other texts in the place of the plan's own, without a split: all of them are in one part. */
function overFiles(plan: TrainPlan, files: readonly string[], path: string): TrainPlan {
  const absolute = files.map((file) => resolve(file))
  return { ...plan, split: undefined, test: undefined, data: otherFiles(plan.data, absolute, path) }
}
