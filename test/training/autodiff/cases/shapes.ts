/** Operators that reshape, pick and place, and those of space, in sizes that are drawn. */
import { one, wholes } from '../support/gradient-check.ts'
import type { Case, RuleCase } from '../support/gradient-check.ts'
import { op } from '../../../onnx/shapes/support/graphs.ts'
import type { Attributes } from '../../../onnx/shapes/support/graphs.ts'
import type { Tensor } from '../../../../src/onnx/index.ts'

const single = { type: 'float32' } as const
type Inputs = Case['inputs']

const flags = (...values: readonly number[]): Tensor => ({
  type: 'bool',
  dims: [values.length],
  data: Uint8Array.from(values),
})
/** In float32 alone: the engine has no other kernel. */
const f32 = (
  operator: string,
  inputs: Inputs,
  attributes: Attributes = {},
  more: Parameters<typeof one>[3] = {},
): Case => one(operator, inputs, attributes, { ...single, ...more })
const range = (count: number): readonly number[] => Array.from({ length: count }, (_, at) => at)

export const SHAPE_CASES: readonly RuleCase[] = [
  [
    'Reshape',
    ({ size }) => one('Reshape', { x: [size(1, 4), size(1, 4)] }, {}, { others: { shape: wholes([1], -1) } }),
  ],
  ['Flatten', ({ size }) => one('Flatten', { x: [size(1, 3), size(1, 3), size(1, 3)] }, { axis: 2 })],
  [
    'Squeeze',
    ({ size }) => one('Squeeze', { x: [1, size(1, 4), 1, size(1, 4)] }, {}, { others: { axes: wholes([2], 0, 2) } }),
  ],
  [
    'Unsqueeze',
    ({ size }) => one('Unsqueeze', { x: [size(1, 4), size(1, 4)] }, {}, { others: { axes: wholes([2], 1, -1) } }),
  ],
  ['Transpose', ({ size }) => one('Transpose', { x: [size(1, 3), size(1, 4), size(1, 3)] }, { perm: [2, 0, 1] })],
  [
    'Expand',
    ({ size }) => one('Expand', { x: [3, 1] }, {}, { others: { shape: wholes([3], size(1, 3), 1, size(1, 3)) } }),
  ],
  ['Tile', ({ size }) => one('Tile', { x: [2, 3] }, {}, { others: { repeats: wholes([2], size(1, 3), size(1, 3)) } })],
  ['Concat', ({ size }) => joined(size(1, 3), size(1, 4), size(1, 3))],
  ['Split', ({ size }) => divided(size(1, 3), size(1, 3), size(1, 3))],
  ['Trilu', ({ size }) => one('Trilu', { x: [size(2, 4), size(2, 4)] }, { upper: 0 })],
  [
    'Slice',
    ({ size }) =>
      one(
        'Slice',
        { x: [size(1, 3), size(3, 5)] },
        {},
        { others: { s: wholes([1], 1), e: wholes([1], 9), a: wholes([1], 1) } },
      ),
  ],
  [
    'Slice backwards',
    ({ size }) =>
      one(
        'Slice',
        { x: [size(3, 5), size(3, 5)] },
        {},
        {
          others: { s: wholes([2], 9, 0), e: wholes([2], -9, 3), a: wholes([2], 1, 0), t: wholes([2], -2, 2) },
        },
      ),
  ],
  [
    'Gather',
    ({ size }) =>
      one('Gather', { x: [size(1, 4), size(2, 4)] }, { axis: 1 }, { others: { at: wholes([2, 2], 1, -1, 1, 0) } }),
  ],
  [
    'GatherElements',
    ({ size }) => one('GatherElements', { x: [size(2, 4), 2] }, {}, { others: { at: wholes([2, 2], 1, -1, 1, 0) } }),
  ],
  [
    'GatherND',
    ({ size }) => one('GatherND', { x: [size(2, 4), size(1, 3)] }, {}, { others: { at: wholes([3, 1], 1, -1, 1) } }),
  ],
  ['Compress', ({ size }) => one('Compress', { x: [size(1, 3), 3] }, { axis: 1 }, { others: { c: flags(1, 0, 1) } })],
  [
    'OneHot',
    ({ size }) =>
      one(
        'OneHot',
        { v: [2] },
        { axis: 1 },
        {
          type: 'float32',
          names: 'at depth v',
          others: { at: wholes([2, 3], 1, 0, -1, 7, 2, 2), depth: wholes([], size(3, 5)) },
        },
      ),
  ],
  [
    'ScatterElements',
    ({ size }) =>
      one(
        'ScatterElements',
        { x: [size(2, 4), 2], u: [1, 2] },
        {},
        { names: 'x at u', others: { at: wholes([1, 2], 1, -1) } },
      ),
  ],
  ['Unique', ({ size }) => one('Unique', { x: [size(1, 3), size(2, 4)] })],
  ['Unique rows', ({ size }) => one('Unique', { x: [size(1, 3), size(1, 3), 2] }, { axis: -2 })],
  ['Range', () => steps(0.25, 0.3)],
  ['ScatterND that adds', ({ size }) => added('add', size(2, 4), size(1, 3))],
  ['ScatterND that multiplies', ({ size }) => added('mul', size(2, 4), size(1, 3))],
  ['ScatterND that takes the largest', ({ size }) => added('max', size(2, 4), size(1, 3))],
  ['ScatterElements that multiplies', ({ size }) => reduced('mul', size(2, 4))],
  ['ScatterElements that takes the smallest', ({ size }) => reduced('min', size(2, 4))],
  ['ScatterElements that multiplies by zeros', () => met('mul', [2, 0, 3, 0, 0], [5, 0, 7, 0, 0, 4])],
  ['ScatterElements with equals', () => met('max', [2, 1, -3, 0, 1], [2, 1, 1, 1, 1, 0])],
  [
    'TopK',
    ({ size }) => one('TopK', { x: [size(1, 3), size(3, 5)] }, {}, { others: { k: wholes([1], 2) }, outputs: 'y i' }),
  ],
  [
    'Pad',
    ({ size }) => one('Pad', { x: [size(1, 3), size(2, 4)] }, {}, { others: { pads: wholes([4], 1, -1, 0, 2) } }),
  ],
  [
    'Pad by reflection',
    ({ size }) =>
      one('Pad', { x: [size(2, 3), size(3, 4)] }, { mode: 'reflect' }, { others: { pads: wholes([4], 0, 2, 1, 1) } }),
  ],
  [
    'ReverseSequence',
    ({ size }) => one('ReverseSequence', { x: [4, 2, size(1, 3)] }, {}, { others: { n: wholes([2], 3, 4) } }),
  ],
  [
    'DepthToSpace',
    ({ size }) => f32('DepthToSpace', { x: [1, 4 * size(1, 2), 1, size(1, 3)] }, { blocksize: 2, mode: 'CRD' }),
  ],
  [
    'DepthToSpace, blocks first',
    ({ size }) => f32('DepthToSpace', { x: [1, 4 * size(1, 2), 1, size(1, 3)] }, { blocksize: 2 }),
  ],
  ['SpaceToDepth', ({ size }) => f32('SpaceToDepth', { x: [1, size(1, 2), 2 * size(1, 2), 4] }, { blocksize: 2 })],
  ['Einsum', ({ size }) => summed(size(1, 3), size(1, 3), size(2, 3))],
  ['Einsum with an ellipsis', ({ size }) => ellipsis(size(1, 3), size(1, 4))],
  ['Dropout', ({ size }) => one('Dropout', { x: [size(1, 3), size(1, 3)] })],
]

