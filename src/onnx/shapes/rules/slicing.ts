/** Operators that take a part of a tensor, or put something around it. */
import type { Dimension, Shape } from '../../ir/index.ts'
import { MAX_RANK, axesWithin, axisWithin, replaceDimension, tensor, unknownDimensions } from '../call.ts'
import type { Call, Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'

/** What a slice takes along one axis; null: not known. */
export interface Cut {
  readonly axis: number
  readonly start: Dimension
  readonly end: Dimension
  readonly step: Dimension
}

/** Attributes in opset 1, inputs since 10. Undefined: not even the axes are known. */
export function cutsOf(call: Call, rank: number): readonly Cut[] | undefined {
  const attributes = call.ints('starts') !== undefined
  const list = (name: string, input: number): readonly Dimension[] | undefined =>
    attributes ? call.ints(name) : call.known(input)?.elements
  const count = attributes ? call.ints('starts')!.length : sliceCount(call)
  if (count === undefined || count > MAX_RANK) return undefined
  const [starts, ends, steps] = [list('starts', 1), list('ends', 2), attributes ? undefined : list('steps', 4)]
  const named = attributes || call.given(3) ? axesOrNone(call, attributes) : undefined
  if (named === 'unknown') return undefined
  const axes = axesWithin(named ?? Array.from({ length: count }, (_, axis) => axis), rank)
  if (axes?.length !== count) return undefined
  const unit = attributes || !call.given(4)
  return axes.map((axis, at) => ({
    axis,
    start: starts?.[at] ?? null,
    end: ends?.[at] ?? null,
    step: unit ? 1 : (steps?.[at] ?? null),
  }))
}

function sliceCount(call: Call): number | undefined {
  const lengths = [1, 2, 3].map((input) => call.known(input)?.elements.length ?? call.shapeOfRank(input, 1)?.[0])
  return lengths.find((length) => typeof length === 'number')
}

function axesOrNone(call: Call, attributes: boolean): readonly number[] | undefined | 'unknown' {
  if (attributes) return call.attribute('axes') === undefined ? undefined : (call.ints('axes') ?? 'unknown')
  return call.numbers(3) ?? 'unknown'
}

const slice: Rule = (call) => {
  const shape = call.shape(0)
  if (shape === null) return [tensor(call.type(0), null)]
  const cuts = cutsOf(call, shape.length)
  if (cuts === undefined) return [tensor(call.type(0), unknownDimensions(shape.length))]
  const sizes = [...shape]
  for (const cut of cuts) sizes[cut.axis] = cutSize(call, shape[cut.axis]!, cut)
  return [tensor(call.type(0), sizes)]
}

function cutSize(call: Call, size: Dimension, { start, end, step }: Cut): Dimension {
  const { algebra } = call
  if (typeof step !== 'number' || step === 0) return null
  if (typeof size === 'number' && typeof start === 'number' && typeof end === 'number')
    return cutRange(size, start, end, step).count
  // Backwards over everything is the one way back that graphs with free sizes take.
  if (step < 0) return step === -1 && start === -1 && isFarBack(end) ? size : null
  const [from, to] = [bounded(call, start, size), bounded(call, end, size)]
  const taken = algebra.max(algebra.subtract(to, from), 0)
  return algebra.ceilDivide(taken, step)
}

function isFarBack(end: Dimension): boolean {
  return typeof end === 'number' && end <= -(2 ** 31) + 1
}

/** Counted from the end where negative, and kept between 0 and the size. */
function bounded({ algebra }: Call, position: Dimension, size: Dimension): Dimension {
  if (typeof position === 'number') {
    if (position >= 2 ** 31 - 1) return size
    if (position < 0) return position <= -(2 ** 31) + 1 ? 0 : algebra.max(algebra.add(size, position), 0)
    return algebra.min(position, size)
  }
  // An expression that may be negative may count from the end.
  return algebra.isNeverNegative(position) ? algebra.min(position, size) : null
}

/** Places along an axis that a slice of numbers takes: the first, and how many. */
export function cutRange(size: number, start: number, end: number, step: number): { from: number; count: number } {
  const [low, high] = step > 0 ? [0, size] : [-1, size - 1]
  const within = (position: number): number => Math.min(Math.max(position < 0 ? position + size : position, low), high)
  const [from, to] = [within(start), within(end)]
  return { from, count: Math.max(Math.ceil((to - from) / step), 0) }
}

const split: Rule = (call) => {
  const shape = call.shape(0)
  const count = call.node.outputs.length
  const axis = shape === null ? undefined : axisWithin(call.int('axis', 0), shape.length)
  if (shape === null || axis === undefined) return Array.from({ length: count }, () => tensor(call.type(0), null))
  const sizes = splitSizes(call, shape[axis]!, count)
  return sizes.map((size) => tensor(call.type(0), replaceDimension(shape, axis, size)))
}

/** Sizes by attribute (opset 2) or input (13), else equal parts of which the last may be smaller (18). */
export function splitSizes(call: Call, size: Dimension, count: number): readonly Dimension[] {
  const { algebra } = call
  const given = call.ints('split') ?? call.known(1)?.elements
  if (given !== undefined) return Array.from({ length: count }, (_, part) => given[part] ?? null)
  if (call.given(1) || call.attribute('split') !== undefined) return Array.from({ length: count }, () => null)
  const parts = call.int('num_outputs', count)
  if (!(parts >= 1) || size === null) return Array.from({ length: count }, () => null)
  const exact = algebra.divideExactly(size, parts)
  if (exact !== null) return Array.from({ length: count }, () => exact)
  const each = algebra.ceilDivide(size, parts)
  const last = algebra.max(algebra.subtract(size, algebra.multiply(each, parts - 1)), 0)
  return Array.from({ length: count }, (_, part) => (part === parts - 1 ? last : each))
}

/** Opset 2 says how much by attribute (`paddings` in opset 1), 11 by input, 18 for some axes only. */
const pad: Rule = (call) => {
  const shape = call.shape(0)
  if (shape === null) return [tensor(call.type(0), null)]
  const around = call.ints('pads') ?? call.ints('paddings') ?? call.known(1)?.elements
  const axes = call.given(3) ? axesWithin(call.numbers(3), shape.length) : shape.map((_, axis) => axis)
  if (around === undefined || axes === undefined || around.length !== axes.length * 2)
    return [tensor(call.type(0), unknownDimensions(shape.length))]
  const sizes = [...shape]
  for (const [at, axis] of axes.entries())
    sizes[axis] = call.algebra.sum([sizes[axis]!, around[at]!, around[at + axes.length]!])
  return [
    tensor(
      call.type(0),
      sizes.map((size) => (typeof size === 'number' && size < 0 ? null : size)),
    ),
  ]
}

const centerCropPad: Rule = (call) => {
  const shape = call.shape(0)
  if (shape === null) return [tensor(call.type(0), null)]
  const axes = call.attribute('axes') === undefined ? shape.map((_, axis) => axis) : call.axes(shape.length)
  const target = call.known(1)?.elements
  if (axes === undefined || axes === 'none' || target?.length !== axes.length)
    return [tensor(call.type(0), unknownDimensions(shape.length))]
  const sizes: Shape = shape.map((size, axis) => {
    const at = axes.indexOf(axis)
    return at < 0 ? size : target[at]!
  })
  return [tensor(call.type(0), sizes)]
}

export const SLICING: readonly Family[] = [
  { operators: 'Slice', rule: slice },
  { operators: 'Split', rule: split },
  { operators: 'Pad', rule: pad },
  { domain: MICROSOFT, operators: 'Pad', rule: pad },
  { operators: 'CenterCropPad', rule: centerCropPad },
]
