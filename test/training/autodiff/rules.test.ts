/** Each rule against central differences: in float64 where the engine has the kernel, else in float32. */
import { describe, expect, test } from 'vitest'
import { op } from '../../onnx/shapes/support/graphs.ts'
import { check, one, real, wholes } from './support/gradient-check.ts'
import type { Case } from './support/gradient-check.ts'

const POSITIVE = { dims: [2, 3], elements: [0.3, 0.9, 1.4, 2.1, 0.5, 1.1] }
const INSIDE = { dims: [2, 3], elements: [-0.8, -0.3, 0.2, 0.5, 0.7, -0.6] }
const ABOVE_ONE = { dims: [2, 3], elements: [1.3, 1.9, 2.4, 3.1, 1.5, 2.2] }
const single = { type: 'float32' } as const
const f32 = (given: Case): Case => ({ ...given, ...single })

const unary = (list: string, input: Case['inputs'][string], more: Partial<Case> = {}): [string, Case][] =>
  list.split(' ').map((operator) => [operator, one(operator, { x: input }, {}, more)])

const CASES: readonly [string, Case][] = [
  ...unary('Identity Neg Abs Exp Sin Cos Tanh Sigmoid Relu Softplus', [2, 3]),
  ...unary('Erf Tan Atan Sinh Cosh Asinh Softsign Elu Selu HardSwish Mish LeakyRelu', [2, 3], single),
  ...unary('Log Sqrt Reciprocal', POSITIVE),
  ...unary('Asin Acos Atanh', INSIDE, single),
  ...unary('Acosh', ABOVE_ONE, single),
  ['Gelu', f32(one('Gelu', { x: [2, 3] }, {}, { opset: 20 }))],
  ['Gelu by tanh', f32(one('Gelu', { x: [2, 3] }, { approximate: 'tanh' }, { opset: 20 }))],
  ['Celu', f32(one('Celu', { x: [2, 3] }, { alpha: real(1.3) }))],
  ['HardSigmoid', f32(one('HardSigmoid', { x: [2, 3] }, { alpha: real(0.9) }))],
  ['ThresholdedRelu', f32(one('ThresholdedRelu', { x: [2, 3] }, { alpha: real(0.2) }))],
  ['Shrink', f32(one('Shrink', { x: [2, 3] }, { lambd: real(0.3), bias: real(0.1) }))],
  ['Cast', one('Cast', { x: [2, 3] }, { to: 11 })],
  ['Add', one('Add', { a: [2, 3], b: [3] })],
  ['Sub', one('Sub', { a: [2, 1, 3], b: [4, 1] })],
  ['Mul', one('Mul', { a: [2, 3], b: [] })],
  ['Div', one('Div', { a: [2, 3], b: [1, 3] })],
  ['Pow', one('Pow', { a: POSITIVE, b: [3] })],
  [
    'Mod',
    one('Mod', { a: { dims: [3], elements: [5.3, -4.2, 2.9] }, b: { dims: [3], elements: [2, 3, -1.3] } }, { fmod: 1 }),
  ],
  ['Max', one('Max', { a: [2, 3], b: [3], c: [2, 1] })],
  ['Min', one('Min', { a: [2, 3], b: [3] })],
  ['Sum', one('Sum', { a: [2, 3], b: [3], c: [] })],
  ['Mean', f32(one('Mean', { a: [2, 3], b: [3] }))],
  ['PRelu', one('PRelu', { a: [2, 3], b: [3] })],
  ['Clip', one('Clip', { x: [3, 3], low: { dims: [], elements: [-0.5] }, high: { dims: [], elements: [0.4] } })],
  ['the same input twice', one('Mul', { a: [2, 3] }, {}, { names: 'a a' })],
  ['MatMul', one('MatMul', { a: [2, 3], b: [3, 4] })],
  ['MatMul of a batch by a matrix', one('MatMul', { a: [2, 2, 3], b: [3, 4] })],
  ['MatMul of stretched batches', one('MatMul', { a: [2, 1, 2, 3], b: [3, 3, 2] })],
  ['MatMul of a vector', one('MatMul', { a: [3], b: [2, 3, 2] })],
  ['MatMul by a vector', one('MatMul', { a: [2, 2, 3], b: [3] })],
  ['MatMul of vectors', one('MatMul', { a: [3], b: [3] })],
  ['Gemm', one('Gemm', { a: [2, 3], b: [3, 4], c: [4] }, { alpha: real(0.5), beta: real(2) })],
  ['Gemm, transposed', one('Gemm', { a: [3, 2], b: [4, 3], c: [2, 1] }, { transA: 1, transB: 1 })],
  ['ReduceSum', one('ReduceSum', { x: [2, 3, 2] }, { keepdims: 0 }, { others: { axes: wholes([2], 0, -1) } })],
  ['ReduceMean', one('ReduceMean', { x: [2, 3, 2] }, {}, { others: { axes: wholes([1], 1) } })],
  ['ReduceMax', one('ReduceMax', { x: [2, 3] }, { keepdims: 0 })],
  ['ReduceMin', one('ReduceMin', { x: [2, 3] }, {}, { others: { axes: wholes([1], 1) } })],
  ['ReduceProd', f32(one('ReduceProd', { x: [2, 3] }, {}, { others: { axes: wholes([1], 1) } }))],
  ['ReduceL1', f32(one('ReduceL1', { x: [2, 3] }, {}, { others: { axes: wholes([1], 1) } }))],
  ['ReduceL2', f32(one('ReduceL2', { x: [2, 3] }, { keepdims: 0 }, { others: { axes: wholes([1], 1) } }))],
  ['ReduceLogSum', one('ReduceLogSum', { x: POSITIVE }, {}, { others: { axes: wholes([1], 1) } })],
  ['ReduceLogSumExp', one('ReduceLogSumExp', { x: [2, 3] }, {}, { others: { axes: wholes([1], 1) } })],
  ['ReduceSumSquare', one('ReduceSumSquare', { x: [2, 3] }, {}, { others: { axes: wholes([1], 1) } })],
  ['Softmax', one('Softmax', { x: [2, 3, 2] }, { axis: 1 })],
  ['LogSoftmax', one('LogSoftmax', { x: [2, 3] })],
  ['LayerNormalization', one('LayerNormalization', { x: [2, 2, 3], s: [2, 3], b: [2, 3] }, { axis: 1 })],
  ['LayerNormalization in float32', f32(one('LayerNormalization', { x: [2, 4], s: [4], b: [4] }))],
  [
    'LayerNormalization whose mean and deviation are used as well',
    {
      inputs: { x: [2, 2, 3], s: [3], b: [3] },
      nodes: [op('LayerNormalization', 'x s b', 'n m i', { axis: 1 }), op('Add', 'n m', 'a'), op('Mul', 'a i', 'y')],
      type: 'float32',
    },
  ],
  [
    'LayerNormalization of which only the deviation is used',
    {
      inputs: { x: [2, 4], s: [4] },
      nodes: [op('LayerNormalization', 'x s', 'n m i'), op('Identity', 'i', 'y')],
      type: 'float32',
    },
  ],
  ['CumSum', one('CumSum', { x: [2, 3] }, { exclusive: 1 }, { others: { axis: wholes([], 1) } })],
  ['Reshape', one('Reshape', { x: [2, 3] }, {}, { others: { shape: wholes([1], -1) } })],
  ['Transpose', one('Transpose', { x: [2, 3, 2] }, { perm: [2, 0, 1] })],
  ['Expand', one('Expand', { x: [3, 1] }, {}, { others: { shape: wholes([3], 2, 1, 2) } })],
  ['Tile', one('Tile', { x: [2, 3] }, {}, { others: { repeats: wholes([2], 2, 3) } })],
  ['Concat', one('Concat', { a: [2, 3], b: [2, 1] }, { axis: -1 })],
  ['Split', one('Split', { x: [2, 5] }, { axis: 1 }, { others: { sizes: wholes([2], 2, 3) }, outputs: 'y z' })],
  ['Trilu', one('Trilu', { x: [3, 3] }, { upper: 0 })],
  ['Slice', one('Slice', { x: [3, 4] }, {}, { others: { s: wholes([1], 1), e: wholes([1], 9), a: wholes([1], 1) } })],
  [
    'Slice backwards',
    one(
      'Slice',
      { x: [3, 4] },
      {},
      {
        others: { s: wholes([2], 9, 0), e: wholes([2], -9, 3), a: wholes([2], 1, 0), t: wholes([2], -2, 2) },
      },
    ),
  ],
  ['Gather', one('Gather', { x: [3, 4] }, { axis: 1 }, { others: { at: wholes([2, 2], 1, -1, 1, 0) } })],
  ['GatherElements', one('GatherElements', { x: [3, 2] }, {}, { others: { at: wholes([2, 2], 1, -1, 1, 0) } })],
  ['GatherND', one('GatherND', { x: [3, 2] }, {}, { others: { at: wholes([3, 1], 1, -1, 1) } })],
  [
    'ScatterElements',
    one('ScatterElements', { x: [3, 2], u: [1, 2] }, {}, { names: 'x at u', others: { at: wholes([1, 2], 1, -1) } }),
  ],
  [
    'ScatterND that adds',
    one(
      'ScatterND',
      { x: [3, 2], u: [2, 2] },
      { reduction: 'add' },
      { names: 'x at u', others: { at: wholes([2, 1], 1, 1) } },
    ),
  ],
  ['TopK', one('TopK', { x: [2, 4] }, {}, { others: { k: wholes([1], 2) }, outputs: 'y i' })],
  ['Pad', one('Pad', { x: [2, 3] }, {}, { others: { pads: wholes([4], 1, -1, 0, 2) } })],
  ['Pad by reflection', one('Pad', { x: [2, 3] }, { mode: 'reflect' }, { others: { pads: wholes([4], 0, 2, 1, 1) } })],
  ['DepthToSpace', f32(one('DepthToSpace', { x: [1, 4, 1, 2] }, { blocksize: 2, mode: 'CRD' }))],
  ['Einsum', one('Einsum', { a: [2, 3], b: [3, 2, 2] }, { equation: 'ij,jkk->ik' })],
  ['Einsum with an ellipsis', one('Einsum', { a: [2, 3], b: [2, 3] }, { equation: '...i,...i->...' })],
  [
    'Conv',
    f32(one('Conv', { x: [2, 4, 5, 6], w: [4, 2, 3, 2], b: [4] }, { group: 2, strides: [2, 1], pads: [1, 0, 2, 1] })),
  ],
  ['Conv of one dimension', f32(one('Conv', { x: [1, 2, 7], w: [3, 2, 3] }, { dilations: [2], pads: [2, 1] }))],
  [
    'ConvTranspose',
    f32(
      one(
        'ConvTranspose',
        { x: [1, 2, 3, 3], w: [2, 2, 3, 2] },
        { strides: [2, 2], output_padding: [1, 1], pads: [1, 0, 0, 1] },
      ),
    ),
  ],
  ['MaxPool', f32(one('MaxPool', { x: [1, 2, 5, 5] }, { kernel_shape: [3, 3], strides: [2, 1] }))],
  [
    'AveragePool',
    f32(one('AveragePool', { x: [1, 2, 5, 5] }, { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] })),
  ],
  ['GlobalAveragePool', f32(one('GlobalAveragePool', { x: [2, 2, 3, 2] }))],
  ['GlobalMaxPool', f32(one('GlobalMaxPool', { x: [2, 2, 3, 2] }))],
  [
    'Resize',
    f32(
      one(
        'Resize',
        { x: [1, 2, 3, 3] },
        { mode: 'linear' },
        { names: 'x _ _ sizes', others: { sizes: wholes([4], 1, 2, 5, 4) } },
      ),
    ),
  ],
]

