/** Fused and recurrent operators: what they are written out as, against differences of the engine's own kernels. */
import { describe, expect, test } from 'vitest'
import { check, one, real, wholes } from './support/gradient-check.ts'
import type { Case } from './support/gradient-check.ts'
import type { Tensor } from '../../../src/onnx/index.ts'

const MICROSOFT = 'com.microsoft'
const single = { type: 'float32' } as const
const ms = (operator: string, inputs: Case['inputs'], attributes = {}, more: Parameters<typeof one>[3] = {}): Case =>
  one(operator, inputs, attributes, { ...single, domain: MICROSOFT, ...more })

const int32s = (dims: readonly number[], ...values: readonly number[]): Tensor => ({
  type: 'int32',
  dims,
  data: Int32Array.from(values),
})
const bytes = (dims: readonly number[], fill: (index: number) => number): Tensor => ({
  type: 'uint8',
  dims,
  data: Uint8Array.from({ length: dims.reduce((product, size) => product * size, 1) }, (_, index) => fill(index)),
})
const floats = (dims: readonly number[], fill: (index: number) => number): Tensor => ({
  type: 'float32',
  dims,
  data: Float32Array.from({ length: dims.reduce((product, size) => product * size, 1) }, (_, index) => fill(index)),
})

const cosines = floats([4, 8], (index) => Math.cos((index >> 3) / (1 + (index % 8))))
const sines = floats([4, 8], (index) => Math.sin((index >> 3) / (1 + (index % 8))))

const grouped: Case = ms(
  'GroupQueryAttention',
  { q: [1, 3, 32], k: [1, 3, 16], v: [1, 3, 16] },
  { num_heads: 2, kv_num_heads: 1, do_rotary: 1 },
  {
    names: 'q k v _ _ seqlens total cos sin',
    outputs: 'y pk pv',
    others: { seqlens: int32s([1], 2), total: int32s([1], 3), cos: cosines, sin: sines },
  },
)

