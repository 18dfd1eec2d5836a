/** Functions of one number by their definitions, and those of several that other cases are made with. */
import { combine, float, int, map, matmul, reshape, text, transpose } from './array.ts'
import type { Kernel, Numbers } from './array.ts'

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/**
 * erf by its series (Abramowitz and Stegun 7.1.5), which converges for all x; within 1e-13 for |x| < 4, where the cases
 * are.
 */
function erf(x: number): number {
  let [term, sum] = [x, x]
  for (let n = 1; n < 200; n++) {
    term *= -(x * x) / n
    sum += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * sum
}

const gelu = (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2))
const geluTanh = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))

type Scalar = (x: number, attribute: (name: string, otherwise: number) => number) => number

export const SCALARS: Readonly<Record<string, Scalar>> = {
  Identity: (x) => x,
  Erf: erf,
  Tan: Math.tan,
  Asin: Math.asin,
  Acos: Math.acos,
  Atan: Math.atan,
  Sinh: Math.sinh,
  Cosh: Math.cosh,
  Asinh: Math.asinh,
  Acosh: Math.acosh,
  Atanh: Math.atanh,
  Tanh: Math.tanh,
  Sigmoid: sigmoid,
  Relu: (x) => Math.max(x, 0),
  Softplus: (x) => Math.log1p(Math.exp(x)),
  Softsign: (x) => x / (1 + Math.abs(x)),
  LeakyRelu: (x, of) => (x < 0 ? of('alpha', 0.01) * x : x),
  Elu: (x, of) => (x < 0 ? of('alpha', 1) * Math.expm1(x) : x),
  Celu: (x, of) => Math.max(0, x) + Math.min(0, of('alpha', 1) * Math.expm1(x / of('alpha', 1))),
  Selu: (x, of) => of('gamma', 1.0507010221481323) * (x > 0 ? x : of('alpha', 1.6732631921768188) * Math.expm1(x)),
  HardSigmoid: (x, of) => Math.max(0, Math.min(1, of('alpha', 0.2) * x + of('beta', 0.5))),
  HardSwish: (x) => x * Math.max(0, Math.min(1, x / 6 + 0.5)),
  Mish: (x) => x * Math.tanh(Math.log1p(Math.exp(x))),
  Swish: (x, of) => x * sigmoid(of('alpha', 1) * x),
  Shrink: (x, of) => (Math.abs(x) <= of('lambd', 0.5) ? 0 : x - Math.sign(x) * of('bias', 0)),
  ThresholdedRelu: (x, of) => (x > of('alpha', 1) ? x : 0),
  'com.microsoft:QuickGelu': (x, of) => x * sigmoid(of('alpha', 1.702) * x),
}

const scalar =
  (apply: Scalar): Kernel =>
  ([x], node) => [map(x!, (number) => apply(number, (name, otherwise) => float(node, name, otherwise)))]

const folded =
  (by: (...numbers: readonly number[]) => number): Kernel =>
  (inputs) => [combine(inputs as readonly Numbers[], by)]

const add = (...all: readonly number[]): number => all.reduce((sum, number) => sum + number, 0)

/** Of x, with a bias where there is one. */
const biased =
  (apply: (x: number) => number): Kernel =>
  ([x, bias]) => [map(bias === undefined ? x! : combine([x!, bias], add), apply)]

const fusedMatMul: Kernel = ([a, b], node) => {
  const side = (value: Numbers, name: string): Numbers =>
    int(node, name, 0) === 1 ? transpose(value, lastSwapped(value.dims.length)) : value
  return [map(matmul(side(a!, 'transA'), side(b!, 'transB')), (x) => x * float(node, 'alpha', 1))]
}

/** A vector stands for one row on the left, for one column on the right. */
function product(a: Numbers, b: Numbers): Numbers {
  const [row, column] = [a.dims.length === 1, b.dims.length === 1]
  const left = row ? reshape(a, [1, ...a.dims]) : a
  const result = matmul(left, column ? reshape(b, [...b.dims, 1]) : b)
  const dims = column ? result.dims.slice(0, -1) : [...result.dims]
  return reshape(result, row ? dims.toSpliced(column ? -1 : -2, 1) : dims)
}

const lastSwapped = (rank: number): readonly number[] => [
  ...Array.from({ length: rank - 2 }, (_, axis) => axis),
  rank - 1,
  rank - 2,
]

const fusedGemm: Kernel = ([a, b, c], node) => {
  const side = (value: Numbers, name: string): Numbers => (int(node, name, 0) === 1 ? transpose(value, [1, 0]) : value)
  const product = map(matmul(side(a!, 'transA'), side(b!, 'transB')), (x) => x * float(node, 'alpha', 1))
  const total = c === undefined ? product : combine([product, c], (x, y) => x + float(node, 'beta', 1) * y)
  return [activated(total, text(node, 'activation', ''), float(node, 'activation_alpha', 0.01))]
}

export function activated(value: Numbers, name: string, alpha: number): Numbers {
  return name === '' ? value : map(value, (x) => SCALARS[name]!(x, (_, otherwise) => alpha || otherwise))
}

export const ELEMENTWISE: Readonly<Record<string, Kernel>> = {
  ...Object.fromEntries(Object.entries(SCALARS).map(([name, apply]) => [name, scalar(apply)])),
  Gelu: ([x], node) => [map(x!, text(node, 'approximate', 'none') === 'tanh' ? geluTanh : gelu)],
  Add: folded(add),
  Mul: folded((x, y) => x * y),
  Sub: folded((x, y) => x - y),
  Div: folded((x, y) => x / y),
  Mean: folded((...all) => add(...all) / all.length),
  PRelu: folded((x, slope) => (x < 0 ? x * slope : x)),
  Mod: folded((x, y) => x % y),
  Cast: ([x]) => [x!],
  CastLike: ([x]) => [x!],
  MatMul: ([a, b]) => [product(a!, b!)],
  'com.microsoft:Gelu': biased(gelu),
  'com.microsoft:BiasGelu': biased(gelu),
  'com.microsoft:FastGelu': biased(geluTanh),
  'com.microsoft:BiasAdd': folded(add),
  'com.microsoft:FusedMatMul': fusedMatMul,
  'com.microsoft:TransposeMatMul': fusedMatMul,
  'com.microsoft:FusedGemm': fusedGemm,
}