/** Rules that ask for sizes. */
const OPEN =
  /^(?:Add|Mul|Clip|MatMul of|Reduce(?:Sum|Mean|Max)|Concat|Split|Slice|Gather|Pad|Expand|Einsum|Conv|AveragePool|Resize)/

describe('gradients are those of central differences', () => {
  test.each(CASES)('%s', async (_, given) => {
    const { worst } = await check(given)
    expect(worst).toBeLessThan(given.type === 'float32' ? 2e-3 : 1e-7)
  })

  test.each(CASES.filter(([name]) => OPEN.test(name)))(
    '%s, with sizes that are known only when it runs',
    async (_, given) => {
      const { worst } = await check({ ...given, open: true })
      expect(worst).toBeLessThan(given.type === 'float32' ? 2e-3 : 1e-7)
    },
  )
})

test.each<[string, Case, RegExp]>([
  [
    'an output that its rule does not know',
    {
      inputs: { x: [2, 4], s: [4] },
      nodes: [op('SimplifiedLayerNormalization', 'x s', 'n i', { axis: -1 }), op('Mul', 'n i', 'y')],
    },
    /output "i"/,
  ],
  [
    'a letter of Einsum that stands for two sizes',
    one('Einsum', { a: [1, 3], b: [2, 3] }, { equation: 'ij,ij->ij' }),
    /"i" of its equation/,
  ],
])('%s is refused, where a part of the gradient would be missing', async (_, given, words) => {
  const failure: unknown = await check({ ...given, type: 'float32' }).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'WEFT-INF-140', why: expect.stringMatching(words) })
})
