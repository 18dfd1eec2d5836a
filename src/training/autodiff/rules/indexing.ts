/** Operators that pick elements. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

const product = (sizes: readonly number[]): number => sizes.reduce((total, size) => total * size, 1)

/** [before, axis, after] of a shape, as int64 [1] each. */
function threeParts(site: GradientSite, name: string, axis: number): readonly string[] {
  const sizes = site.sizes(name)
  if (sizes !== undefined) {
    const parts = [product(sizes.slice(0, axis)), sizes[axis]!, product(sizes.slice(axis + 1))]
    return parts.map((size) => site.builder.int64s([size]))
  }
  const shape = site.shapeTensor(name)
  const many = (start: number, end?: number): string => {
    const [from, to] = [start, end ?? 2 ** 31].map((at) => site.builder.int64s([at]))
    return site.op('ReduceProd', [site.op('Slice', [shape, from, to])], { keepdims: 1 })
  }
  const one = site.builder.int64s([1])
  return [axis === 0 ? one : many(0, axis), many(axis, axis + 1), many(axis + 1)]
}

/** Rows that were taken several times get the sum: [before, indices, after] added into [before, axis, after]. */
const gather: GradientRule = (site) => {
  const [x, indices] = [site.input(0), site.input(1)]
  const axis = site.axis(site.int('axis', 0), site.needRank(x))
  const [before, size, after] = threeParts(site, x, axis)
  const shapeOf = (middle: string): string => site.op('Concat', [before, middle, after], { axis: 0 })
  const flat = site.reshape(indices, [1, -1, 1])
  const places = site.op('Shape', [flat], { start: 1, end: 2 })
  const whole = shapeOf(places)
  const zeros = site.filled(site.floatType(x), 0, shapeOf(size!))
  const updates = site.op('Reshape', [site.gradient, whole], { allowzero: 1 })
  const at = site.op('Expand', [flat, whole])
  const added = site.op('ScatterElements', [zeros, at, updates], { axis: 1, reduction: 'add' })
  return [site.reshapeLike(added, x)]
}

const gatherElements: GradientRule = (site) => {
  const zeros = site.zerosLike(site.input(0))
  const attributes = { axis: site.int('axis', 0), reduction: 'add' }
  return [site.op('ScatterElements', [zeros, site.input(1), site.gradient], attributes)]
}

/** Positions of all elements of a value, in its shape: int64. */
function positions(site: GradientSite, name: string): string {
  const size = site.op('Size', [name])
  const range = site.op('Range', [site.builder.int64(0), size, site.builder.int64(1)])
  return site.reshapeLike(range, name)
}

/** Whatever an operator picks: it picks from the positions too, and there the gradient belongs. */
export function scattered(site: GradientSite, pick: (positions: string) => string): string {
  const x = site.input(0)
  const size = site.op('Reshape', [site.op('Size', [x]), site.builder.int64s([1])])
  const zeros = site.filled(site.floatType(x), 0, size)
  const at = site.reshape(pick(positions(site, x)), [-1])
  const updates = site.reshape(site.gradient, [-1])
  const added = site.op('ScatterElements', [zeros, at, updates], { axis: 0, reduction: 'add' })
  return site.reshapeLike(added, x)
}

const gatherNd: GradientRule = (site) => [
  scattered(site, (all) => site.op('GatherND', [all, site.input(1)], { batch_dims: site.int('batch_dims', 0) })),
]

const compress: GradientRule = (site) => {
  const axis = site.attribute('axis')
  return [scattered(site, (all) => site.op('Compress', [all, site.input(1)], axis === undefined ? {} : { axis }))]
}

/** Steps of 1 with known bounds: zeros around. Else by position. */
const slice: GradientRule = (site) => {
  const pads = slicePads(site)
  if (pads === undefined) {
    return [scattered(site, (all) => site.op('Slice', [all, ...site.node.inputs.slice(1)]))]
  }
  if (pads.every((size) => size === 0)) return [site.gradient]
  return [site.op('Pad', [site.gradient, site.builder.int64s(pads)])]
}

