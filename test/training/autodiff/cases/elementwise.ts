/** Functions of elements, products, reductions and normalizations, in sizes that are drawn. */
import { op } from '../../../onnx/shapes/support/graphs.ts'
import type { Node } from '../../../../src/onnx/index.ts'
import { numbers, one, real, wholes } from '../support/gradient-check.ts'
import type { Case, Draw, RuleCase } from '../support/gradient-check.ts'

type Input = Case['inputs'][string]

const single = { type: 'float32' } as const
const f32 = (given: Case): Case => ({ ...given, ...single })

const plain = (draw: Draw): Input => [draw.size(1, 4), draw.size(2, 5)]
/** Numbers between two bounds, evenly spread and out of order. */
const between =
  (low: number, high: number) =>
  (draw: Draw): Input => {
    const dims = [draw.size(1, 3), draw.size(2, 4)]
    const count = dims[0]! * dims[1]!
    const elements = Array.from({ length: count }, (_, at) => low + ((high - low) * ((at * 7) % count)) / count)
    return { dims, elements }
  }
const positive = between(0.3, 2.4)

const unary = (list: string, input: (draw: Draw) => Input, more: Partial<Case> = {}): RuleCase[] =>
  list.split(' ').map((operator) => [operator, (draw) => one(operator, { x: input(draw) }, {}, more)])

/** Three sizes, one of the middle, and axes that are an input. */
const reduced = (
  operator: string,
  make: (draw: Draw) => Input,
  axes: readonly number[],
  keepdims: number,
  more: Partial<Case> = {},
): RuleCase => [
  `${operator} over [${axes.join(', ')}]${keepdims === 0 ? ', without them' : ''}`,
  (draw) =>
    one(operator, { x: make(draw) }, { keepdims }, { ...more, others: { axes: wholes([axes.length], ...axes) } }),
]
const cube = (draw: Draw): Input => [draw.size(1, 3), draw.size(2, 4), draw.size(1, 3)]

export const ELEMENTWISE_CASES: readonly RuleCase[] = [
  ...unary('Identity Neg Abs Exp Sin Cos Tanh Sigmoid Relu Softplus', plain),
  ...unary('Erf Tan Atan Sinh Cosh Asinh Softsign Elu Selu HardSwish Mish LeakyRelu', plain, single),
  ...unary('Log Sqrt Reciprocal', positive),
  ...unary('Asin Acos Atanh', between(-0.85, 0.8), single),
  ...unary('Asin Acos Atanh', between(0.9, 0.9995), single),
  ...unary('Acosh', between(1.3, 3.1), single),
  ...unary('Acosh', between(1.005, 1.1), single),
  ['Gelu', (draw) => f32(one('Gelu', { x: plain(draw) }, {}, { opset: 20 }))],
  ['Gelu by tanh', (draw) => f32(one('Gelu', { x: plain(draw) }, { approximate: 'tanh' }, { opset: 20 }))],
  ['Celu', (draw) => f32(one('Celu', { x: plain(draw) }, { alpha: real(1.3) }))],
  ['HardSigmoid', (draw) => f32(one('HardSigmoid', { x: plain(draw) }, { alpha: real(0.9) }))],
  ['ThresholdedRelu', (draw) => f32(one('ThresholdedRelu', { x: plain(draw) }, { alpha: real(0.2) }))],
  ['Shrink', (draw) => f32(one('Shrink', { x: plain(draw) }, { lambd: real(0.3), bias: real(0.1) }))],
  ['Cast', (draw) => recast(draw, op('Cast', 'x', 'wide', { to: 11 }))],
  ['CastLike', (draw) => recast(draw, op('CastLike', 'x double', 'wide'))],
  ['Swish', (draw) => f32(one('Swish', { x: plain(draw) }, { alpha: real(1.3) }, { opset: 24 }))],
  ['Add', (draw) => two(draw, 'Add')],
  ['Sub', ({ size }) => one('Sub', { a: [size(1, 3), 1, size(1, 3)], b: [size(2, 4), 1] })],
  ['Mul', (draw) => one('Mul', { a: plain(draw), b: [] })],
  ['Div', ({ size }) => over(size(1, 3), size(2, 4))],
  ['Pow', ({ size }) => power(size(1, 3), size(2, 4))],
  ['Pow by 3', (draw) => one('Pow', { a: plain(draw) }, {}, { names: 'a n', others: { n: wholes([], 3) } })],
  [
    'Mod',
    () =>
      one(
        'Mod',
        { a: { dims: [3], elements: [5.3, -4.2, 2.9] }, b: { dims: [3], elements: [2, 3, -1.3] } },
        { fmod: 1 },
      ),
  ],
  ['Max', ({ size }) => stretched('Max', size(2, 4), size(2, 4))],
  ['Min', ({ size }) => stretched('Min', size(2, 4), size(2, 4))],
  ['Sum', ({ size }) => stretched('Sum', size(1, 4), size(1, 4))],
  ['Mean', ({ size }) => f32(stretched('Mean', size(1, 4), size(1, 4)))],
  ['PRelu', (draw) => two(draw, 'PRelu')],
  ['Where', ({ size }) => chosen(size(2, 4), size(2, 4))],
  [
    'Clip',
    (draw) => one('Clip', { x: plain(draw), low: { dims: [], elements: [-0.5] }, high: { dims: [], elements: [0.4] } }),
  ],
  ['the same input twice', (draw) => one('Mul', { a: plain(draw) }, {}, { names: 'a a' })],
  ['MatMul', ({ size }) => product([size(1, 4)], size(1, 5), [size(1, 4)])],
  ['MatMul of a batch by a matrix', ({ size }) => product([size(1, 3), size(1, 3)], size(1, 4), [size(1, 4)])],
  ['MatMul of stretched batches', ({ size }) => stretchedProduct(size(1, 3), size(2, 3), size(1, 4))],
  ['MatMul of a vector', ({ size }) => vectorBy(size(1, 4), [size(1, 3)], size(1, 3))],
  ['MatMul by a vector', ({ size }) => byVector([size(1, 3), size(1, 3)], size(1, 4))],
  ['MatMul of vectors', ({ size }) => byVector([], size(2, 5))],
  ['Gemm', ({ size }) => gemm(size(1, 4), size(1, 4), size(2, 4), {})],
  ['Gemm, transposed', ({ size }) => gemm(size(2, 4), size(1, 4), size(2, 4), { transA: 1, transB: 1 })],
  reduced('ReduceSum', cube, [0, -1], 0),
  reduced('ReduceMean', cube, [1], 1),
  reduced('ReduceMin', cube, [1], 1),
  reduced('ReduceProd', cube, [1], 1, single),
  reduced('ReduceL1', cube, [1], 1, single),
  reduced('ReduceL2', cube, [1, 2], 0, single),
  reduced('ReduceLogSum', positive, [1], 1),
  reduced('ReduceLogSumExp', cube, [1], 1),
  reduced('ReduceSumSquare', cube, [0, 1], 1),
  ['ReduceMax', (draw) => one('ReduceMax', { x: plain(draw) }, { keepdims: 0 })],
  ['Softmax', (draw) => one('Softmax', { x: cube(draw) }, { axis: 1 })],
  ['LogSoftmax', (draw) => one('LogSoftmax', { x: plain(draw) })],
  ['LayerNormalization', ({ size }) => layer([size(1, 3)], [size(2, 3), size(2, 4)])],
  ['LayerNormalization of one dimension', ({ size }) => f32(layer([size(1, 3)], [size(3, 6)]))],
  ['LayerNormalization of numbers that lie far from 0', ({ size }) => f32(far(size(1, 3), size(3, 6)))],
  ['LayerNormalization whose mean and deviation are used as well', ({ size }) => statistics(size(1, 3), size(3, 5))],
  [
    'LayerNormalization of which only the deviation is used',
    ({ size }) => ({
      ...sized(size(3, 5), size(1, 3)),
      nodes: [op('LayerNormalization', 'x s', 'n m i'), op('Identity', 'i', 'y')],
      ...single,
    }),
  ],
  ['CumSum', (draw) => one('CumSum', { x: plain(draw) }, { exclusive: 1 }, { others: { axis: wholes([], 1) } })],
]

