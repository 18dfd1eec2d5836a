/** Sums, means, extremes and norms over axes; the axes are an input that may be missing (all of them) or unknown. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

interface Reduced {
  readonly x: string
  /** The output and its gradient, each with a size of 1 where the axes were. */
  readonly y: () => string
  readonly gradient: string
}

/** Of one factor for each element, the gradient being stretched over it. */
function reduction(rule: (site: GradientSite, reduced: Reduced) => string): GradientRule {
  return (site) => {
    if (leavesAll(site)) return [rule(site, { x: site.input(0), y: () => site.output(0), gradient: site.gradient })]
    const keep = keptDimensions(site)
    return [rule(site, { x: site.input(0), y: () => keep(site.output(0)), gradient: keep(site.gradient) })]
  }
}

/** No axes at all, and that means none. */
function leavesAll(site: GradientSite): boolean {
  return site.int('noop_with_empty_axes', 0) === 1 && (!site.given(1) || site.numbers(1)?.length === 0)
}

function keptDimensions(site: GradientSite): (value: string) => string {
  if (site.int('keepdims', 1) === 1) return (value) => value
  const axes = site.given(1) ? site.numbers(1) : []
  if (axes !== undefined && axes.length > 0) {
    return (value) => site.op('Unsqueeze', [value, site.builder.int64s(axes)])
  }
  const rank = site.rank(site.input(0))
  if (axes !== undefined && rank !== undefined) {
    return (value) =>
      site.reshape(
        value,
        Array.from({ length: rank }, () => 1),
      )
  }
  const shape = keptShape(site)
  return (value) => site.op('Reshape', [value, shape], { allowzero: 1 })
}

/** The shape of the input with ones at axes that are known only when the graph runs. */
function keptShape(site: GradientSite): string {
  const shape = site.op('Shape', [site.input(0)])
  if (!site.given(1)) return site.op('Sign', [site.op('Add', [shape, site.builder.int64(1)])])
  const ones = site.filled('int64', 1, site.op('Shape', [site.input(1)]))
  return site.op('ScatterElements', [shape, site.input(1), ones], { axis: 0 })
}

function stretch(site: GradientSite, value: string): string {
  return site.op('Expand', [value, site.shapeTensor(site.input(0))])
}

/** How many elements make one, as a float scalar. */
function count(site: GradientSite): string {
  const [all, left] = [site.sizes(site.input(0)), site.sizes(site.output(0))]
  const product = (sizes: readonly number[]): number => sizes.reduce((total, size) => total * size, 1)
  if (all !== undefined && left !== undefined) return site.number(product(all) / product(left))
  const type = site.floatType(site.input(0))
  const [elements, results] = [site.input(0), site.output(0)].map((name) => site.cast(site.op('Size', [name]), type))
  return site.div(elements!, results!)
}

const extreme = reduction((site, { x, y, gradient }) => {
  const isResult = site.indicator(site.op('Equal', [x, y()]))
  const many = site.op('ReduceSum', [isResult, site.input(1)], { keepdims: 1, noop_with_empty_axes: noop(site) })
  return site.mul(isResult, site.div(gradient, many))
})

function noop(site: GradientSite): number {
  return site.int('noop_with_empty_axes', 0)
}

/** Also where some factors are 0: then only the only zero has a gradient, the product of the others. */
const product = reduction((site, { x, gradient }) => {
  const attributes = { keepdims: 1, noop_with_empty_axes: noop(site) }
  const isZero = site.op('Equal', [x, site.number(0)])
  const others = site.op('Where', [isZero, site.number(1), x])
  const whole = site.op('ReduceProd', [others, site.input(1)], attributes)
  const zeros = site.op('ReduceSum', [site.indicator(isZero), site.input(1)], attributes)
  const [none, one] = [0, 1].map((number) => site.indicator(site.op('Equal', [zeros, site.number(number)])))
  const factor = site.op('Where', [isZero, site.mul(one!, whole), site.mul(none!, site.div(whole, others))])
  return site.mul(gradient, factor)
})

/** The gradient of a norm is 0 where the norm is. */
const euclidean = reduction((site, { x, y, gradient }) => {
  const norm = y()
  const isZero = site.op('Equal', [norm, site.number(0)])
  const over = site.div(gradient, site.op('Where', [isZero, site.number(1), norm]))
  return site.mul(x, over)
})

export const REDUCTION: readonly RuleFamily[] = [
  { operators: 'ReduceSum', rule: reduction((site, { gradient }) => stretch(site, gradient)) },
  { operators: 'ReduceMean', rule: reduction((site, { gradient }) => stretch(site, site.div(gradient, count(site)))) },
  { operators: 'ReduceMax ReduceMin', rule: extreme },
  { operators: 'ReduceProd', rule: product },
  { operators: 'ReduceL1', rule: reduction((site, { x, gradient }) => site.mul(site.op('Sign', [x]), gradient)) },
  { operators: 'ReduceL2', rule: euclidean },
  {
    operators: 'ReduceSumSquare',
    rule: reduction((site, { x, gradient }) => site.mul(x, site.mul(gradient, site.number(2)))),
  },
  {
    operators: 'ReduceLogSum',
    rule: reduction((site, { y, gradient }) => stretch(site, site.div(gradient, site.op('Exp', [y()])))),
  },
  {
    operators: 'ReduceLogSumExp',
    rule: reduction((site, { x, y, gradient }) => site.mul(gradient, site.op('Exp', [site.sub(x, y())]))),
  },
]
