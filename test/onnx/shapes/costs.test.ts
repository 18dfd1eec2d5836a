/** What nodes cost: counted by hand. */
import { describe, expect, it } from 'vitest'
import type { Attribute, Model } from '../../../src/onnx/ir/index.ts'
import { inferShapes, nodeCosts, valueBytes } from '../../../src/onnx/shapes/index.ts'
import type { NodeCost } from '../../../src/onnx/shapes/index.ts'
import { tensor } from '../ir/support/build.ts'
import { filled, int64s, made, MICROSOFT, op, value } from './support/graphs.ts'

const SIZES = new Map<string | null, number>([
  ['b', 3],
  ['h', 8],
  ['w', 6],
])
const bind = (name: string | null): number => SIZES.get(name) ?? 1
const costs = (made: Model): NodeCost[] => nodeCosts(made, inferShapes(made), bind)
const flops = (made: Model): number[] => costs(made).map((cost) => cost.flops)

describe('operations', () => {
  it('of a convolution, a grouped one and a transposed one', () => {
    const convolved = made({
      inputs: [value('x', ['b', 4, 'h', 'w'])],
      nodes: [
        op('Conv', 'x full', 'a', { pads: [1, 1, 1, 1], strides: [2, 2] }),
        op('Conv', 'x grouped', 'c', { group: 4 }),
        op('ConvTranspose', 'x up', 'd', { strides: [2, 2] }),
        op('Relu', 'd', 'e'),
      ],
      constants: [
        filled('full', 'float32', [5, 4, 3, 3]),
        filled('grouped', 'float32', [8, 1, 3, 3]),
        filled('up', 'float32', [4, 2, 2, 2]),
      ],
      outputs: ['a', 'c', 'e'],
    })
    const up = 3 * 2 * 16 * 12
    expect(flops(convolved)).toEqual([2 * 3 * 5 * 4 * 3 * 36, 2 * 3 * 8 * 6 * 4 * 9, 2 * 3 * 4 * 48 * 8, up])
    expect(costs(convolved)[0]).toMatchObject({
      weightBytes: 5 * 4 * 9 * 4,
      bytesRead: 4 * (3 * 4 * 48 + 5 * 4 * 9),
      bytesWritten: 4 * 3 * 5 * 4 * 3,
    })
  })

  it('of products and recurrent cells', () => {
    const multiplied = made({
      inputs: [value('x', ['h', 'b', 32])],
      nodes: [
        op('MatMul', 'x m', 'a'),
        op('Reshape', 'x flat', 'r'),
        op('Gemm', 'r m m0', 'c'),
        op('LSTM', 'x w rr', 'd', { hidden_size: 5 }),
        op('MatMulNBits', 'x q s', 'e', { K: 32, N: 10, bits: 4, block_size: 32 }, MICROSOFT),
        op('Einsum', 'x x', 'f', { equation: 'hbd,hbe->de' }),
        op('Softmax', 'x', 'g'),
      ],
      constants: [
        filled('m', 'float32', [32, 7]),
        filled('m0', 'float32', [7]),
        int64s('flat', -1, 32),
        filled('w', 'float32', [1, 20, 32]),
        filled('rr', 'float32', [1, 20, 5]),
        tensor('q', 'uint8', [10, 1, 16], new Uint8Array(160)),
        filled('s', 'float32', [10]),
      ],
      outputs: ['a', 'c', 'd', 'e', 'f', 'g'],
    })
    const rows = 24
    expect(flops(multiplied)).toEqual([
      2 * rows * 32 * 7,
      0,
      2 * rows * 32 * 7 + rows * 7,
      2 * rows * (20 * 32 + 20 * 5),
      2 * rows * 32 * 10,
      2 * rows * 32 * 32,
      5 * rows * 32,
    ])
    expect(costs(multiplied)[4]!.weightBytes).toBe(160 + 40)
  })

  it('of attention, with what is past', () => {
    const past = value('p', ['b', 2, 5, 16])
    const attending = made({
      inputs: [value('q', ['b', 'h', 32]), past],
      nodes: [
        op('MultiHeadAttention', 'q q q _ _ _ p p', 'a _ _', { num_heads: 2 }, MICROSOFT),
        op('Attention', 'q q q _ p p', 'c _ _', { q_num_heads: 2, kv_num_heads: 2 }),
      ],
      outputs: ['a', 'c'],
      opset: 23,
    })
    const pairs = 3 * 8 * (8 + 5)
    expect(flops(attending)).toEqual([pairs * (2 * 64 + 10), pairs * (2 * 64 + 10)])
  })
})

it('a table is read by the rows that are picked, and a Constant is its own weight', () => {
  const table = filled('', 'float32', [1000, 8])
  const looked = made({
    inputs: [value('i', ['b', 'h'], 'int64')],
    nodes: [op('Constant', '', 't', { value: { kind: 'tensor', value: table } }), op('Gather', 't i', 'y')],
  })
  expect(costs(looked)).toEqual([
    { flops: 0, bytesRead: 0, bytesWritten: 0, weightBytes: 32_000 },
    { flops: 0, bytesRead: 24 * 8 * 4 + 24 * 8, bytesWritten: 24 * 8 * 4, weightBytes: 0 },
  ])
})

it('of two branches the dearer counts, and the weights of both', () => {
  const branch = (width: number): Attribute => ({
    kind: 'graph',
    value: {
      ...made({ inputs: [], nodes: [op('MatMul', 'x w', 'r')] }).graph,
      initializers: new Map([['w', filled('w', 'float32', [4, width])]]),
    },
  })
  const chosen = made({
    inputs: [value('x', ['b', 4]), value('c', [], 'bool')],
    nodes: [op('If', 'c', 'y', { then_branch: branch(2), else_branch: branch(6) })],
  })
  expect(costs(chosen)).toMatchObject([{ flops: 2 * 3 * 4 * 6, weightBytes: 4 * 4 * 8 }])
})

describe('bytes of values', () => {
  it.each([
    ['float32', [2, 3], 24],
    ['float16', ['b', 3], 18],
    ['int4', [5], 3],
    ['uint2', [5], 2],
    ['bool', ['h/2', 'b*2'], 24],
    ['complex128', [], 16],
    ['int64', [0, 'b'], 0],
    ['float32', null, null],
    ['string', [2], null],
    ['float32', ['b-9'], 0],
  ] as const)('%s %j: %j', (type, shape, bytes) => {
    expect(valueBytes({ kind: 'tensor', type, shape }, bind)).toBe(bytes)
  })

  it('of what is no tensor are not known', () => {
    expect([valueBytes(undefined), valueBytes({ kind: 'sequence', element: null })]).toEqual([null, null])
    expect(valueBytes({ kind: 'tensor', type: 'float32', shape: ['n', null] })).toBe(4)
  })
})
