/** Functions of one number, applied to each element. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

/** The factor by which the gradient is multiplied; `x` and `y` are input and output. */
type Derivative = (site: GradientSite, x: string, y: string) => string

function times(derivative: Derivative): GradientRule {
  return (site) => [site.mul(site.gradient, derivative(site, site.input(0), site.output(0)))]
}

const square = (site: GradientSite, x: string): string => site.mul(x, x)
const oneMinus = (site: GradientSite, x: string): string => site.sub(site.number(1), x)
const onePlus = (site: GradientSite, x: string): string => site.add(site.number(1), x)
/** (1 - x)(1 + x): 1 - x^2 would lose its digits near 1. */
const oneMinusSquare = (site: GradientSite, x: string): string => site.mul(oneMinus(site, x), onePlus(site, x))
const squareMinusOne = (site: GradientSite, x: string): string =>
  site.mul(site.sub(x, site.number(1)), onePlus(site, x))
const inverse = (site: GradientSite, x: string): string => site.op('Reciprocal', [x])
const inverseRoot = (site: GradientSite, x: string): string => inverse(site, site.op('Sqrt', [x]))
const isPositive = (site: GradientSite, x: string): string => site.op('Greater', [x, site.number(0)])

/** The gradient where a condition holds, else 0. */
function where(condition: (site: GradientSite, x: string, y: string) => string): GradientRule {
  return (site) => {
    const holds = condition(site, site.input(0), site.output(0))
    return [site.op('Where', [holds, site.gradient, site.number(0)])]
  }
}

/** d x sigmoid(a x) = sigmoid(a x) (1 + a x (1 - sigmoid(a x))) */
const swish: Derivative = (site, x) => {
  const alpha = site.float('alpha', 1)
  const scaled = alpha === 1 ? x : site.mul(x, site.number(alpha))
  const gate = site.op('Sigmoid', [scaled])
  return site.mul(gate, onePlus(site, site.mul(scaled, oneMinus(site, gate))))
}

const leaky: Derivative = (site, x) => {
  const slope = site.number(site.float('alpha', 0.01))
  return site.op('Where', [site.op('Less', [x, site.number(0)]), slope, site.number(1)])
}

/** alpha (exp(x) - 1) below 0: its derivative is y + alpha. */
const elu: Derivative = (site, x, y) => {
  const below = site.add(y, site.number(site.float('alpha', 1)))
  return site.op('Where', [isPositive(site, x), site.number(1), below])
}

/** Constants of the operator's definition. */
const selu: Derivative = (site, x, y) => {
  const [alpha, gamma] = [site.float('alpha', 1.6732632423543772), site.float('gamma', 1.0507009873554805)]
  const below = site.add(y, site.number(alpha * gamma))
  return site.op('Where', [isPositive(site, x), site.number(gamma), below])
}

const celu: Derivative = (site, x) => {
  const exponential = site.op('Exp', [site.div(x, site.number(site.float('alpha', 1)))])
  return site.op('Where', [isPositive(site, x), site.number(1), exponential])
}

const softsign: Derivative = (site, x) => inverse(site, square(site, onePlus(site, site.op('Abs', [x]))))

const hardSigmoid: Derivative = (site, _, y) => {
  const slope = site.number(site.float('alpha', 0.2))
  const inside = site.op('And', [isPositive(site, y), site.op('Less', [y, site.number(1)])])
  return site.op('Where', [inside, slope, site.number(0)])
}

/** x clip(x / 6 + 1 / 2, 0, 1) */
const hardSwish: Derivative = (site, x) => {
  const middle = site.add(site.div(x, site.number(3)), site.number(0.5))
  const low = site.op('LessOrEqual', [x, site.number(-3)])
  const high = site.op('GreaterOrEqual', [x, site.number(3)])
  return site.op('Where', [low, site.number(0), site.op('Where', [high, site.number(1), middle])])
}

/** x tanh(softplus(x)) */
const mish: Derivative = (site, x) => {
  const tanh = site.op('Tanh', [site.op('Softplus', [x])])
  const slope = site.mul(site.op('Sigmoid', [x]), oneMinus(site, square(site, tanh)))
  return site.add(tanh, site.mul(x, slope))
}

const TWO_OVER_ROOT_PI = 2 / Math.sqrt(Math.PI)
const erf: Derivative = (site, x) =>
  site.mul(site.number(TWO_OVER_ROOT_PI), site.op('Exp', [site.neg(square(site, x))]))