const CASES: readonly [string, Case][] = [
  ['FusedMatMul', ms('FusedMatMul', { a: [3, 2], b: [4, 3] }, { transA: 1, transB: 1, alpha: real(0.5) })],
  ['Gelu', ms('Gelu', { x: [2, 3] })],
  ['BiasGelu', ms('BiasGelu', { x: [2, 3], b: [3] })],
  ['FastGelu', ms('FastGelu', { x: [2, 3], b: [3] })],
  ['QuickGelu', ms('QuickGelu', { x: [2, 3] })],
  ['FusedConv', ms('FusedConv', { x: [1, 2, 4, 4], w: [2, 2, 3, 3], b: [2] }, { activation: 'Relu' })],
  ['SkipLayerNormalization', ms('SkipLayerNormalization', { x: [1, 2, 4], s: [1, 2, 4], g: [4], b: [4] })],
  [
    'SkipSimplifiedLayerNormalization',
    ms('SkipSimplifiedLayerNormalization', { x: [1, 2, 4], s: [1, 2, 4], g: [4] }, { epsilon: real(1e-5) }),
  ],
  ['SimplifiedLayerNormalization', one('SimplifiedLayerNormalization', { x: [2, 4], g: [4] }, {}, single)],
  [
    'MatMulNBits',
    ms(
      'MatMulNBits',
      { x: [2, 32] },
      { K: 32, N: 3, bits: 4, block_size: 16 },
      { others: { q: bytes([3, 2, 8], (index) => (index * 37) % 256), s: floats([6], (index) => 0.01 * (index + 1)) } },
    ),
  ],
  [
    'MatMulNBits with zero points',
    ms(
      'MatMulNBits',
      { x: [2, 48] },
      { K: 48, N: 2, bits: 4, block_size: 16 },
      {
        others: {
          q: bytes([2, 3, 8], (index) => (index * 53) % 256),
          s: floats([6], (index) => 0.01 * (index + 1)),
          z: bytes([4], (index) => index * 41),
        },
      },
    ),
  ],
  [
    'RotaryEmbedding',
    ms(
      'RotaryEmbedding',
      { x: [1, 3, 32] },
      { interleaved: 1, num_heads: 2 },
      { others: { at: wholes([1, 3], 2, 0, 1), cos: cosines, sin: sines } },
    ),
  ],
  ['GroupQueryAttention', grouped],
  [
    'MultiHeadAttention',
    ms('MultiHeadAttention', { q: [2, 3, 8], k: [2, 2, 8], v: [2, 2, 8], b: [24] }, { num_heads: 2 }),
  ],
  [
    'Attention with its projection',
    ms('Attention', { x: [1, 3, 4], w: [4, 12], b: [12] }, { num_heads: 2, unidirectional: 1 }),
  ],
  [
    'Attention of set 23',
    one('Attention', { q: [1, 2, 3, 4], k: [1, 1, 3, 4], v: [1, 1, 3, 4] }, { is_causal: 1 }, { ...single, opset: 23 }),
  ],
  ['RMSNormalization', one('RMSNormalization', { x: [2, 4], g: [4] }, {}, { ...single, opset: 23 })],
  [
    'BatchNormalization',
    one(
      'BatchNormalization',
      { x: [2, 3, 2], s: [3], b: [3], m: [3], v: { dims: [3], elements: [0.5, 1, 2] } },
      {},
      single,
    ),
  ],
  ['InstanceNormalization', one('InstanceNormalization', { x: [2, 2, 4], s: [2], b: [2] }, {}, single)],
  [
    'GroupNormalization',
    one('GroupNormalization', { x: [2, 4, 3], s: [4], b: [4] }, { num_groups: 2 }, { ...single, opset: 21 }),
  ],
  ['LpNormalization', one('LpNormalization', { x: [2, 3] }, { p: 2 })],
  ['LRN', one('LRN', { x: [1, 4, 2, 2] }, { size: 3, alpha: real(0.3) }, single)],
  ['MeanVarianceNormalization', one('MeanVarianceNormalization', { x: [2, 2, 2, 2] }, {}, single)],
  [
    'SoftmaxCrossEntropyLoss',
    one(
      'SoftmaxCrossEntropyLoss',
      { x: [3, 4], w: { dims: [4], elements: [1, 2, 0.5, 1.5] } },
      { ignore_index: 2 },
      { names: 'x at w', others: { at: wholes([3], 1, 2, 3) } },
    ),
  ],
  [
    'NegativeLogLikelihoodLoss',
    one(
      'NegativeLogLikelihoodLoss',
      { x: [2, 3, 2] },
      { reduction: 'sum' },
      { others: { at: wholes([2, 2], 1, 2, 0, 1) } },
    ),
  ],
  [
    'LSTM with peepholes and lengths',
    one(
      'LSTM',
      { x: [3, 2, 2], w: [1, 8, 2], r: [1, 8, 2], b: [1, 16], h: [1, 2, 2], c: [1, 2, 2], p: [1, 6] },
      { hidden_size: 2 },
      { ...single, names: 'x w r b n h c p', others: { n: int32s([2], 3, 2) } },
    ),
  ],
  [
    'GRU both ways',
    one('GRU', { x: [3, 1, 2], w: [2, 6, 2], r: [2, 6, 2] }, { hidden_size: 2, direction: 'bidirectional' }, single),
  ],
  [
    'GRU, reset after',
    one(
      'GRU',
      { x: [2, 1, 2], w: [1, 6, 2], r: [1, 6, 2], b: [1, 12] },
      { hidden_size: 2, linear_before_reset: 1 },
      single,
    ),
  ],
  [
    'RNN backwards',
    one('RNN', { x: [3, 1, 2], w: [1, 2, 2], r: [1, 2, 2] }, { hidden_size: 2, direction: 'reverse' }, single),
  ],
]

describe('gradients of what is written out are those of the fused kernels', () => {
  test.each(CASES)('%s', async (_, given) => {
    const { worst } = await check(given)
    expect(worst).toBeLessThan(given.type === 'float32' ? 5e-3 : 1e-7)
  })
})
