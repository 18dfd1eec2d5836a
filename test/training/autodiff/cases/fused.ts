/** Fused, composed and recurrent operators in sizes that are drawn: what they are written out as. */
import { float as real, op } from '../../../onnx/shapes/support/graphs.ts'
import type { Attributes } from '../../../onnx/shapes/support/graphs.ts'
import type { Tensor } from '../../../../src/onnx/index.ts'
import { one, wholes } from '../support/gradient-check.ts'
import type { Case, RuleCase } from '../support/gradient-check.ts'

const MICROSOFT = 'com.microsoft'
const single = { type: 'float32' } as const
type Inputs = Case['inputs']
type More = Parameters<typeof one>[3]
const ms = (operator: string, inputs: Inputs, attributes: Attributes = {}, more: More = {}): Case =>
  one(operator, inputs, attributes, { ...single, domain: MICROSOFT, ...more })
const f32 = (operator: string, inputs: Inputs, attributes: Attributes = {}, more: More = {}): Case =>
  one(operator, inputs, attributes, { ...single, ...more })

const sizeOf = (dims: readonly number[]): number => dims.reduce((product, size) => product * size, 1)
const int32s = (dims: readonly number[], ...values: readonly number[]): Tensor => ({
  type: 'int32',
  dims,
  data: Int32Array.from(values),
})
const bytes = (dims: readonly number[], fill: (index: number) => number): Tensor => ({
  type: 'uint8',
  dims,
  data: Uint8Array.from({ length: sizeOf(dims) }, (_, index) => fill(index)),
})
const floats = (dims: readonly number[], fill: (index: number) => number): Tensor => ({
  type: 'float32',
  dims,
  data: Float32Array.from({ length: sizeOf(dims) }, (_, index) => fill(index)),
})
const scales = (count: number): Inputs[string] => ({
  dims: [count],
  elements: Array.from({ length: count }, (_, index) => 0.01 * (index + 1)),
})
const positive = (count: number): Inputs[string] => ({
  dims: [count],
  elements: Array.from({ length: count }, (_, index) => 0.5 + 0.4 * index),
})

const cosines = floats([8, 8], (index) => Math.cos((index >> 3) / (1 + (index % 8))))
const sines = floats([8, 8], (index) => Math.sin((index >> 3) / (1 + (index % 8))))

export const FUSED_CASES: readonly RuleCase[] = [
  ['FusedMatMul', ({ size }) => products('FusedMatMul', size(1, 3), size(2, 3), size(2, 4))],
  ['TransposeMatMul', ({ size }) => products('TransposeMatMul', size(1, 3), size(2, 3), size(2, 4))],
  ['FusedGemm', ({ size }) => fusedGemm(size(1, 3), size(2, 3), size(2, 4))],
  ['Gelu of the engine', ({ size }) => ms('Gelu', { x: [size(1, 3), size(2, 4)] })],
  ['BiasGelu', ({ size }) => withBias('BiasGelu', size(1, 3), size(2, 4))],
  ['FastGelu', ({ size }) => withBias('FastGelu', size(1, 3), size(2, 4))],
  ['QuickGelu', ({ size }) => ms('QuickGelu', { x: [size(1, 3), size(2, 4)] })],
  ['BiasAdd', ({ size }) => biasAdd(size(1, 3), size(2, 4))],
  [
    'FusedConv',
    ({ size }) =>
      ms('FusedConv', { x: [1, 2, size(3, 5), size(3, 5)], w: [2, 2, 3, 3], b: [2] }, { activation: 'Relu' }),
  ],
  ['SkipLayerNormalization', ({ size }) => skip('SkipLayerNormalization', size(1, 3), size(3, 6), true)],
  [
    'SkipSimplifiedLayerNormalization',
    ({ size }) => skip('SkipSimplifiedLayerNormalization', size(1, 3), size(3, 6), false),
  ],
  ['SkipLayerNormalization with all that it gives', ({ size }) => skipAll('SkipLayerNormalization', size(3, 6), true)],
  [
    'SkipSimplifiedLayerNormalization with all that it gives',
    ({ size }) => skipAll('SkipSimplifiedLayerNormalization', size(3, 6), false),
  ],
  [
    'SimplifiedLayerNormalization',
    ({ size }) => rootMeanSquare('SimplifiedLayerNormalization', size(1, 3), size(3, 6), 18),
  ],
  ['RMSNormalization', ({ size }) => rootMeanSquare('RMSNormalization', size(1, 3), size(3, 6), 23)],
  ['EmbedLayerNormalization', ({ size }) => embedding(size(2, 4), size(3, 6))],
  ['EmbedLayerNormalization with places and a mask', ({ size }) => placedEmbedding(size(3, 6))],
  ['BatchNormalization', ({ size }) => batch(size(2, 3), size(2, 4), {})],
  ['BatchNormalization that trains', ({ size }) => batch(size(2, 3), size(2, 4), { training_mode: 1 })],
  ['InstanceNormalization', ({ size }) => f32('InstanceNormalization', { x: [2, 2, size(3, 6)], s: [2], b: [2] })],
  [
    'GroupNormalization',
    ({ size }) =>
      f32('GroupNormalization', { x: [2, 4, size(2, 5)], s: [4], b: [4] }, { num_groups: 2 }, { opset: 21 }),
  ],
  ['LpNormalization', ({ size }) => one('LpNormalization', { x: [size(1, 3), size(2, 4)] }, { p: 2 })],
  ['LRN', ({ size }) => f32('LRN', { x: [1, size(3, 5), 2, size(1, 3)] }, { size: 3, alpha: real(0.3) })],
  ['MeanVarianceNormalization', ({ size }) => f32('MeanVarianceNormalization', { x: [2, 2, size(2, 3), 2] })],
  [
    'SoftmaxCrossEntropyLoss',
    () =>
      one(
        'SoftmaxCrossEntropyLoss',
        { x: [3, 4], w: { dims: [4], elements: [1, 2, 0.5, 1.5] } },
        { ignore_index: 2 },
        {
          names: 'x at w',
          others: { at: wholes([3], 1, 2, 3) },
        },
      ),
  ],
  [
    'NegativeLogLikelihoodLoss',
    () =>
      one(
        'NegativeLogLikelihoodLoss',
        { x: [2, 3, 2] },
        { reduction: 'sum' },
        { others: { at: wholes([2, 2], 1, 2, 0, 1) } },
      ),
  ],
  ['LSTM with peepholes and lengths', ({ size }) => lstm(size(1, 3), size(2, 3))],
  ['LSTM that bounds its gates, not its cell', ({ size }) => lstm(size(1, 3), size(2, 3), { clip: real(0.4) })],
  ['GRU both ways', ({ size }) => gru(size(1, 3), size(2, 3), { direction: 'bidirectional' })],
  ['GRU, reset after', ({ size }) => gru(size(1, 3), size(2, 3), { linear_before_reset: 1 })],
  ['RNN backwards', ({ size }) => rnn(size(1, 3), size(2, 3))],
]

