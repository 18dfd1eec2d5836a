/** `weft eval` of a folder with an adapter: how good it is beside its base model, over its own texts or others. */
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { NoRowsError } from '../../data/index.ts'
import { openEmbedding, partSize, readAdapter } from '../../models/index.ts'
import type { Adapter, DecoderShape } from '../../models/index.ts'
import { otherFiles } from '../data/index.ts'
import type { EvalRequest, Evaluation } from '../loop/eval-model.ts'
import { evaluate } from '../loop/evaluate.ts'
import { RUN_FILES } from '../loop/folder.ts'
import type { Tensors } from '../loop/stepper.ts'
import { computeMetrics, metricsOf } from '../metrics/index.ts'
import { readPlan } from '../plan/read-plan.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { loadTokenExamples } from './examples.ts'
import { parameterName, PROMPT } from './form.ts'
import type { AdapterSpec } from './form.ts'
import { AdapterStepper } from './stepper.ts'
import { adapterSpec, checkTextRows } from './train-adapter.ts'
import type { AdapterNeeds } from './train-adapter.ts'

const ROWS_BYTES = 2 ** 29

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
    const load = { folder: read.folder, scratch: work, memory: ROWS_BYTES, seed: plan.seed ?? 0, planPath: path }
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
    const parameters = tensorsOf(shape, adapter)
    const sessions = { engine: needs.engine, folder: work, options: { threads, optimization: 'basic' as const } }
    const { width } = shape
    const stepper = await AdapterStepper.open({ sessions, plan, parameters, line, embedding, width, signal })
    undo.push(() => stepper.close())
    const session = stepper.evaluation
    const said = await evaluate({ session, plan, part: chosen, parameters, others: undefined }, signal)
    return {
      schema: 'weft.evaluation/1',
      model: root,
      part: isOwn ? part : null,
      examples: chosen.index.length,
      metrics: computeMetrics(metricsOf(plan, path), said),
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

/** What the file has counts, whatever the plan said. */
function specOf(adapter: Adapter): AdapterSpec {
  if (adapter.kind === 'prompt') return { kind: 'prompt', tokens: adapter.tokens }
  const { rank, alpha, parts } = adapter
  return { kind: 'lora', rank, alpha, targets: parts }
}

function tensorsOf(shape: DecoderShape, adapter: Adapter): Tensors {
  if (adapter.kind === 'prompt') {
    const { tokens, rows } = adapter
    return { [PROMPT]: { type: 'float32', dims: [tokens, shape.width], data: rows } }
  }
  const { rank, parts } = adapter
  const entries = Array.from({ length: shape.layers }, (_, layer) =>
    parts.flatMap((part) => {
      const { inputs, outputs } = partSize(shape, part)
      return (['a', 'b'] as const).map((factor) => {
        const dims = factor === 'a' ? [rank, inputs] : [outputs, rank]
        const tensor = { type: 'float32', dims, data: adapter.value(layer, part, factor) } as const
        return [parameterName(layer + 1, part, factor), tensor] as const
      })
    }),
  )
  return Object.fromEntries(entries.flat())
}
