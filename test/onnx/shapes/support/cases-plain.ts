/** Operators with simple shapes. */
import { filled, int64, int64s, op, value } from './graphs.ts'
import type { Made } from './graphs.ts'
import { floats } from '../../ir/support/build.ts'
import type { Sizes } from './oracle.ts'

export interface Case extends Made {
  readonly sizes: readonly Sizes[]
  readonly elements?: Readonly<Record<string, readonly number[]>>
}

export type Cases = Readonly<Record<string, Case>>

const TWO: readonly Sizes[] = [
  { n: 2, m: 3 },
  { n: 5, m: 1 },
]
const x = value('x', ['n', 4, 'm'])

export const ELEMENT_CASES: Cases = {
  'Relu, Not, IsNaN, Cast': {
    inputs: [x],
    nodes: [op('Relu', 'x', 'a'), op('IsNaN', 'a', 'b'), op('Not', 'b', 'c'), op('Cast', 'c', 'd', { to: 7 })],
    sizes: TWO,
  },
  'Add, Where and Less stretched': {
    inputs: [x, value('y', [4, 1]), value('z', ['m'])],
    nodes: [
      op('Add', 'x y', 'a'),
      op('Add', 'y z', 'b'),
      op('Less', 'a b', 'c'),
      op('Where', 'c b x', 'd'),
      op('Max', 'd y z', 'e'),
      op('Pow', 'z x', 'f'),
    ],
    sizes: TWO,
  },
  'Clip, PRelu, Dropout, Identity, Trilu': {
    inputs: [x],
    nodes: [
      op('Clip', 'x low', 'a'),
      op('PRelu', 'a slope', 'b'),
      op('Dropout', 'b', 'c mask'),
      op('Identity', 'mask', 'd'),
      op('Trilu', 'c', 'e'),
    ],
    constants: [filled('low', 'float32', []), filled('slope', 'float32', [4, 1])],
    outputs: ['c', 'd', 'e'],
    sizes: TWO,
  },
  'Reduce by attribute': {
    inputs: [x],
    nodes: [
      op('ReduceMax', 'x', 'a', { axes: [-1] }),
      op('ReduceMean', 'x', 'b', { axes: [0, 2], keepdims: 0 }),
      op('ReduceL2', 'x', 'c', { keepdims: 0 }),
      op('ReduceProd', 'a', 'd'),
      op('ArgMax', 'x', 'e', { axis: 2, keepdims: 0 }),
    ],
    outputs: ['b', 'c', 'd', 'e'],
    opset: 12,
    sizes: TWO,
  },
  'Reduce by input': {
    inputs: [x],
    nodes: [
      op('ReduceSum', 'x axes', 'a'),
      op('ReduceMax', 'x axes', 'b', { keepdims: 0 }),
      op('ReduceMin', 'x', 'c', { noop_with_empty_axes: 1 }),
      op('ReduceSumSquare', 'x none', 'd'),
    ],
    constants: [int64s('axes', 1, -1), int64s('none')],
    outputs: ['a', 'b', 'c', 'd'],
    opset: 18,
    sizes: TWO,
  },
  normalizations: {
    inputs: [x],
    nodes: [
      op('LayerNormalization', 'x scale', 'a mean deviation', { axis: 1 }),
      op('BatchNormalization', 'a w w w w', 'b'),
      op('InstanceNormalization', 'b w w', 'c'),
      op('Softmax', 'c', 'd'),
      op('LpNormalization', 'd', 'e'),
    ],
    constants: [filled('scale', 'float32', [4, 1], 1), filled('w', 'float32', [4], 1)],
    outputs: ['e', 'mean'],
    sizes: TWO,
  },
  'LSTM both ways, GRU, RNN': {
    inputs: [value('x', ['m', 'n', 4])],
    nodes: [
      op('LSTM', 'x w2 r2', 'a b c', { hidden_size: 3, direction: 'bidirectional' }),
      op('GRU', 'x wg rg', 'd e', { hidden_size: 3 }),
      op('RNN', 'x wr rr', 'f g', { hidden_size: 3 }),
    ],
    constants: [
      filled('w2', 'float32', [2, 12, 4]),
      filled('r2', 'float32', [2, 12, 3]),
      filled('wg', 'float32', [1, 9, 4]),
      filled('rg', 'float32', [1, 9, 3]),
      filled('wr', 'float32', [1, 3, 4]),
      filled('rr', 'float32', [1, 3, 3]),
    ],
    outputs: ['a', 'b', 'c', 'd', 'e', 'f', 'g'],
    sizes: TWO,
  },
  quantization: {
    inputs: [x],
    nodes: [
      op('QuantizeLinear', 'x s z', 'a'),
      op('DequantizeLinear', 'a s z', 'b'),
      op('DynamicQuantizeLinear', 'b', 'c d e'),
      op('QuantizeLinear', 'b s', 'f'),
    ],
    constants: [filled('s', 'float32', [], 1), filled('z', 'int8', [])],
    outputs: ['b', 'c', 'd', 'e', 'f'],
    sizes: TWO,
  },
}