const products = (operator: string, m: number, k: number, n: number): Case =>
  ms(operator, { a: [k, m], b: [n, k] }, { transA: 1, transB: 1, alpha: real(0.5) })
const fusedGemm = (m: number, k: number, n: number): Case =>
  ms(
    'FusedGemm',
    { a: [m, k], b: [k, n], c: [n] },
    { activation: 'LeakyRelu', activation_alpha: real(0.3), alpha: real(0.5) },
  )
const withBias = (operator: string, rows: number, columns: number): Case =>
  ms(operator, { x: [rows, columns], b: [columns] })
const biasAdd = (rows: number, columns: number): Case =>
  ms('BiasAdd', { x: [1, rows, columns], b: [columns], s: [1, rows, columns] }, {}, { hasKernel: false })
const skip = (operator: string, rows: number, width: number, isCentred: boolean): Case => {
  const inputs = { x: [1, rows, width], s: [1, rows, width], g: [width] }
  return isCentred
    ? ms(operator, { ...inputs, b: [width] }, { epsilon: real(1e-5) })
    : ms(operator, inputs, { epsilon: real(1e-5) })
}
/** Mean and deviation are outputs that the engine's own kernels leave empty. */
const skipAll = (operator: string, width: number, isCentred: boolean): Case => ({
  ...skip(operator, 2, width, isCentred),
  hasKernel: false,
  nodes: [
    op(operator, isCentred ? 'x s g b' : 'x s g', 'n m i t', { epsilon: real(1e-5) }, MICROSOFT),
    op('Mul', 'n i', 'p'),
    op('Add', isCentred ? 'p m' : 'p p', 'q'),
    op('Add', 'q t', 'y'),
  ],
})
const rootMeanSquare = (operator: string, rows: number, width: number, opset: number): Case =>
  f32(operator, { x: [rows, width], g: [width] }, {}, { opset })
const embedding = (length: number, width: number): Case =>
  ms(
    'EmbedLayerNormalization',
    { words: [5, width], places: [4, width], kinds: [2, width], g: [width], b: [width] },
    {},
    {
      names: 'ids segments words places kinds g b',
      outputs: 'y m',
      others: {
        ids: int32s([2, length], ...Array.from({ length: 2 * length }, (_, at) => (at * 3) % 5)),
        segments: int32s([2, length], ...Array.from({ length: 2 * length }, (_, at) => at % 2)),
      },
    },
  )
