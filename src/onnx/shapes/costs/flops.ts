/**
 * Floating-point operations of operators: two for each multiply-add of matrix products, convolutions, recurrent cells
 * and attention, exactly; for the rest a rough count an element.
 */
import { registryOf, MICROSOFT } from '../registry.ts'
import { elementsOf } from './bytes.ts'
import type { SizedNode } from './sized.ts'

export type FlopsRule = (node: SizedNode) => number

/** Each output element takes one product with each weight of its channel. Weights [out, in / groups, ...kernel]. */
function convolution(weight: number): FlopsRule {
  return (node) => {
    const kernel = node.input(weight)
    if (kernel === null) return node.outputElements(0)
    return 2 * node.outputElements(0) * elementsOf(kernel.slice(1))
  }
}

/** Each input element is spread over the kernel. Weights [in, out / groups, ...kernel]. */
const transposed: FlopsRule = (node) => 2 * node.inputElements(0) * elementsOf(node.input(1)?.slice(1) ?? [])

function product(left: number): FlopsRule {
  return (node) => 2 * node.outputElements(0) * (node.input(left)?.at(-1) ?? 1)
}

const gemm: FlopsRule = (node) => {
  const inner = node.input(0)?.[node.int('transA', 0) === 0 ? 1 : 0] ?? 1
  return 2 * node.outputElements(0) * inner + (node.given(2) ? node.outputElements(0) : 0)
}

const fusedProduct: FlopsRule = (node) => {
  const left = node.input(0)
  const turned = node.int('transA', 0) !== 0
  const inner = (turned ? (node.int('transBatchA', 0) === 0 ? left?.at(-2) : left?.[0]) : left?.at(-1)) ?? 1
  return 2 * node.outputElements(0) * inner
}

const blockProduct: FlopsRule = (node) => 2 * node.outputElements(0) * (node.input(0)?.at(-1) ?? node.int('K', 1))

/** All labels together: the sum over what the output does not name. */
const einsum: FlopsRule = (node) => {
  const terms = node.text('equation').split('->')[0]!.replaceAll(/\s/g, '').split(',')
  const sizes = new Map<string, number>()
  let wide = 1
  for (const [input, term] of terms.entries()) {
    const shape = node.input(input)
    const letters = term.replace('...', '').split('')
    if (shape === null || shape.length < letters.length) return node.outputElements(0)
    const before = term.includes('...') ? term.indexOf('...') : letters.length
    const hidden = shape.length - letters.length
    wide = Math.max(wide, elementsOf(shape.slice(before, before + hidden)))
    const named = [...shape.slice(0, before), ...shape.slice(before + hidden)]
    for (const [at, letter] of letters.entries()) sizes.set(letter, Math.max(sizes.get(letter) ?? 1, named[at]!))
  }
  return 2 * wide * elementsOf([...sizes.values()])
}

/** Both matrices of all gates and directions, at every step of every row. */
const recurrent: FlopsRule = (node) => {
  const data = node.input(0)
  if (data?.length !== 3) return node.outputElements(0)
  return 2 * data[0]! * data[1]! * (node.inputElements(1) + node.inputElements(2))
}

/** Scores and their sum over the values: both widths for each pair of tokens. Softmax: five a pair. */
function pairs(rows: number, tokens: number, total: number, widths: number, heads: number): number {
  return rows * tokens * total * (2 * widths + 5 * heads)
}

const attention: FlopsRule = (node) => {
  const [query, key, value] = [node.input(0), node.input(1), node.input(2)]
  if (query === null || key === null || value === null) return node.outputElements(0)
  const flat = query.length === 3
  const heads = flat ? node.int('q_num_heads', 1) : query[1]!
  const groups = flat ? node.int('kv_num_heads', 1) : key[1]!
  const width = flat ? query[2]! / heads : query[3]!
  const valueWidth = value.length === 3 ? value[2]! / groups : value[3]!
  const total = (key.length === 3 ? key[1]! : key[2]!) + (node.input(4)?.[2] ?? 0)
  return pairs(query[0]!, flat ? query[1]! : query[2]!, total, heads * (width + valueWidth), heads)
}

const multiHead: FlopsRule = (node) => {
  const [query, output, key] = [node.input(0), node.output(0), node.input(1)]
  if (query === null || output === null) return node.outputElements(0)
  const heads = node.int('num_heads', 1)
  const hidden = query.length === 5 ? query[2]! * query[4]! : query[2]!
  const given = query.length === 5 ? query[1]! : ((key?.length === 4 ? key[2] : key?.[1]) ?? query[1]!)
  const total = given + (node.input(6)?.[2] ?? 0)
  return pairs(query[0]!, query[1]!, total, hidden + output[2]!, heads)
}

const groupQuery: FlopsRule = (node) => {
  const output = node.output(0)
  const present = node.output(1)?.[2] ?? node.input(3)?.[2]
  if (output === null) return 0
  return pairs(output[0]!, output[1]!, Math.max(present ?? 0, output[1]!), 2 * output[2]!, node.int('num_heads', 1))
}