export const PRODUCT_CASES: Cases = {
  MatMul: {
    inputs: [value('a', ['n', 1, 'm', 4]), value('b', [3, 4, 5]), value('v', [4])],
    nodes: [op('MatMul', 'a b', 'c'), op('MatMul', 'v b', 'd'), op('MatMul', 'a v', 'e'), op('MatMul', 'v v', 'f')],
    outputs: ['c', 'd', 'e', 'f'],
    sizes: TWO,
  },
  Gemm: {
    inputs: [value('a', ['n', 4]), value('b', ['n', 'm'])],
    nodes: [op('Gemm', 'a b', 'c', { transA: 1 }), op('Gemm', 'c c', 'd', { transB: 1 })],
    outputs: ['c', 'd'],
    sizes: TWO,
  },
  'Einsum, with and without arrow, and with an ellipsis': {
    inputs: [value('a', ['n', 2, 'm', 4]), value('b', ['n', 2, 'm', 4])],
    nodes: [
      op('Einsum', 'a b', 'c', { equation: 'bhqd,bhkd->bhqk' }),
      op('Einsum', 'a', 'd', { equation: '...ij->...ji' }),
      op('Einsum', 'a b', 'e', { equation: 'abcd,abcd' }),
      op('Einsum', 'a', 'f', { equation: 'dcba' }),
    ],
    outputs: ['c', 'd', 'e', 'f'],
    sizes: TWO,
  },
  integers: {
    inputs: [value('a', ['n', 'm', 4], 'uint8')],
    nodes: [op('MatMulInteger', 'a b', 'c'), op('QLinearMatMul', 'a s z b s z s z', 'd')],
    constants: [filled('b', 'uint8', [4, 6]), filled('s', 'float32', [], 1), filled('z', 'uint8', [])],
    outputs: ['c', 'd'],
    sizes: TWO,
  },
}

export const SEQUENCE_CASES: Cases = {
  'SplitToSequence, SequenceAt, SequenceLength': {
    inputs: [x],
    nodes: [
      op('SplitToSequence', 'x', 's', { axis: 1 }),
      op('SequenceAt', 's i', 'a'),
      op('SequenceLength', 's', 'b'),
      op('SplitToSequence', 'x', 't', { axis: 1, keepdims: 0 }),
      op('SequenceAt', 't i', 'c'),
      op('SequenceConstruct', 'x x', 'u'),
      op('SequenceErase', 'u', 'v'),
      op('SequenceAt', 'v zero', 'd'),
    ],
    constants: [int64('i', 1), int64('zero', 0)],
    outputs: ['a', 'b', 'c', 'd'],
    sizes: TWO,
  },
  'DFT before opset 20': {
    inputs: [value('x', ['n', 'm', 1])],
    nodes: [op('DFT', 'x', 'a', { axis: 1, onesided: 1 }), op('DFT', 'x length', 'b', { axis: 1 })],
    constants: [int64('length', 8)],
    outputs: ['a', 'b'],
    sizes: [
      { n: 2, m: 8 },
      { n: 1, m: 5 },
    ],
  },
  'DFT since 20, STFT and windows': {
    inputs: [value('x', ['n', 'm', 1])],
    nodes: [
      op('DFT', 'x _ axis', 'a', { onesided: 1 }),
      op('HannWindow', 'frame', 'w'),
      op('STFT', 'x step w', 'b'),
      op('MelWeightMatrix', 'mels frame rate low high', 'c'),
    ],
    constants: [
      int64('axis', 1),
      int64('frame', 8),
      int64('step', 3),
      int64('mels', 6),
      int64('rate', 100),
      filled('low', 'float32', [], 1),
      filled('high', 'float32', [], 40),
    ],
    outputs: ['a', 'b', 'c'],
    opset: 20,
    sizes: [
      { n: 2, m: 16 },
      { n: 1, m: 9 },
    ],
  },
  'trees and linear models': {
    inputs: [value('x', ['n', 4])],
    nodes: [
      op('Normalizer', 'x', 'a', { norm: 'L2' }, 'ai.onnx.ml'),
      op('LinearRegressor', 'a', 'b', { coefficients: list(8), intercepts: list(2), targets: 2 }, 'ai.onnx.ml'),
      op(
        'LinearClassifier',
        'a',
        'c d',
        { coefficients: list(12), intercepts: list(3), classlabels_ints: [0, 1, 2] },
        'ai.onnx.ml',
      ),
    ],
    outputs: ['b', 'c', 'd'],
    sizes: TWO,
  },
  'Gather, GatherND, OneHot, TopK, CumSum': {
    inputs: [x, value('i', ['m', 2], 'int64')],
    nodes: [
      op('Gather', 'x i', 'a', { axis: 1 }),
      op('GatherElements', 'x j', 'b', { axis: 1 }),
      op('GatherND', 'x i', 'c'),
      op('OneHot', 'i depth values', 'd', { axis: 1 }),
      op('TopK', 'x two', 'e f', { axis: 1 }),
      op('CumSum', 'x one', 'g'),
      op('EyeLike', 'i', 'h', { dtype: 1 }),
    ],
    constants: [tensorOfIndices(), int64('depth', 5), floats('values', 0, 1), int64s('two', 2), int64('one', 1)],
    outputs: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'],
    elements: { i: [0, 1, 1, 0, 0, 0] },
    sizes: [
      { n: 2, m: 3 },
      { n: 3, m: 2 },
    ],
  },
}

function list(count: number): { kind: 'floats'; values: number[] } {
  return { kind: 'floats', values: Array.from({ length: count }, () => 0.5) }
}

function tensorOfIndices(): ReturnType<typeof filled> {
  return filled('j', 'int64', [2, 3, 1])
}
