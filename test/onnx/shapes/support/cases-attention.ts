/** Attention and the operators that ONNX Runtime adds. */
import { filled, float, int64, int64s, MICROSOFT, op, value } from './graphs.ts'
import { tensor } from '../../ir/support/build.ts'
import type { Cases } from './cases-plain.ts'
import type { Sizes } from './oracle.ts'

const SIZES: readonly Sizes[] = [
  { b: 2, s: 3, p: 5 },
  { b: 1, s: 4, p: 0 },
]
const q = value('q', ['b', 's', 32])
const past = (name: string, heads: number): ReturnType<typeof value> => value(name, ['b', heads, 'p', 16])

export const ATTENTION_CASES: Cases = {
  'Attention of opset 23, flat, with a past': {
    inputs: [q, value('k', ['b', 's', 32]), past('pk', 2), past('pv', 2)],
    nodes: [op('Attention', 'q k k _ pk pv', 'y nk nv', { q_num_heads: 2, kv_num_heads: 2 })],
    opset: 23,
    sizes: [
      { b: 2, s: 3, p: 5 },
      { b: 1, s: 4, p: 1 },
    ],
  },
  'Attention of opset 23 by heads': {
    inputs: [value('q', ['b', 4, 's', 16]), value('k', ['b', 2, 'p', 16]), value('v', ['b', 2, 'p', 8])],
    nodes: [op('Attention', 'q k v', 'y')],
    opset: 23,
    sizes: [
      { b: 2, s: 3, p: 5 },
      { b: 1, s: 4, p: 1 },
    ],
  },
  'RMSNormalization and RotaryEmbedding of opset 23': {
    inputs: [value('q', ['b', 2, 's', 16]), value('ids', ['b', 's'], 'int64')],
    nodes: [op('RMSNormalization', 'q w', 'a'), op('RotaryEmbedding', 'a cos cos ids', 'y')],
    constants: [filled('w', 'float32', [16], 1), filled('cos', 'float32', [8, 8])],
    elements: { ids: Array.from({ length: 6 }, (_, at) => at) },
    opset: 23,
    sizes: SIZES,
  },
}