/** With the projection to Q, K and V. */
function projecting(past: number): FlopsRule {
  return (node) => {
    const [data, weights] = [node.input(0), node.input(1)]
    const output = node.output(0)
    if (data?.length !== 3 || weights === null || output === null) return node.outputElements(0)
    const rows = data[0]! * data[1]!
    const total = data[1]! + (node.input(past)?.[3] ?? 0)
    return 2 * rows * elementsOf(weights) + pairs(data[0]!, data[1]!, total, 2 * output[2]!, node.int('num_heads', 1))
  }
}

const pool: FlopsRule = (node) => node.outputElements(0) * elementsOf(node.ints('kernel_shape'))

/** Of complex numbers by the fast algorithm: 5 n log2 n (the convention of FFT benchmarks). */
const fourier: FlopsRule = (node) => {
  const bins = Math.max(node.output(0)?.at(-2) ?? 2, 2)
  return 2.5 * node.outputElements(0) * Math.log2(bins)
}

function eachOutput(times: number): FlopsRule {
  return (node) => times * node.outputElements(0)
}

const eachInput: FlopsRule = (node) => node.inputElements(0)

const none: FlopsRule = () => 0

/** Bytes move, nothing is calculated. */
const MOVES = `BitCast CenterCropPad Col2Im Compress Concat ConcatFromSequence Constant ConstantOfShape DepthToSpace
  Dropout Expand EyeLike Flatten Gather GatherElements GatherND Identity MaxUnpool OneHot Optional OptionalGetElement
  OptionalHasElement Pad Reshape ReverseSequence Scatter ScatterElements ScatterND SequenceAt SequenceConstruct
  SequenceEmpty SequenceErase SequenceInsert SequenceLength Shape Size Slice SpaceToDepth Split SplitToSequence Squeeze
  TensorScatter Tile Transpose Trilu Unsqueeze`

const REDUCTIONS = `ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
  ReduceSumSquare ArgMax ArgMin GlobalAveragePool GlobalLpPool GlobalMaxPool NonZero TopK Unique`

export const FLOPS = registryOf<FlopsRule>([
  { operators: 'Conv ConvInteger DeformConv', rule: convolution(1) },
  { operators: 'QLinearConv', rule: convolution(3) },
  { operators: 'ConvTranspose', rule: transposed },
  { operators: 'MatMul MatMulInteger QLinearMatMul', rule: product(0) },
  { operators: 'Gemm', rule: gemm },
  { operators: 'Einsum', rule: einsum },
  { operators: 'RNN GRU LSTM', rule: recurrent },
  { operators: 'Attention', rule: attention },
  { operators: 'AveragePool LpPool MaxPool', rule: pool },
  { operators: 'DFT STFT', rule: fourier },
  { operators: 'Softmax LogSoftmax Hardmax', rule: eachOutput(5) },
  {
    operators: `GroupNormalization InstanceNormalization LayerNormalization LpNormalization MeanVarianceNormalization
      RMSNormalization SimplifiedLayerNormalization`,
    rule: eachOutput(8),
  },
  { operators: 'BatchNormalization', rule: eachOutput(2) },
  { operators: 'QuantizeLinear DequantizeLinear DynamicQuantizeLinear', rule: eachOutput(2) },
  { operators: REDUCTIONS, rule: eachInput },
  { operators: MOVES, rule: none },
  { domain: MICROSOFT, operators: 'FusedConv NhwcConv NhwcFusedConv', rule: convolution(1) },
  { domain: MICROSOFT, operators: 'QLinearConv', rule: convolution(3) },
  { domain: MICROSOFT, operators: 'FusedMatMul FusedMatMulActivation TransposeMatMul', rule: fusedProduct },
  { domain: MICROSOFT, operators: 'FusedGemm QGemm GemmFloat8', rule: gemm },
  {
    domain: MICROSOFT,
    operators: 'DynamicQuantizeMatMul GemmFastGelu MatMulInteger16 MatMulIntegerToFloat',
    rule: product(0),
  },
  { domain: MICROSOFT, operators: 'MatMulNBits MatMulBnb4 MatMulFpQ4', rule: blockProduct },
  { domain: MICROSOFT, operators: 'DynamicQuantizeLSTM', rule: recurrent },
  { domain: MICROSOFT, operators: 'Attention', rule: projecting(4) },
  { domain: MICROSOFT, operators: 'QAttention', rule: projecting(8) },
  { domain: MICROSOFT, operators: 'MultiHeadAttention', rule: multiHead },
  { domain: MICROSOFT, operators: 'GroupQueryAttention', rule: groupQuery },
  {
    domain: MICROSOFT,
    operators: `EmbedLayerNormalization GroupNorm SimplifiedLayerNormalization SkipGroupNorm SkipLayerNormalization
      SkipSimplifiedLayerNormalization`,
    rule: eachOutput(8),
  },
  { domain: MICROSOFT, operators: 'GatherBlockQuantized QLinearConcat', rule: none },
])

/** For operators that the table does not have: elementwise, one an element. */
export const ELEMENTWISE_FLOPS: FlopsRule = (node) => node.outputElements(0)
