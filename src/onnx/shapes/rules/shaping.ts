/** Operators that say the same elements in another shape. */
import type { Dimension, Shape } from '../../ir/index.ts'
import { MAX_RANK, axisWithin, broadcastShapes, tensor, unknownDimensions } from '../call.ts'
import type { Call, Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'
import { dataTypeOf } from './types.ts'

/** Shape given as a tensor: its elements, or as many unknowns as it has, or nothing. */
export function shapeFrom(call: Call, input: number): Shape {
  const known = call.known(input)
  if (known?.dims.length === 1 && known.elements.length <= MAX_RANK)
    return known.elements.map((element) => (typeof element === 'number' && element < 0 ? null : element))
  const length = call.shapeOfRank(input, 1)?.[0]
  return typeof length === 'number' ? unknownDimensions(length) : null
}

/** 0 copies a size (unless `allowzero`), -1 takes what is left. */
const reshape: Rule = (call) => {
  const attribute = call.ints('shape')
  const target = attribute ?? call.known(1)?.elements
  const known = attribute !== undefined || call.known(1)?.dims.length === 1
  if (target === undefined || !known || target.length > MAX_RANK) return [tensor(call.type(0), shapeFrom(call, 1))]
  return [tensor(call.type(0), reshaped(call, call.shape(0), target, call.int('allowzero', 0) === 1))]
}

function reshaped(call: Call, from: Shape, target: readonly Dimension[], zeroStays: boolean): Shape {
  // A size that is an expression may turn out 0, which copies; but then it was 0 before too, or the graph fails.
  const sizes = target.map((size, axis) => (size === 0 && !zeroStays ? (from?.[axis] ?? null) : size))
  // One size that is not known follows from the others as -1 does: the elements stay as many.
  const rest = sizes.includes(-1) ? sizes.indexOf(-1) : sizes.indexOf(null)
  if (rest < 0) return sizes
  const others = sizes.filter((_, axis) => axis !== rest)
  if (others.includes(-1) || others.includes(null)) return sizes.map(sizeOnly)
  const left = from === null ? null : remaining(call, from, others)
  return sizes.map((size, axis) => (axis === rest ? left : sizeOnly(size)))
}

/** What is on both sides falls away first, so that one unknown size does not hide the rest. */
function remaining({ algebra }: Call, from: readonly Dimension[], others: readonly Dimension[]): Dimension {
  const above = [...from]
  const below: Dimension[] = []
  for (const size of others) {
    const at = size === null ? -1 : above.indexOf(size)
    if (at >= 0 && size !== 0) above.splice(at, 1)
    else below.push(size)
  }
  const divisor = algebra.product(below)
  return divisor === 0 ? null : algebra.floorDivide(algebra.product(above), divisor)
}

function sizeOnly(size: Dimension): Dimension {
  return typeof size === 'number' && size < 0 ? null : size
}

const flatten: Rule = (call) => {
  const shape = call.shape(0)
  if (shape === null) return [tensor(call.type(0), unknownDimensions(2))]
  const axis = call.int('axis', 1)
  const split = axis < 0 ? axis + shape.length : axis
  if (!(split >= 0 && split <= shape.length)) return []
  const { algebra } = call
  return [tensor(call.type(0), [algebra.product(shape.slice(0, split)), algebra.product(shape.slice(split))])]
}

const squeeze: Rule = (call) => {
  const shape = call.shape(0)
  if (shape === null) return [tensor(call.type(0), null)]
  const axes = call.axes(shape.length)
  if (axes === undefined) return [tensor(call.type(0), null)]
  if (axes !== 'none')
    return [
      tensor(
        call.type(0),
        shape.filter((_, axis) => !axes.includes(axis)),
      ),
    ]
  // All sizes of 1 go: a size that is not known may be one.
  const certain = shape.every((size) => typeof size === 'number')
  return [tensor(call.type(0), certain ? shape.filter((size) => size !== 1) : null)]
}

const unsqueeze: Rule = (call) => {
  const shape = call.shape(0)
  const count = call.ints('axes')?.length ?? call.numbers(1)?.length ?? call.shapeOfRank(1, 1)?.[0]
  if (shape === null || typeof count !== 'number' || shape.length + count > MAX_RANK)
    return [tensor(call.type(0), null)]
  const rank = shape.length + count
  const axes = call.axes(rank)
  if (axes === undefined || axes === 'none' || new Set(axes).size !== axes.length)
    return [tensor(call.type(0), unknownDimensions(rank))]
  let next = 0
  return [
    tensor(
      call.type(0),
      Array.from({ length: rank }, (_, axis) => (axes.includes(axis) ? 1 : shape[next++]!)),
    ),
  ]
}

const transpose: Rule = (call) => {
  const shape = call.shape(0)
  const order = call.ints('perm')
  if (shape === null) return [tensor(call.type(0), order === undefined ? null : unknownDimensions(order.length))]
  if (order === undefined) return [tensor(call.type(0), [...shape].reverse())]
  if (order.length !== shape.length || new Set(order).size !== shape.length) return []
  const axes = order.map((axis) => axisWithin(axis, shape.length))
  return axes.includes(undefined)
    ? []
    : [
        tensor(
          call.type(0),
          axes.map((axis) => shape[axis!]!),
        ),
      ]
}

const expand: Rule = (call) => [
  tensor(call.type(0), broadcastShapes(call.algebra, [call.shape(0), shapeFrom(call, 1)])),
]

/** Opset 1 had a count and an axis; since 6 there is a count for each. */
const tile: Rule = (call) => {
  const shape = call.shape(0)
  const counts = call.known(1)
  const repeats = counts?.elements
  if (shape === null || repeats?.length !== shape.length)
    return [tensor(call.type(0), shape && unknownDimensions(shape.length))]
  return [
    tensor(
      call.type(0),
      shape.map((size, axis) => sizeOnly(call.algebra.multiply(size, repeats[axis]!))),
    ),
  ]
}

const concat: Rule = (call) => [
  concatenated(
    call,
    call.node.inputs.map((_, input) => input),
    call.int('axis', 1),
  ),
]

export function concatenated(call: Call, inputs: readonly number[], axis: number): ReturnType<typeof tensor> {
  const shapes = inputs.map((input) => call.shape(input))
  const type = inputs.map((input) => call.type(input)).find((known) => known !== undefined)
  const first = shapes.find((shape) => shape !== null)
  const at = first === undefined || first === null ? undefined : axisWithin(axis, first.length)
  if (first === undefined || first === null || at === undefined) return tensor(type, null)
  return tensor(
    type,
    first.map((_, along) => {
      const sizes = shapes.map((shape) => shape?.[along] ?? null)
      // Along the others all are equal, so the best known one stands for all.
      return along === at ? call.algebra.sum(sizes) : mostCertain(sizes)
    }),
  )
}

/** Of sizes that must be equal: a number before a name before an unknown. */
export function mostCertain(sizes: readonly Dimension[]): Dimension {
  const number = sizes.find((size) => typeof size === 'number')
  if (number !== undefined) return number
  const named = sizes.filter((size) => size !== null)
  return named.find((size) => typeof size === 'string' && !size.includes('?')) ?? named[0] ?? null
}

const depthToSpace: Rule = (call) => {
  const block = call.int('blocksize', 0)
  const shape = call.shapeOfRank(0, 4)
  if (shape === null || !(block > 0)) return [tensor(call.type(0), unknownDimensions(4))]
  const [batch, channels, height, width] = shape as readonly [Dimension, Dimension, Dimension, Dimension]
  const { algebra } = call
  const sizes = [algebra.multiply(height, block), algebra.multiply(width, block)]
  return [tensor(call.type(0), [batch, algebra.floorDivide(channels, block * block), ...sizes])]
}

const spaceToDepth: Rule = (call) => {
  const block = call.int('blocksize', 0)
  const shape = call.shapeOfRank(0, 4)
  if (shape === null || !(block > 0)) return [tensor(call.type(0), unknownDimensions(4))]
  const [batch, channels, height, width] = shape as readonly [Dimension, Dimension, Dimension, Dimension]
  const { algebra } = call
  const sizes = [algebra.floorDivide(height, block), algebra.floorDivide(width, block)]
  return [tensor(call.type(0), [batch, algebra.multiply(channels, block * block), ...sizes])]
}

const shapeOf: Rule = (call) => {
  const shape = call.shape(0)
  if (shape === null) return [tensor('int64', [null])]
  const [start, end] = shapeRange(call, shape.length)
  return [tensor('int64', [Math.max(end - start, 0)])]
}

/** Which dimensions Shape tells: `start` and `end` since opset 15. */
export function shapeRange(call: Call, rank: number): readonly [start: number, end: number] {
  const within = (axis: number): number => Math.min(Math.max(axis < 0 ? axis + rank : axis, 0), rank)
  return [within(call.int('start', 0)), within(call.int('end', rank))]
}

/** To a type of the same width. */
const bitCast: Rule = (call) => [tensor(dataTypeOf(call.int('to')), call.shape(0))]

export const SHAPING: readonly Family[] = [
  { operators: 'Reshape', rule: reshape },
  { operators: 'Flatten', rule: flatten },
  { operators: 'Squeeze', rule: squeeze },
  { operators: 'Unsqueeze', rule: unsqueeze },
  { operators: 'Transpose', rule: transpose },
  { operators: 'Expand', rule: expand },
  { operators: 'Tile', rule: tile },
  { operators: 'Concat', rule: concat },
  { operators: 'DepthToSpace', rule: depthToSpace },
  { operators: 'SpaceToDepth', rule: spaceToDepth },
  { domain: MICROSOFT, operators: 'DepthToSpace', rule: depthToSpace },
  { operators: 'Shape', rule: shapeOf },
  { operators: 'Size', rule: () => [tensor('int64', [])] },
  { operators: 'BitCast', rule: bitCast },
]
