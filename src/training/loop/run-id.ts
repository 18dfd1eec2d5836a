/** Which run a checkpoint belongs to. */
import { createHash } from 'node:crypto'
import { canonicalJson } from '../../util/index.ts'
import { dimsOf } from '../graph/step.ts'
import type { Forward } from '../graph/forward.ts'
import type { TrainPlan } from '../plan/schema.ts'

/** Of what decides the values: not of where files lie, what the run is called, or what it may take. */
export function runId(plan: TrainPlan, forward: Forward, seed: number): string {
  const { name: _, data, test, teacher: _path, memory: __, threads: ___, checkpoint: ____, ...rest } = plan
  const kinds = [data.kind, test?.kind ?? null]
  const shapes = forward.parameters.map((parameter) => [parameter, dimsOf(forward.model, parameter)])
  const nodes = forward.model.graph.nodes.map(({ opType, inputs, outputs }) => [opType, inputs, outputs])
  const weights = plan.model.kind === 'onnx' ? digestOf(forward) : null
  const teacher = forward.teacher === undefined ? {} : { teacher: digestOf(forward.teacher) }
  const text = canonicalJson({ rest, kinds, seed, shapes, nodes, weights, ...teacher })
  return createHash('sha256').update(text).digest('hex')
}

/** Of the weights of a model file: those that are frozen stand in no checkpoint. */
function digestOf({ model }: Pick<Forward, 'model'>): string {
  const hash = createHash('sha256')
  for (const { name, data } of model.graph.initializers.values()) {
    hash.update(JSON.stringify(name))
    if (data.kind === 'bytes') hash.update(data.bytes)
  }
  return hash.digest('hex')
}