const joined = (rows: number, first: number, second: number): Case =>
  one('Concat', { a: [rows, first], b: [rows, second] }, { axis: -1 })
const divided = (rows: number, first: number, second: number): Case =>
  one(
    'Split',
    { x: [rows, first + second] },
    { axis: 1 },
    { others: { sizes: wholes([2], first, second) }, outputs: 'y z' },
  )
const added = (reduction: string, rows: number, columns: number): Case =>
  one(
    'ScatterND',
    { x: [rows, columns], u: [2, columns] },
    { reduction },
    { names: 'x at u', others: { at: wholes([2, 1], 1, 1) } },
  )
const reduced = (reduction: string, columns: number): Case =>
  one(
    'ScatterElements',
    { x: [2, columns], u: [2, 3] },
    { axis: 1, reduction },
    { names: 'x at u', others: { at: wholes([2, 3], 1, -1, 1, 0, 0, 1) } },
  )
/** Five numbers, however little these two are moved. */
const steps = (start: number, delta: number): Case => ({
  inputs: { a: { dims: [], elements: [start] }, d: { dims: [], elements: [delta] } },
  others: { end: { type: 'float32', dims: [], data: Float32Array.of(1.6) } },
  nodes: [op('CastLike', 'end a', 'e'), op('Range', 'a e d', 'y')],
})
/** Two updates to the first and the third, one to the second and the fourth, and none to the last. */
const met = (reduction: string, x: readonly number[], u: readonly number[]): Case =>
  one(
    'ScatterElements',
    { x: { dims: [5], elements: x }, u: { dims: [6], elements: u } },
    { reduction },
    { names: 'x at u', others: { at: wholes([6], 0, 0, 1, 2, 2, 3) } },
  )
const summed = (i: number, j: number, k: number): Case =>
  one('Einsum', { a: [i, j], b: [j, k, k] }, { equation: 'ij,jkk->ik' })