function slicePads(site: GradientSite): readonly number[] | undefined {
  const shape = site.shape(site.input(0))
  const [starts, ends] = [site.numbers(1), site.numbers(2)]
  if (shape === null || starts === undefined || ends === undefined) return undefined
  const axes = site.given(3) ? site.numbers(3) : starts.map((_, index) => index)
  const steps = site.given(4) ? site.numbers(4) : starts.map(() => 1)
  if (axes === undefined || steps?.every((step) => step === 1) !== true) return undefined
  const pads = Array.from({ length: 2 * shape.length }, () => 0)
  for (const [index, given] of axes.entries()) {
    const axis = given < 0 ? given + shape.length : given
    const size = shape[axis]
    if (typeof size !== 'number') return undefined
    const clamp = (at: number): number => Math.min(Math.max(at < 0 ? at + size : at, 0), size)
    const [start, end] = [clamp(starts[index]!), clamp(ends[index]!)]
    pads[axis] = start
    pads[axis + shape.length] = size - Math.max(start, end)
  }
  return pads
}

const topK: GradientRule = (site) => {
  const zeros = site.zerosLike(site.input(0))
  const attributes = { axis: site.int('axis', -1), reduction: 'add' }
  return [site.op('ScatterElements', [zeros, site.needOutput(1), site.gradient], attributes)]
}

/** Zeros (or a constant) around are dropped; copies go back to what they are copies of. */
const pad: GradientRule = (site) => {
  const mode = site.text('mode', 'constant')
  const axes = site.input(3)
  if (mode !== 'constant') {
    return [scattered(site, (all) => site.op('Pad', [all, site.input(1), undefined, axes], { mode }))]
  }
  const back = site.numbers(1)
  const pads = back === undefined ? site.neg(site.input(1)) : site.builder.int64s(back.map((size) => -size))
  const inside = site.op('Pad', [site.gradient, pads, undefined, axes])
  if (!site.wants(2)) return [inside]
  // Not all less what is inside: that is rounding where little or nothing is outside.
  const ones = site.filled(site.floatType(site.input(0)), 1, site.shapeTensor(site.input(0)))
  const isOutside = site.sub(site.number(1), site.op('Pad', [ones, site.input(1), undefined, axes]))
  const outside = site.op('ReduceSum', [site.mul(site.gradient, isOutside)], { keepdims: 0 })
  return [inside, undefined, site.reshapeLike(outside, site.input(2))]
}

/** The second of two values where the class is, and the first elsewhere. */
const oneHot: GradientRule = (site) => {
  const values = site.input(2)
  const flags = site.builder.constant(site.floatType(values), [2], [0, 1])
  const there = site.op('OneHot', [site.input(0), site.input(1), flags], { axis: site.int('axis', -1) })
  const total = (value: string): string => site.reshape(site.op('ReduceSum', [value], { keepdims: 0 }), [1])
  const on = total(site.mul(site.gradient, there))
  const off = site.sub(total(site.gradient), on)
  return [undefined, undefined, site.op('Concat', [off, on], { axis: 0 })]
}

/** In equal shares to all that are alike. */
const unique: GradientRule = (site) => {
  const [x, axis] = [site.input(0), site.attribute('axis')]
  const [inverse, counts] = [site.needOutput(2), site.cast(site.needOutput(3), site.floatType(site.input(0)))]
  if (axis === undefined) {
    return [site.reshapeLike(site.op('Gather', [site.div(site.gradient, counts), inverse], { axis: 0 }), x)]
  }
  const rank = site.needRank(x)
  const along = site.axis(site.int('axis', 0), rank)
  const after = Array.from({ length: rank - along - 1 }, (_, at) => at + 1)
  const each = site.div(site.gradient, after.length === 0 ? counts : site.unsqueeze(counts, after))
  return [site.op('Gather', [each, inverse], { axis: along })]
}

/** start + n delta */
const range: GradientRule = (site) => {
  const { gradient } = site
  const places = site.cast(positions(site, site.output(0)), site.floatType(site.output(0)))
  const total = (value: string): string => site.op('ReduceSum', [value], { keepdims: 0 })
  return [
    site.wants(0) ? total(gradient) : undefined,
    undefined,
    site.wants(2) ? total(site.mul(gradient, places)) : undefined,
  ]
}

export const INDEXING: readonly RuleFamily[] = [
  { operators: 'Gather', rule: gather },
  { operators: 'GatherElements', rule: gatherElements },
  { operators: 'GatherND', rule: gatherNd },
  { operators: 'Compress', rule: compress },
  { operators: 'Slice', rule: slice },
  { operators: 'TopK', rule: topK },
  { operators: 'OneHot', rule: oneHot },
  { operators: 'Unique', rule: unique },
  { operators: 'Range', rule: range },
  { operators: 'Pad', rule: pad },
]