/** To float64 and back. */
const recast = (draw: Draw, wide: Node): Case => ({
  ...single,
  inputs: { x: plain(draw) },
  others: { double: { type: 'float64', dims: [1], data: Float64Array.of(1) } },
  nodes: [wide, op('Cast', 'wide', 'y', { to: 1 })],
})
const two = (draw: Draw, operator: string): Case => {
  const columns = draw.size(2, 4)
  return one(operator, { a: [draw.size(1, 3), columns], b: [columns] })
}
const over = (rows: number, columns: number): Case => one('Div', { a: [rows, columns], b: [1, columns] })
const power = (rows: number, columns: number): Case => {
  const elements = numbers(rows * columns).map((number) => Math.abs(number) + 0.3)
  return one('Pow', { a: { dims: [rows, columns], elements }, b: [columns] })
}
const stretched = (operator: string, rows: number, columns: number): Case =>
  one(operator, { a: [rows, columns], b: [columns], c: [rows, 1] })
const chosen = (rows: number, columns: number): Case => ({
  inputs: { a: [rows, columns], b: [columns] },
  nodes: [op('Greater', 'a b', 'c'), op('Where', 'c a b', 'y')],
})
const product = (lead: readonly number[], inner: number, last: readonly number[]): Case =>
  one('MatMul', { a: [...lead, inner], b: [inner, ...last] })
const stretchedProduct = (rows: number, batch: number, inner: number): Case =>
  one('MatMul', { a: [2, 1, rows, inner], b: [batch, inner, 2] })
const vectorBy = (inner: number, batch: readonly number[], columns: number): Case =>
  one('MatMul', { a: [inner], b: [...batch, inner, columns] })
const byVector = (lead: readonly number[], inner: number): Case => one('MatMul', { a: [...lead, inner], b: [inner] })
const gemm = (m: number, k: number, n: number, turns: { readonly transA?: number; readonly transB?: number }): Case =>
  one(
    'Gemm',
    {
      a: turns.transA === 1 ? [k, m] : [m, k],
      b: turns.transB === 1 ? [n, k] : [k, n],
      c: turns.transA === 1 ? [m, 1] : [n],
    },
    { ...turns, alpha: real(0.5), beta: real(2) },
  )
const layer = (lead: readonly number[], normalized: readonly number[]): Case =>
  one('LayerNormalization', { x: [...lead, ...normalized], s: normalized, b: normalized }, { axis: 1 })
const far = (rows: number, columns: number): Case => {
  const elements = numbers(rows * columns).map((number) => number + 20)
  return one('LayerNormalization', { x: { dims: [rows, columns], elements }, s: [columns], b: [columns] })
}
const sized = (columns: number, rows: number): Pick<Case, 'inputs'> => ({
  inputs: { x: [rows, columns], s: [columns] },
})
const statistics = (rows: number, columns: number): Case => ({
  inputs: { x: [rows, 2, columns], s: [columns], b: [columns] },
  nodes: [op('LayerNormalization', 'x s b', 'n m i', { axis: 2 }), op('Add', 'n m', 'a'), op('Mul', 'a i', 'y')],
  ...single,
})
