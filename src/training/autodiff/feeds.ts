/** Arrays held against what a graph takes, before anything runs. */
import { shown } from '../../onnx/index.ts'
import type { AnyTensor, Dimension, GraphForm, ValueInfo } from '../../onnx/index.ts'
import { FeedError } from './errors.ts'

/** The arrays that are inputs of the graph. @throws FeedError */
export function feedsOf(graph: GraphForm, arrays: ReadonlyMap<string, AnyTensor>): ReadonlyMap<string, AnyTensor> {
  const inputs = graph.inputs.filter(({ name }) => !graph.initializers.has(name))
  const wants = inputs.length === 0 ? 'nothing' : inputs.map(described).join(', ')
  return new Map(
    inputs.map((input): [string, AnyTensor] => {
      const given = arrays.get(input.name)
      if (given === undefined) throw new FeedError(input.name, 'is missing', wants)
      return [input.name, fitting(input, given, wants)]
    }),
  )
}

function described({ name, type }: ValueInfo): string {
  if (type?.kind !== 'tensor') return `${shown(name)} ${type?.kind ?? ''}`
  const shape =
    type.shape === null ? '' : `[${type.shape.map((size) => (isFree(size) ? (size ?? '?') : size)).join(', ')}]`
  return `${shown(name)} ${type.type}${shape}`
}

/** Some exporters write -1 for a size that is free. */
function isFree(size: Dimension): boolean {
  return typeof size !== 'number' || size < 0
}

function fitting({ name, type }: ValueInfo, given: AnyTensor, wants: string): AnyTensor {
  if (type?.kind !== 'tensor') return given
  const { shape } = type
  const fits =
    shape === null ||
    (shape.length === given.dims.length && shape.every((size, axis) => isFree(size) || size === given.dims[axis]))
  if (!fits) throw new FeedError(name, `has shape [${given.dims.join(', ')}]`, wants)
  if (given.type !== type.type) throw new FeedError(name, `is ${given.type}, not ${type.type}`, wants)
  return given
}
