/** Which run a checkpoint belongs to. */
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import type { Model } from '../../onnx/index.ts'
import { canonicalJson } from '../../util/index.ts'
import { dimsOf } from '../graph/step.ts'
import type { Forward } from '../graph/forward.ts'
import type { DataSpec, ModelSpec, TrainPlan } from '../plan/schema.ts'

/** Of what decides the values: not of where files lie, what the run is called, or what it may take. */
export function runId(plan: TrainPlan, forward: Forward, seed: number): string {
  const { name: _, seed: __, teacher: ___, memory: ____, threads: _____, checkpoint: ______, ...rest } = plan
  const decided = {
    ...rest,
    data: withoutPaths(plan.data),
    test: plan.test && withoutPaths(plan.test),
    model: withoutPaths(plan.model),
  }
  const shapes = forward.parameters.map((parameter) => [parameter, dimsOf(forward.model, parameter)])
  const nodes = forward.model.graph.nodes.map(({ opType, inputs, outputs }) => [opType, inputs, outputs])
  // What the plan does not say of a graph: that of a file, and a teacher's.
  const file = plan.model.kind === 'onnx' ? digestOf(forward.model) : null
  const teacher = forward.teacher && { ...forward.teacher, model: digestOf(forward.teacher.model) }
  const text = canonicalJson({ rest: decided, seed, shapes, nodes, file, teacher })
  return createHash('sha256').update(text).digest('hex')
}

function withoutPaths(spec: DataSpec | ModelSpec): object {
  return { ...spec, path: undefined, images: undefined, labels: undefined }
}

/** Of operators with their attributes, and of weights: those that are frozen stand in no checkpoint. */
function digestOf({ graph, opsets }: Model): string {
  const hash = createHash('sha256')
  const nodes = graph.nodes.map(({ opType, domain, inputs, outputs, attributes }) => {
    return [domain, opType, inputs, outputs, attributes]
  })
  feed(hash, [opsets, nodes, graph.initializers])
  return hash.digest('hex')
}

/** Plain data, each piece with its kind and size before it. */
function feed(hash: Hash, value: unknown): void {
  if (value instanceof Uint8Array) hash.update(`bytes ${value.length} `).update(value)
  else if (value instanceof Map || Array.isArray(value)) {
    const members: readonly unknown[] = [...(value as Iterable<unknown>)]
    hash.update(`list ${members.length} `)
    for (const member of members) feed(hash, member)
  } else if (typeof value === 'object' && value !== null) feed(hash, Object.entries(value))
  else hash.update(`${typeof value} ${JSON.stringify(String(value))} `)
}
