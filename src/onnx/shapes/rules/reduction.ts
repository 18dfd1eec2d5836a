/** Operators that take axes together. */
import { axisWithin, replaceDimension, tensor, unknownDimensions } from '../call.ts'
import type { Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'

/** Axes by attribute, since opset 13 or 18 by input; all where none are named, or none with `noop_with_empty_axes`. */
const reduce: Rule = (call) => {
  const shape = call.shape(0)
  const kept = call.int('keepdims', 1) !== 0
  if (shape === null) {
    const all = !call.given(1) && call.attribute('axes') === undefined && call.int('noop_with_empty_axes', 0) === 0
    return [tensor(call.type(0), all && !kept ? [] : null)]
  }
  const named = call.axes(shape.length)
  if (named === undefined) {
    const count = call.shapeOfRank(1, 1)?.[0]
    const left = typeof count === 'number' && count > 0 ? shape.length - count : -1
    return [tensor(call.type(0), kept ? shape.map(() => null) : unknownDimensions(left))]
  }
  const none = named === 'none' || named.length === 0
  if (none && call.int('noop_with_empty_axes', 0) === 1) return [call.value(0)]
  const reduced = (axis: number): boolean => none || named.includes(axis)
  if (kept)
    return [
      tensor(
        call.type(0),
        shape.map((size, axis) => (reduced(axis) ? 1 : size)),
      ),
    ]
  return [
    tensor(
      call.type(0),
      shape.filter((_, axis) => !reduced(axis)),
    ),
  ]
}

const argument: Rule = (call) => {
  const shape = call.shape(0)
  const axis = shape === null ? undefined : axisWithin(call.int('axis', 0), shape.length)
  if (shape === null || axis === undefined) return [tensor('int64', null)]
  const kept = call.int('keepdims', 1) !== 0
  return [tensor('int64', kept ? replaceDimension(shape, axis, 1) : shape.filter((_, at) => at !== axis))]
}

/** All that follows the channels becomes 1. */
const globalPool: Rule = (call) => [
  tensor(
    call.type(0),
    call.shape(0)?.map((size, axis) => (axis < 2 ? size : 1)),
  ),
]

const quantizedGlobalPool: Rule = (call) => {
  const last = call.int('channels_last', 0) === 1
  const shape = call.shape(0)
  const stays = (axis: number): boolean => axis === 0 || axis === (last ? shape!.length - 1 : 1)
  return [tensor(call.type(0), shape && shape.map((size, axis) => (stays(axis) ? size : 1)))]
}

const determinant: Rule = (call) => [tensor(call.type(0), call.shape(0)?.slice(0, -2))]

export const REDUCTION: readonly Family[] = [
  {
    operators: `ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
      ReduceSumSquare`,
    rule: reduce,
  },
  { operators: 'ArgMax ArgMin', rule: argument },
  { operators: 'GlobalAveragePool GlobalLpPool GlobalMaxPool', rule: globalPool },
  { domain: MICROSOFT, operators: 'QLinearGlobalAveragePool', rule: quantizedGlobalPool },
  { operators: 'Det', rule: determinant },
]
