/** Functions of two numbers and more, with inputs stretched to each other's shapes. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

/** The gradient of an input in the shape of the output, for each input that is wanted. */
export function stretched(parts: (site: GradientSite, index: number) => string): GradientRule {
  return (site) => {
    const shape = site.shape(site.output(0))
    return site.node.inputs.map((name, index) =>
      site.wants(index) ? site.reduceTo(parts(site, index), shape, name) : undefined,
    )
  }
}

const product = stretched((site, index) => site.mul(site.gradient, site.input(1 - index)))

const quotient = stretched((site, index) => {
  const [, divisor] = site.node.inputs
  const over = site.div(site.gradient, divisor!)
  return index === 0 ? over : site.neg(site.mul(over, site.output(0)))
})

/** y x^(y-1), and x^y ln x where x is not 0. */
const power = stretched((site, index) => {
  const [base, exponent] = [site.input(0), site.input(1)]
  if (index === 0) return site.mul(site.gradient, slopeOfPower(site, base, exponent))
  const isZero = site.op('Equal', [base, site.number(0)])
  const logarithm = site.op('Log', [site.op('Where', [isZero, site.number(1), base])])
  return site.cast(site.mul(site.gradient, site.mul(site.output(0), logarithm)), site.floatType(exponent))
})

function slopeOfPower(site: GradientSite, base: string, exponent: string): string {
  const known = site.numbers(1)
  if (known?.length === 1) {
    if (known[0] === 2) return site.mul(base, site.number(2))
    if (known[0] === 1) return site.number(1)
    if (known[0] === 0) return site.number(0)
    const lowered = site.op('Pow', [base, site.number(known[0]! - 1)])
    return site.mul(lowered, site.number(known[0]!))
  }
  const factor = site.cast(exponent, site.floatType(base))
  const slope = site.mul(factor, site.op('Pow', [base, site.sub(factor, site.number(1))]))
  // An exponent of 0 makes 0 times 0^-1.
  return site.op('Where', [site.op('Equal', [factor, site.number(0)]), site.number(0), slope])
}

/** With fmod = 1: x - y trunc(x / y). Without: x - y floor(x / y). */
const modulo = stretched((site, index) => {
  if (index === 0) return site.gradient
  const quotient = site.div(site.sub(site.input(0), site.output(0)), site.input(1))
  return site.neg(site.mul(site.gradient, site.op('Round', [quotient])))
})

/** Shared evenly among those that are as large as the result. */
const extreme = stretched((site, index) => {
  const { gradient } = site
  const isResult = (name: string): string => site.indicator(site.op('Equal', [name, site.output(0)]))
  const share = site.mul(gradient, isResult(site.input(index)))
  if (site.node.inputs.length === 1) return gradient
  return site.div(share, site.op('Sum', site.node.inputs.map(isResult)))
})

const mean = stretched((site) => site.div(site.gradient, site.number(site.node.inputs.length)))

const where: GradientRule = (site) => {
  const shape = site.shape(site.output(0))
  const condition = site.input(0)
  const part = (index: number, chosen: readonly string[]): string | undefined =>
    site.wants(index) ? site.reduceTo(site.op('Where', [condition, ...chosen]), shape, site.input(index)) : undefined
  const zero = site.number(0, site.output(0))
  return [undefined, part(1, [site.gradient, zero]), part(2, [zero, site.gradient])]
}

/** Within the bounds, both of them included, the gradient goes to the value; beyond, to the bound. */
const clip: GradientRule = (site) => {
  const [x, low, high] = [site.input(0), site.input(1), site.input(2)]
  const zero = site.number(0)
  const below = low === '' ? undefined : site.op('Less', [x, low])
  const above = high === '' ? undefined : site.op('Greater', [x, high])
  const kept = [below, above].reduce<string>(
    (gradient, outside) => (outside === undefined ? gradient : site.op('Where', [outside, zero, gradient])),
    site.gradient,
  )
  const total = (outside: string | undefined): string => {
    const share = site.op('Where', [outside, site.gradient, zero])
    return site.op('ReduceSum', [share], { keepdims: 0 })
  }
  const bound = (index: number, outside: string | undefined): string | undefined =>
    site.wants(index) ? site.reshapeLike(total(outside), site.input(index)) : undefined
  return [kept, bound(1, below), bound(2, above)]
}

const prelu: GradientRule = (site) => {
  const [x, slope] = [site.input(0), site.input(1)]
  const isNegative = site.op('Less', [x, site.number(0)])
  const { gradient } = site
  const toSlope = (): string =>
    site.reduceTo(site.op('Where', [isNegative, site.mul(gradient, x), site.number(0)]), site.shape(x), slope)
  return [
    site.wants(0) ? site.op('Where', [isNegative, site.mul(gradient, slope), gradient]) : undefined,
    site.wants(1) ? toSlope() : undefined,
  ]
}

export const ARITHMETIC: readonly RuleFamily[] = [
  { operators: 'Add Sum', rule: stretched((site) => site.gradient) },
  { operators: 'Sub', rule: stretched((site, index) => (index === 0 ? site.gradient : site.neg(site.gradient))) },
  { operators: 'Mul', rule: product },
  { operators: 'Div', rule: quotient },
  { operators: 'Pow', rule: power },
  { operators: 'Mod', rule: modulo },
  { operators: 'Max Min', rule: extreme },
  { operators: 'Mean', rule: mean },
  { operators: 'Where', rule: where },
  { operators: 'Clip', rule: clip },
  { operators: 'PRelu', rule: prelu },
]