/** Exact: Phi(x) + x phi(x). */
const gelu: Derivative = (site, x) => {
  if (site.text('approximate', 'none') === 'tanh') return geluTanh(site, x)
  const root = site.op('Erf', [site.mul(x, site.number(Math.SQRT1_2))])
  const cumulated = site.mul(site.number(0.5), onePlus(site, root))
  const bell = site.op('Exp', [site.mul(square(site, x), site.number(-0.5))])
  return site.add(cumulated, site.mul(site.mul(x, bell), site.number(1 / Math.sqrt(2 * Math.PI))))
}

/** x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3) */
function geluTanh(site: GradientSite, x: string): string {
  const [root, cubic] = [Math.sqrt(2 / Math.PI), 0.044715]
  const squared = square(site, x)
  const inner = site.mul(site.mul(x, site.number(root)), onePlus(site, site.mul(squared, site.number(cubic))))
  const tanh = site.op('Tanh', [inner])
  const slope = site.mul(site.number(root), onePlus(site, site.mul(squared, site.number(3 * cubic))))
  const rising = site.mul(site.mul(x, oneMinus(site, square(site, tanh))), slope)
  return site.mul(site.number(0.5), site.add(onePlus(site, tanh), rising))
}

const shrink = where((site, x) => {
  const lambda = site.float('lambd', 0.5)
  return site.op('Or', [site.op('Less', [x, site.number(-lambda)]), site.op('Greater', [x, site.number(lambda)])])
})

const thresholded = where((site, x) => site.op('Greater', [x, site.number(site.float('alpha', 1))]))

const cast: GradientRule = (site) => [site.cast(site.gradient, site.floatType(site.input(0)))]

const CAST_LIKE: GradientRule = (site) => [site.cast(site.gradient, site.floatType(site.input(0))), undefined]

export const UNARY: readonly RuleFamily[] = [
  { operators: 'Identity', rule: (site) => [site.gradient] },
  { operators: 'Neg', rule: (site) => [site.neg(site.gradient)] },
  { operators: 'Cast', rule: cast },
  { operators: 'CastLike', rule: CAST_LIKE },
  { operators: 'Abs', rule: times((site, x) => site.op('Sign', [x])) },
  { operators: 'Relu', rule: where((site, _, y) => isPositive(site, y)) },
  { operators: 'Exp', rule: times((_site, _x, y) => y) },
  { operators: 'Log', rule: (site) => [site.div(site.gradient, site.input(0))] },
  {
    operators: 'Sqrt',
    rule: (site) => [site.div(site.mul(site.gradient, site.number(0.5)), site.output(0))],
  },
  { operators: 'Reciprocal', rule: times((site, _, y) => site.neg(square(site, y))) },
  { operators: 'Sin', rule: times((site, x) => site.op('Cos', [x])) },
  { operators: 'Cos', rule: times((site, x) => site.neg(site.op('Sin', [x]))) },
  { operators: 'Tan', rule: times((site, _, y) => onePlus(site, square(site, y))) },
  { operators: 'Asin', rule: times((site, x) => inverseRoot(site, oneMinusSquare(site, x))) },
  { operators: 'Acos', rule: times((site, x) => site.neg(inverseRoot(site, oneMinusSquare(site, x)))) },
  { operators: 'Atan', rule: times((site, x) => inverse(site, onePlus(site, square(site, x)))) },
  { operators: 'Sinh', rule: times((site, x) => site.op('Cosh', [x])) },
  { operators: 'Cosh', rule: times((site, x) => site.op('Sinh', [x])) },
  { operators: 'Asinh', rule: times((site, x) => inverseRoot(site, onePlus(site, square(site, x)))) },
  { operators: 'Acosh', rule: times((site, x) => inverseRoot(site, squareMinusOne(site, x))) },
  { operators: 'Atanh', rule: times((site, x) => inverse(site, oneMinusSquare(site, x))) },
  { operators: 'Tanh', rule: times((site, _, y) => oneMinus(site, square(site, y))) },
  { operators: 'Sigmoid', rule: times((site, _, y) => site.mul(y, oneMinus(site, y))) },
  { operators: 'Softplus', rule: times((site, x) => site.op('Sigmoid', [x])) },
  { operators: 'Softsign', rule: times(softsign) },
  { operators: 'Erf', rule: times(erf) },
  { operators: 'LeakyRelu', rule: times(leaky) },
  { operators: 'Elu', rule: times(elu) },
  { operators: 'Selu', rule: times(selu) },
  { operators: 'Celu', rule: times(celu) },
  { operators: 'HardSigmoid', rule: times(hardSigmoid) },
  { operators: 'HardSwish', rule: times(hardSwish) },
  { operators: 'Mish', rule: times(mish) },
  { operators: 'Gelu', rule: times(gelu) },
  { operators: 'Swish', rule: times(swish) },
  { operators: 'Shrink', rule: shrink },
  { operators: 'ThresholdedRelu', rule: thresholded },
]
