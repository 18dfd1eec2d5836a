/**
 * The graph without its weights: each large initializer becomes an input of the same name, type and shape, so that the
 * skeleton is plain ONNX by itself, and gets its bytes back from wherever they lie.
 */
import { shown } from '../../onnx/index.ts'
import type { Model, TensorValue, ValueInfo } from '../../onnx/index.ts'
import { ModelFileError } from '../errors.ts'
import type { GraphTensor } from './manifest.ts'

/** Smaller ones are not worth a blob: scales, shapes, axes. */
export const WEIGHT_BYTES = 1024
/** From this version on an initializer need not be an input too. */
const FREE_INITIALIZERS = 4

/** A skeleton comes from a stranger, and what lies beside it is ours: other models' weights. */
export const ALONE = { externalData: false } as const

/** The initializers that become blobs, in the file's order. */
export function weightsOf({ graph }: Model): readonly TensorValue[] {
  return [...graph.initializers.values()].filter(
    ({ data }) => data.kind !== 'strings' && (data.kind === 'bytes' ? data.bytes.length : data.length) >= WEIGHT_BYTES,
  )
}

/** Bytes, none of which are read. */
export function lengthOf(data: TensorValue['data']): number {
  if (data.kind === 'strings') return 0
  return data.kind === 'bytes' ? data.bytes.length : data.length
}

export function toSkeleton(model: Model, weights: readonly TensorValue[]): Model {
  const { graph } = model
  const taken = new Set(weights.map(({ name }) => name))
  const infos = weights.map(({ name, type, dims }): ValueInfo => ({
    name,
    type: { kind: 'tensor', type, shape: dims },
  }))
  return {
    ...model,
    graph: {
      ...graph,
      inputs: [...graph.inputs.filter(({ name }) => !taken.has(name)), ...infos],
      initializers: new Map([...graph.initializers].filter(([name]) => !taken.has(name))),
    },
  }
}

/**
 * The model again. @param path where the bytes of a tensor lie, whole; a stage names the weights of its own blocks alone
 * @throws ModelFileError when the skeleton has no such input
 */
export function fromSkeleton(
  skeleton: Model,
  weights: readonly GraphTensor[],
  path: (tensor: GraphTensor) => string,
): Model {
  const { graph, irVersion } = skeleton
  const inputs = new Map(graph.inputs.map((info) => [info.name, info]))
  const initializers = new Map<string, TensorValue>()
  for (const tensor of weights) {
    const { name, shape, bytes } = tensor
    const type = inputs.get(name)?.type
    if (type?.kind !== 'tensor' || type.type !== tensor.type || type.shape?.join() !== shape.join())
      throw new ModelFileError('skeleton', `it has no place for the tensor ${shown(name)}`)
    const data = { kind: 'range', path: path(tensor), offset: 0, length: bytes } as const
    initializers.set(name, { name, type: type.type, dims: shape, data })
  }
  for (const [name, tensor] of graph.initializers) initializers.set(name, tensor)
  const keep = irVersion < FREE_INITIALIZERS
  return {
    ...skeleton,
    graph: {
      ...graph,
      inputs: graph.inputs.filter(({ name }) => keep || !initializers.has(name)),
      initializers,
    },
  }
}