const placedEmbedding = (width: number): Case =>
  ms(
    'EmbedLayerNormalization',
    { words: [5, width], places: [4, width], g: [width], b: [width] },
    { epsilon: real(1e-5) },
    {
      names: 'ids _ words places _ g b mask at',
      outputs: 'n m s',
      others: { ids: int32s([2, 2], 4, 1, 1, 0), mask: int32s([2, 2], 1, 1, 1, 0), at: int32s([1, 2], 2, 0) },
    },
  )
const batch = (rows: number, width: number, attributes: Attributes): Case => {
  const inputs = { x: [rows, 3, width], s: [3], b: [3] }
  const outputs = 'training_mode' in attributes ? 'y rm rv' : 'y'
  if (outputs === 'y') return f32('BatchNormalization', { ...inputs, m: [3], v: positive(3) })
  const others = { m: floats([3], (at) => at), v: floats([3], () => 1) }
  return f32('BatchNormalization', inputs, attributes, { others, outputs })
}
const lstm = (inputs: number, hidden: number, attributes: Attributes = {}): Case =>
  f32(
    'LSTM',
    {
      x: [3, 2, inputs],
      w: [1, 4 * hidden, inputs],
      r: [1, 4 * hidden, hidden],
      b: [1, 8 * hidden],
      h: [1, 2, hidden],
      c: [1, 2, hidden],
      p: [1, 3 * hidden],
    },
    { hidden_size: hidden, ...attributes },
    { names: 'x w r b n h c p', others: { n: int32s([2], 3, 2) } },
  )
const gru = (inputs: number, hidden: number, attributes: Attributes): Case => {
  const ways = attributes['direction'] === 'bidirectional' ? 2 : 1
  return f32(
    'GRU',
    { x: [3, 1, inputs], w: [ways, 3 * hidden, inputs], r: [ways, 3 * hidden, hidden], b: [ways, 6 * hidden] },
    { hidden_size: hidden, ...attributes },
  )
}
const rnn = (inputs: number, hidden: number): Case =>
  f32(
    'RNN',
    { x: [3, 1, inputs], w: [1, hidden, inputs], r: [1, hidden, hidden] },
    { hidden_size: hidden, direction: 'reverse' },
  )

export const ATTENTION_CASES: readonly RuleCase[] = [
  [
    'RotaryEmbedding of the engine',
    ({ size }) =>
      ms(
        'RotaryEmbedding',
        { x: [1, 3, 16 * size(1, 2)] },
        { interleaved: 1 },
        { others: { at: wholes([1, 3], 2, 0, 1), cos: cosines, sin: sines } },
      ),
  ],
  [
    'RotaryEmbedding of set 23',
    ({ size }) =>
      f32(
        'RotaryEmbedding',
        { x: [1, size(1, 2), 3, 16] },
        {},
        { opset: 23, names: 'x cos sin at', others: { cos: cosines, sin: sines, at: wholes([1, 3], 2, 0, 1) } },
      ),
  ],
  ['GroupQueryAttention', ({ size }) => grouped(size(2, 3))],
  ['GroupQueryAttention, packed', ({ size }) => packedGroups(size(2, 4))],
  ['MultiHeadAttention', ({ size }) => multiHead(size(2, 3), size(2, 4))],
  ['MultiHeadAttention of packed queries, keys and values', ({ size }) => packed(size(2, 4))],
  ['MultiHeadAttention of packed keys and values', ({ size }) => packedKeys(size(2, 3), size(2, 4))],
  [
    'Attention with its projection',
    ({ size }) => ms('Attention', { x: [1, size(2, 4), 4], w: [4, 12], b: [12] }, { num_heads: 2, unidirectional: 1 }),
  ],
  ['Attention with its projection and a past', ({ size }) => withPast(size(1, 3), size(1, 3))],
  ['Attention of set 23', ({ size }) => standard(size(2, 4))],
  ['MatMulNBits', ({ size }) => bits({ k: 32, n: size(1, 3), bits: 4 }, {})],
  ['MatMulNBits with zero points', ({ size }) => bits({ k: 48, n: size(1, 3), bits: 4 }, { zeros: true })],
  [
    'MatMulNBits with a last block that is not full',
    ({ size }) => bits({ k: 40, n: size(1, 3), bits: 4 }, { zeros: true }),
  ],
  ['MatMulNBits with a bias', ({ size }) => bits({ k: 32, n: size(1, 3), bits: 4 }, { bias: true })],
  ['MatMulNBits of eight bits', ({ size }) => bits({ k: 32, n: size(1, 3), bits: 8 }, {})],
  [
    'MatMulNBits with zero points of floating point',
    ({ size }) => bits({ k: 32, n: size(1, 3), bits: 4 }, { real: true }),
  ],
  ['DequantizeLinear', ({ size }) => dequantized([size(1, 3), size(2, 4)], 0, {})],
  ['DequantizeLinear by channel', ({ size }) => dequantized([size(2, 3), size(2, 4), 2], 1, { axis: 1 })],
  ['DequantizeLinear by block', ({ size }) => dequantized([size(1, 3), size(5, 9)], 2, { axis: 1, block_size: 3 })],
]

