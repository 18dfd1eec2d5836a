/** Windows that slide, up and down. */
import { filled, int64s, op, value } from './graphs.ts'
import type { Attributes } from './graphs.ts'
import type { Case, Cases } from './cases-plain.ts'
import type { Sizes } from './oracle.ts'

const SIZES: readonly Sizes[] = [
  { b: 2, h: 9, w: 8 },
  { b: 1, h: 7, w: 11 },
  { b: 1, h: 12, w: 10 },
]
const x = value('x', ['b', 4, 'h', 'w'])

function convolution(attributes: Attributes): Case {
  return {
    inputs: [x],
    nodes: [op('Conv', 'x w', 'y', attributes)],
    constants: [filled('w', 'float32', [6, 4, 3, 3])],
    sizes: SIZES,
  }
}

function pool(operator: string, attributes: Attributes, opset = 19): Case {
  return { inputs: [x], nodes: [op(operator, 'x', 'y', attributes)], opset, sizes: SIZES }
}

export const CONVOLUTION_CASES: Cases = {
  Conv: convolution({}),
  'Conv with stride and pads': convolution({ strides: [2, 3], pads: [1, 0, 2, 1] }),
  'Conv with holes': convolution({ dilations: [2, 2], pads: [2, 2, 2, 2] }),
  'Conv SAME_UPPER': convolution({ auto_pad: 'SAME_UPPER', strides: [2, 2] }),
  'Conv VALID': convolution({ auto_pad: 'VALID', strides: [2, 2] }),
  'a chain of strides': {
    inputs: [x],
    nodes: [
      op('Conv', 'x w', 'a', { strides: [2, 2], pads: [1, 1, 1, 1] }),
      op('Conv', 'a w', 'c', { strides: [2, 2], pads: [1, 1, 1, 1] }),
      op('MaxPool', 'c', 'd', { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 }),
      op('GlobalAveragePool', 'd', 'e'),
    ],
    constants: [filled('w', 'float32', [4, 4, 3, 3])],
    outputs: ['e'],
    sizes: SIZES,
  },
  ConvTranspose: {
    inputs: [x],
    nodes: [
      op('ConvTranspose', 'x w', 'a', { strides: [2, 3], pads: [1, 1, 0, 1], output_padding: [1, 0] }),
      op('ConvTranspose', 'x w', 'c', { strides: [2, 2], auto_pad: 'SAME_UPPER' }),
      op('ConvTranspose', 'x w', 'd', { group: 2, dilations: [2, 1] }),
    ],
    constants: [filled('w', 'float32', [4, 2, 3, 3])],
    outputs: ['a', 'c', 'd'],
    sizes: SIZES,
  },
  'ConvInteger and QLinearConv': {
    inputs: [value('x', ['b', 4, 'h', 'w'], 'uint8')],
    nodes: [op('ConvInteger', 'x w', 'a'), op('QLinearConv', 'x s z w s z s z', 'c', { strides: [2, 2] })],
    constants: [filled('w', 'uint8', [2, 4, 3, 3]), filled('s', 'float32', [], 1), filled('z', 'uint8', [])],
    outputs: ['a', 'c'],
    sizes: SIZES,
  },
  'MaxPool with indices': {
    ...pool('MaxPool', { kernel_shape: [3, 2], strides: [2, 2], pads: [1, 0, 1, 0] }),
    nodes: [op('MaxPool', 'x', 'y i', { kernel_shape: [3, 2], strides: [2, 2], pads: [1, 0, 1, 0] })],
  },
  'MaxPool rounded up': pool('MaxPool', { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 }),
  'MaxPool rounded up, padded': pool('MaxPool', {
    kernel_shape: [2, 2],
    strides: [3, 3],
    pads: [0, 0, 1, 1],
    ceil_mode: 1,
  }),
  'MaxPool with holes': pool('MaxPool', { kernel_shape: [2, 2], dilations: [3, 2] }),
  'AveragePool rounded up': pool('AveragePool', { kernel_shape: [3, 3], strides: [3, 2], ceil_mode: 1 }),
  'AveragePool SAME_LOWER': pool('AveragePool', { kernel_shape: [3, 3], strides: [2, 2], auto_pad: 'SAME_LOWER' }),
  LpPool: pool('LpPool', { kernel_shape: [2, 2] }),
  'GridSample, RoiAlign, Col2Im': {
    inputs: [x, value('grid', ['b', 5, 'w', 2]), value('rois', ['h', 4]), value('batch', ['h'], 'int64')],
    nodes: [
      op('GridSample', 'x grid', 'a'),
      op('RoiAlign', 'x rois batch', 'c', { output_height: 3, output_width: 2, mode: 'avg' }),
      op('Reshape', 'x columns', 'd'),
      op('Col2Im', 'd image block', 'e'),
    ],
    constants: [int64s('columns', -1, 4, 4), int64s('image', 2, 4), int64s('block', 2, 1)],
    outputs: ['a', 'c', 'e'],
    opset: 18,
    elements: { rois: Array.from({ length: 48 }, () => 0), batch: Array.from({ length: 12 }, () => 0) },
    sizes: [
      { b: 2, h: 9, w: 8 },
      { b: 1, h: 8, w: 10 },
    ],
  },
}