export const MICROSOFT_CASES: Cases = {
  'activations and norms': {
    inputs: [q],
    nodes: [
      op('Gelu', 'q', 'a', {}, MICROSOFT),
      op('FastGelu', 'a', 'c', {}, MICROSOFT),
      op('BiasGelu', 'c w', 'd', {}, MICROSOFT),
      op('QuickGelu', 'd', 'e', { alpha: float(1) }, MICROSOFT),
      op('SkipLayerNormalization', 'e q w', 'f _ _ sum', {}, MICROSOFT),
      op('SkipSimplifiedLayerNormalization', 'f sum w', 'g', {}, MICROSOFT),
      op('SimplifiedLayerNormalization', 'g w', 'h'),
    ],
    constants: [filled('w', 'float32', [32], 1)],
    sizes: SIZES,
  },
  'MatMulNBits, DynamicQuantizeMatMul, MatMulIntegerToFloat, FusedMatMul': {
    inputs: [q],
    nodes: [
      op('MatMulNBits', 'q packed scales', 'a', { K: 32, N: 6, bits: 4, block_size: 32 }, MICROSOFT),
      op('DynamicQuantizeMatMul', 'q w s z', 'c', {}, MICROSOFT),
      op('DynamicQuantizeLinear', 'q', 'd ds dz'),
      op('MatMulIntegerToFloat', 'd w ds s dz z', 'e', {}, MICROSOFT),
      op('FusedMatMul', 'q q', 'f', { transB: 1, alpha: float(0.5) }, MICROSOFT),
    ],
    constants: [
      tensor('packed', 'uint8', [6, 1, 16], new Uint8Array(96)),
      filled('scales', 'float32', [6], 1),
      filled('w', 'uint8', [32, 5]),
      filled('s', 'float32', [], 1),
      filled('z', 'uint8', []),
    ],
    outputs: ['a', 'c', 'e', 'f'],
    sizes: SIZES,
  },
  'MultiHeadAttention with a past': {
    inputs: [q, past('pk', 2), past('pv', 2)],
    nodes: [op('MultiHeadAttention', 'q q q _ _ _ pk pv', 'y nk nv', { num_heads: 2 }, MICROSOFT)],
    sizes: [
      { b: 2, s: 3, p: 5 },
      { b: 1, s: 4, p: 1 },
    ],
  },
  'Attention with one matrix': {
    inputs: [q],
    nodes: [op('Attention', 'q w bias', 'y', { num_heads: 2 }, MICROSOFT)],
    constants: [filled('w', 'float32', [32, 96]), filled('bias', 'float32', [96])],
    sizes: SIZES,
  },
  'FusedConv, NhwcConv-free pools and QLinearAdd': {
    inputs: [value('x', ['b', 4, 's', 8]), value('u', ['b', 's', 4], 'uint8')],
    nodes: [
      op('FusedConv', 'x w', 'a', { activation: 'Relu', pads: [1, 1, 1, 1] }, MICROSOFT),
      op('QLinearAdd', 'u s z u s z s z', 'c', {}, MICROSOFT),
      op('QLinearMul', 'c s z row s z s z', 'd', {}, MICROSOFT),
    ],
    constants: [
      filled('w', 'float32', [6, 4, 3, 3]),
      filled('s', 'float32', [], 1),
      filled('z', 'uint8', []),
      filled('row', 'uint8', [4]),
    ],
    outputs: ['a', 'd'],
    sizes: SIZES,
  },
  EmbedLayerNormalization: {
    inputs: [value('ids', ['b', 's'], 'int32')],
    nodes: [op('EmbedLayerNormalization', 'ids _ words places _ w w', 'y mask', {}, MICROSOFT)],
    constants: [
      filled('words', 'float32', [10, 8]),
      filled('places', 'float32', [16, 8]),
      filled('w', 'float32', [8], 1),
    ],
    elements: { ids: Array.from({ length: 6 }, (_, at) => at) },
    sizes: SIZES,
  },
  'GroupQueryAttention, its total calculated from shapes': {
    inputs: [value('q', ['b', 's', 64]), value('k', ['b', 's', 32]), past('pk', 2), past('pv', 2)],
    nodes: [
      op('Shape', 'pk', 'ps'),
      op('Shape', 'q', 'qs'),
      op('Gather', 'ps two', 'p'),
      op('Gather', 'qs one', 's'),
      op('Add', 'p s', 'total64'),
      op('Cast', 'total64', 'total', { to: 6 }),
      op('Sub', 'total64 one', 'last64'),
      op('Cast', 'last64', 'last', { to: 6 }),
      op('Gather', 'qs zero', 'b'),
      op('Unsqueeze', 'b axis', 'rows'),
      op('Expand', 'last rows', 'lengths'),
      op('GroupQueryAttention', 'q k k pk pv lengths total', 'y nk nv', { num_heads: 4, kv_num_heads: 2 }, MICROSOFT),
    ],
    constants: [int64('zero', 0), int64('one', 1), int64('two', 2), int64s('axis', 0)],
    sizes: [
      { b: 1, s: 3, p: 0 },
      { b: 2, s: 1, p: 4 },
    ],
  },
  'quantized: QAttention, QGemm, QLinearConcat, QLinearGlobalAveragePool, QLinearConv with channels last': {
    inputs: [value('x', ['b', 's', 32], 'uint8'), value('i', ['b', 4, 'p', 6], 'uint8')],
    nodes: [
      op('QAttention', 'x w bias s s _ z z', 'a', { num_heads: 2 }, MICROSOFT),
      op('Reshape', 'x rows', 'r'),
      op('QGemm', 'r s z w s z', 'c', {}, MICROSOFT),
      op('QLinearConcat', 's z x s z x s z', 'd', { axis: 1 }, MICROSOFT),
      op('QLinearGlobalAveragePool', 'i s z s z', 'e', {}, MICROSOFT),
      op('Transpose', 'i', 'last', { perm: [0, 2, 3, 1] }),
      op('QLinearConv', 'last s z k s z s z', 'f', { channels_last: 1, pads: [1, 0, 1, 0] }, MICROSOFT),
      op('QLinearSigmoid', 'f s z s z', 'g', {}, MICROSOFT),
    ],
    constants: [
      filled('w', 'uint8', [32, 96]),
      filled('bias', 'float32', [96]),
      filled('s', 'float32', [], 1),
      filled('z', 'uint8', []),
      filled('k', 'uint8', [5, 4, 3, 3]),
      int64s('rows', -1, 32),
    ],
    outputs: ['a', 'c', 'd', 'e', 'g'],
    sizes: [
      { b: 2, s: 3, p: 5 },
      { b: 1, s: 4, p: 2 },
    ],
  },
  'FusedGemm, GatherBlockQuantized, DynamicQuantizeLSTM': {
    inputs: [value('x', ['s', 'b', 8]), value('ids', ['b', 's'], 'int64')],
    nodes: [
      op('Reshape', 'x rows', 'r'),
      op('FusedGemm', 'r m', 'a', { activation: 'Relu' }, MICROSOFT),
      op(
        'GatherBlockQuantized',
        'table ids scales',
        'c',
        { block_size: 16, gather_axis: 0, quantize_axis: 1 },
        MICROSOFT,
      ),
      op('DynamicQuantizeLSTM', 'x w rr _ _ _ _ _ ws wz rs rz', 'd e f', { hidden_size: 3 }, MICROSOFT),
    ],
    constants: [
      int64s('rows', -1, 8),
      filled('m', 'float32', [8, 5]),
      filled('table', 'uint8', [10, 16]),
      filled('scales', 'float32', [10, 2], 1),
      filled('w', 'uint8', [1, 8, 12]),
      filled('rr', 'uint8', [1, 3, 12]),
      filled('ws', 'float32', [1], 1),
      filled('wz', 'uint8', [1]),
      filled('rs', 'float32', [1], 1),
      filled('rz', 'uint8', [1]),
    ],
    outputs: ['a', 'c', 'd', 'e', 'f'],
    elements: { ids: Array.from({ length: 6 }, (_, at) => at) },
    sizes: [
      { b: 2, s: 3 },
      { b: 1, s: 4 },
    ],
  },
  'axes, hashes, distances, windows and regions': {
    inputs: [value('x', ['b', 's', 8]), value('m', ['s', 4]), value('image', ['b', 3, 6, 6])],
    nodes: [
      op('ExpandDims', 'x axis', 'a', {}, MICROSOFT),
      op('ExpandDims', 'x last', 'c', {}, MICROSOFT),
      op('CDist', 'm table', 'd', { metric: 'euclidean' }, MICROSOFT),
      op('UnfoldTensor', 'x', 'e', { dim: 2, size: 4, step: 2 }, MICROSOFT),
      op('CropAndResize', 'image regions which size', 'f', {}, MICROSOFT),
      op('SampleOp', 'f', 'g', {}, MICROSOFT),
      op('Cast', 'm', 'h', { to: 6 }),
      op('MurmurHash3', 'h', 'i', {}, MICROSOFT),
      op('MurmurHash3', 'h', 'j', { positive: 0 }, MICROSOFT),
    ],
    constants: [
      filled('axis', 'int32', [], 1),
      filled('last', 'int32', [], -1),
      filled('table', 'float32', [5, 4], 1),
      filled('regions', 'float32', [2, 4]),
      filled('which', 'int32', [2]),
      filled('size', 'int32', [2], 7),
    ],
    outputs: ['a', 'c', 'd', 'e', 'g', 'i', 'j'],
    sizes: [
      { b: 2, s: 3 },
      { b: 1, s: 4 },
    ],
  },
}