const grouped = (length: number): Case =>
  ms(
    'GroupQueryAttention',
    { q: [1, length, 32], k: [1, length, 16], v: [1, length, 16] },
    { num_heads: 2, kv_num_heads: 1, do_rotary: 1 },
    {
      names: 'q k v _ _ seqlens total cos sin',
      outputs: 'y pk pv',
      others: { seqlens: int32s([1], length - 1), total: int32s([1], length), cos: cosines, sin: sines },
    },
  )
const packedGroups = (length: number): Case =>
  ms(
    'GroupQueryAttention',
    { q: [1, length, 32] },
    { num_heads: 2, kv_num_heads: 1, softcap: real(5) },
    {
      names: 'q _ _ _ _ seqlens total',
      outputs: 'y pk pv',
      others: { seqlens: int32s([1], length - 1), total: int32s([1], length) },
    },
  )
const multiHead = (length: number, keys: number): Case =>
  ms('MultiHeadAttention', { q: [2, length, 8], k: [2, keys, 8], v: [2, keys, 8], b: [24] }, { num_heads: 2 })
const packed = (length: number): Case =>
  ms(
    'MultiHeadAttention',
    { q: [2, length, 2, 3, 4], b: [24] },
    { num_heads: 2, unidirectional: 1 },
    { names: 'q _ _ b', hasKernel: false },
  )
const packedKeys = (length: number, keys: number): Case =>
  ms('MultiHeadAttention', { q: [2, length, 8], k: [2, keys, 2, 2, 4] }, { num_heads: 2 }, { hasKernel: false })
const withPast = (length: number, past: number): Case =>
  ms(
    'Attention',
    { x: [1, length, 4], w: [4, 12], b: [12], p: [2, 1, 2, past, 2] },
    { num_heads: 2, unidirectional: 1 },
    {
      names: 'x w b _ p',
      outputs: 'y present',
    },
  )
const standard = (length: number): Case =>
  f32(
    'Attention',
    { q: [1, 2, length, 4], k: [1, 1, length, 4], v: [1, 1, length, 4] },
    { is_causal: 1 },
    { opset: 23 },
  )

function bits(
  form: { readonly k: number; readonly n: number; readonly bits: number },
  more: { readonly zeros?: boolean; readonly real?: boolean; readonly bias?: boolean },
): Case {
  const block = 16
  const blocks = Math.ceil(form.k / block)
  const q = bytes([form.n, blocks, (block * form.bits) / 8], (index) => (index * 37) % 256)
  const z = bytes([form.n * Math.ceil(blocks / 2)], (index) => (index * 41) % 256)
  return ms(
    'MatMulNBits',
    {
      x: [2, form.k],
      s: scales(form.n * blocks),
      ...(more.real === true
        ? {
            f: {
              dims: [form.n * blocks],
              elements: Array.from({ length: form.n * blocks }, (_, at) => 6.5 + 0.3 * at),
            },
          }
        : {}),
      ...(more.bias === true ? { b: [form.n] } : {}),
    },
    { K: form.k, N: form.n, bits: form.bits, block_size: block },
    {
      names: `x q s ${more.zeros === true ? 'z' : more.real === true ? 'f' : '_'} _ ${more.bias === true ? 'b' : '_'}`,
      others: more.zeros === true ? { q, z } : { q },
    },
  )
}

/** @param rank of the scales: one number, one a channel, one a block of the last axis */
function dequantized(dims: readonly number[], rank: number, attributes: Attributes): Case {
  const x: Tensor = {
    type: 'int8',
    dims,
    data: Int8Array.from({ length: sizeOf(dims) }, (_, index) => ((index * 37) % 200) - 100),
  }
  const shape = rank === 0 ? [] : rank === 1 ? [dims[1]!] : [dims[0]!, Math.ceil(dims[1]! / 3)]
  const s = { dims: shape, elements: Array.from({ length: sizeOf(shape) }, (_, index) => 0.01 * (index + 1)) }
  return {
    ...single,
    opset: 21,
    inputs: { s },
    others: { x },
    nodes: [op('DequantizeLinear', 'x s', 'y', attributes)],
  }
}