const ellipsis = (rows: number, columns: number): Case =>
  one('Einsum', { a: [rows, columns], b: [rows, columns] }, { equation: '...i,...i->...' })

export const SPACE_CASES: readonly RuleCase[] = [
  [
    'Conv',
    ({ size }) =>
      f32(
        'Conv',
        { x: [size(1, 2), 4, size(4, 6), size(3, 6)], w: [4, 2, 3, 2], b: [4] },
        { group: 2, strides: [2, 1], pads: [1, 0, 2, 1] },
      ),
  ],
  [
    'Conv with steps of 1',
    ({ size }) =>
      f32('Conv', { x: [size(1, 2), 2, size(3, 6), size(3, 6)], w: [3, 2, 3, 2], b: [3] }, { pads: [1, 1, 1, 0] }),
  ],
  [
    'Conv of one dimension',
    ({ size }) => f32('Conv', { x: [1, 2, size(6, 9)], w: [3, 2, 3] }, { dilations: [2], pads: [2, 1] }),
  ],
  [
    'Conv with padding of its own',
    ({ size }) =>
      f32('Conv', { x: [1, 2, size(4, 7), size(4, 7)], w: [2, 2, 3, 3] }, { auto_pad: 'SAME_LOWER', strides: [2, 2] }),
  ],
  [
    'Conv with padding of its own over places that lie apart',
    ({ size }) => ({
      ...f32(
        'Conv',
        { x: [1, 2, size(5, 7), size(5, 7)], w: [2, 2, 3, 2] },
        { auto_pad: 'SAME_UPPER', dilations: [2, 3], strides: [1, 2] },
      ),
      hasKernel: false,
    }),
  ],
  [
    'ConvTranspose',
    ({ size }) =>
      f32(
        'ConvTranspose',
        { x: [1, 2, size(2, 4), size(2, 4)], w: [2, 2, 3, 2] },
        { strides: [2, 2], output_padding: [1, 1], pads: [1, 0, 0, 1] },
      ),
  ],
  [
    'ConvTranspose in groups',
    ({ size }) => f32('ConvTranspose', { x: [1, 4, size(2, 5)], w: [4, 2, 3], b: [4] }, { group: 2, dilations: [2] }),
  ],
  [
    'MaxPool',
    ({ size }) => f32('MaxPool', { x: [1, 2, size(4, 6), size(4, 6)] }, { kernel_shape: [3, 3], strides: [2, 1] }),
  ],
  [
    'AveragePool',
    ({ size }) =>
      f32(
        'AveragePool',
        { x: [1, 2, size(4, 7), size(4, 7)] },
        { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
      ),
  ],
  [
    'AveragePool, the padding counted',
    ({ size }) =>
      f32(
        'AveragePool',
        { x: [1, 2, size(4, 7)] },
        { kernel_shape: [3], strides: [2], pads: [1, 1], count_include_pad: 1, ceil_mode: 1 },
      ),
  ],
  ['LpPool', ({ size }) => f32('LpPool', { x: [1, 2, size(4, 6), size(4, 6)] }, { kernel_shape: [2, 3], p: 3 })],
  ['GlobalAveragePool', ({ size }) => f32('GlobalAveragePool', { x: [size(1, 2), 2, size(1, 4), size(1, 4)] })],
  ['GlobalMaxPool', ({ size }) => f32('GlobalMaxPool', { x: [size(1, 2), 2, size(1, 4), size(1, 4)] })],
  ['GlobalLpPool', ({ size }) => f32('GlobalLpPool', { x: [size(1, 2), 2, size(1, 4), size(1, 4)] })],
  ['MaxUnpool', ({ size }) => unpooled(size(3, 5))],
  ['Resize', ({ size }) => resized({ mode: 'linear' }, size(2, 6), size(2, 6))],
  ['Resize, cubic', ({ size }) => resized({ mode: 'cubic' }, size(4, 7), size(4, 7))],
  [
    'Resize by corners',
    ({ size }) => resized({ mode: 'linear', coordinate_transformation_mode: 'align_corners' }, size(2, 6), size(2, 6)),
  ],
  [
    'Resize to the nearest',
    ({ size }) =>
      resized(
        { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
        size(4, 7),
        size(4, 7),
      ),
  ],
]

const resized = (attributes: Attributes, height: number, width: number): Case =>
  f32('Resize', { x: [1, 2, 3, 3] }, attributes, {
    names: 'x _ _ sizes',
    others: { sizes: wholes([4], 1, 2, height, width) },
  })

/** Every second place of a line. */
const unpooled = (width: number): Case =>
  f32(
    'MaxUnpool',
    { x: [1, 1, width] },
    { kernel_shape: [2], strides: [2] },
    {
      others: { at: wholes([1, 1, width], ...range(width).map((at) => 2 * at)), shape: wholes([3], 1, 1, 2 * width) },
    },
  )
