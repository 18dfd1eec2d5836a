/** Operators that give the same elements another order or shape. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

const reshaped: GradientRule = (site) => [site.reshapeLike(site.gradient, site.input(0))]

const transpose: GradientRule = (site) => {
  const perm = site.ints('perm')
  if (perm === undefined) return [site.op('Transpose', [site.gradient])]
  const inverse = perm.map((_, axis) => perm.indexOf(axis))
  return [site.op('Transpose', [site.gradient], { perm: inverse })]
}

const expand: GradientRule = (site) => [site.reduceTo(site.gradient, site.shape(site.output(0)), site.input(0))]

/** Each size s repeated r times is a pair of dimensions (r, s), of which the first is summed. */
const tile: GradientRule = (site) => {
  const [x, repeats] = [site.input(0), site.input(1)]
  const rank = site.needRank(x)
  if (rank === 0) return [site.gradient]
  const column = site.builder.int64s([1])
  const pairs = [repeats, site.shapeTensor(x)].map((values) => site.op('Unsqueeze', [values, column]))
  const shape = site.reshape(site.op('Concat', pairs, { axis: 1 }), [-1])
  const split = site.op('Reshape', [site.gradient, shape], { allowzero: 1 })
  const axes = Array.from({ length: rank }, (_, axis) => 2 * axis)
  return [site.op('ReduceSum', [split, site.builder.int64s(axes)], { keepdims: 0 })]
}

/** The part of the gradient that belongs to each input. */
const concat: GradientRule = (site) => {
  const { inputs } = site.node
  const rank = site.rank(site.output(0)) ?? site.rank(inputs[0]!)
  const axis = rank === undefined ? site.int('axis', 0) : site.axis(site.int('axis', 0), rank)
  const sizes = inputs.map((name) => site.shape(name)?.at(axis))
  if (!sizes.every((size) => typeof size === 'number')) return splitAtRunTime(site, axis)
  let start = 0
  return inputs.map((_, index) => {
    const [from, to] = [start, (start += sizes[index]!)]
    return site.wants(index) ? site.slice(site.gradient, axis, from, to) : undefined
  })
}

function splitAtRunTime(site: GradientSite, axis: number): string[] {
  const { inputs } = site.node
  if (inputs.length === 1) return [site.gradient]
  const sizes = inputs.map((name) => site.op('Gather', [site.shapeTensor(name), site.builder.int64s([axis])]))
  const lengths = site.op('Concat', sizes, { axis: 0 })
  return site.builder.ops('Split', [site.gradient, lengths], inputs.length, { axis })
}

const split: GradientRule = (site) => {
  const parts = site.node.outputs.map(
    (name, index) => site.gradientOf(index) ?? site.zerosLike(site.needOutput(index) || name),
  )
  return [site.op('Concat', parts, { axis: site.int('axis', 0) })]
}

const trilu: GradientRule = (site) => [
  site.op('Trilu', [site.gradient, site.input(1)], { upper: site.int('upper', 1) }),
]

const depthToSpace: GradientRule = (site) => {
  const blocksize = site.int('blocksize', 1)
  if (site.text('mode', 'DCR') === 'DCR') return [site.op('SpaceToDepth', [site.gradient], { blocksize })]
  // [n, c, h, b, w, b] back to [n, c, b, b, h, w]
  const shape = site.shapeTensor(site.input(0))
  const pick = (axis: number): string => site.op('Gather', [shape, site.builder.int64s([axis])])
  const block = site.builder.int64s([blocksize])
  const split = [pick(0), site.builder.int64s([-1]), pick(2), block, pick(3), block]
  const six = site.op('Reshape', [site.gradient, site.op('Concat', split, { axis: 0 })])
  return [site.op('Reshape', [site.op('Transpose', [six], { perm: [0, 1, 3, 5, 2, 4] }), shape], { allowzero: 1 })]
}

const spaceToDepth: GradientRule = (site) => [
  site.op('DepthToSpace', [site.gradient], { blocksize: site.int('blocksize', 1), mode: 'DCR' }),
]

const reverseSequence: GradientRule = (site) => {
  const axes = { batch_axis: site.int('batch_axis', 1), time_axis: site.int('time_axis', 0) }
  return [site.op('ReverseSequence', [site.gradient, site.input(1)], axes)]
}

const cumulatedSum: GradientRule = (site) => {
  const reverse = 1 - site.int('reverse', 0)
  return [site.op('CumSum', [site.gradient, site.input(1)], { exclusive: site.int('exclusive', 0), reverse })]
}

export const SHAPING: readonly RuleFamily[] = [
  { operators: 'Reshape Flatten Squeeze Unsqueeze', rule: reshaped },
  { operators: 'Transpose', rule: transpose },
  { operators: 'Expand', rule: expand },
  { operators: 'Tile', rule: tile },
  { operators: 'Concat', rule: concat },
  { operators: 'Split', rule: split },
  { operators: 'Trilu', rule: trilu },
  { operators: 'DepthToSpace', rule: depthToSpace },
  { operators: 'SpaceToDepth', rule: spaceToDepth },
  { operators: 'ReverseSequence', rule: reverseSequence },
  { operators: 'CumSum', rule: cumulatedSum },
]
