/**
 * The program that reads a model file for `weft infer`, and cuts it: a child process, since the file may be anybody's.
 */
import { stat } from 'node:fs/promises'
import { realpathSync } from 'node:fs'
import { balanceOf, checkModel, readModel, requireWholeMemory } from '../../../onnx/index.ts'
import type { Model, PlannedValue, SplitPlan, TensorValue, ValueInfo } from '../../../onnx/index.ts'
import { runGuardedProgram } from '../../../util/index.ts'
import { batchAxes } from './batch-axes.ts'
import { splitTask } from './split-task.ts'
import { PREPARED_SCHEMA } from './types.ts'
import type { PreparedGraph, PreparedPart, PrepareTask } from './types.ts'

await runGuardedProgram(async ({ input, emit, signal }) => {
  const task = input as PrepareTask
  const model = checkModel(await readModel(task.path))
  emit(null)
  if (task.parts === 1 && task.memory !== undefined) requireWholeMemory(model, task.memory)
  // A model that is not split is run from its own file.
  const plan =
    task.parts === 1
      ? null
      : await splitTask(
          { ...task, ...(task.cuts === undefined ? {} : { parts: undefined }), check: true },
          emit,
          signal,
        )
  return prepared(task, model, plan)
})

async function prepared(task: PrepareTask, model: Model, plan: SplitPlan | null): Promise<PreparedGraph> {
  const { graph } = model
  const given = new Set([...graph.initializers.keys(), ...graph.sparseInitializers.keys()])
  const inputs = graph.inputs.filter(({ name }) => !given.has(name)).map(plannedValue)
  const outputs = graph.outputs.map(plannedValue)
  const whole: PreparedPart = {
    file: task.path,
    blocks: [0, plan?.blocks ?? 1],
    inputs: inputs.map(({ name }) => ({ name, from: 'graph' })),
    outputs: outputs.map(({ name }) => ({ name, to: [], ofGraph: true })),
  }
  const isSplit = plan !== null && plan.partitions.length > 1
  const check = plan?.check?.kind
  return {
    schema: PREPARED_SCHEMA,
    parts: isSplit ? plan.partitions.map(partOf) : [whole],
    blocks: plan?.blocks ?? 1,
    optimization: isSplit ? plan.optimization : task.optimization,
    inputs,
    outputs,
    batch: batchAxes(model),
    external: await externalFiles(task.path, model),
    checked: isSplit ? (check === 'equal' ? 'equal' : 'unchecked') : null,
    ...(isSplit && plan.check?.kind === 'equal' && plan.check.seconds !== undefined
      ? { measured: plan.check.seconds.map((seconds) => 1000 * seconds) }
      : {}),
    ...(isSplit && task.wire !== undefined ? { wire: task.wire } : {}),
    ...(isSplit ? { balance: balanceOf(plan.balance) } : {}),
    ...(plan?.verdict === undefined ? {} : { verdict: plan.verdict }),
    ...(plan?.why === undefined ? {} : { why: plan.why }),
    ...(plan?.best === undefined ? {} : { best: balanceOf(plan.best) }),
  }
}

function partOf({ file, blocks, inputs, outputs }: SplitPlan['partitions'][number]): PreparedPart {
  return {
    file,
    blocks,
    inputs: inputs.map(({ name, from }) => ({ name, from })),
    outputs: outputs.map(({ name, to, ofGraph }) => ({ name, to, ofGraph })),
  }
}

function plannedValue({ name, type }: ValueInfo): PlannedValue {
  if (type?.kind === 'tensor') return { name, type: type.type, shape: type.shape }
  return { name, type: type?.kind ?? 'unknown', shape: null }
}

/** Weights of subgraphs that lie outside are as old as the others. */
async function externalFiles(path: string, { graph }: Model): Promise<PreparedGraph['external']> {
  const own = realpathSync(path)
  const paths = new Set<string>()
  for (const { data } of graph.initializers.values() as Iterable<TensorValue>) {
    if (data.kind === 'range' && data.path !== own) paths.add(data.path)
  }
  return Promise.all(
    [...paths].map(async (file) => {
      const { size, mtimeMs } = await stat(file)
      return { path: file, size, mtimeMs }
    }),
  )
}
