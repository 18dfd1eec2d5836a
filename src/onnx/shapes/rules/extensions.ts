/** What ONNX Runtime adds beside products, norms and attention: lists of texts and words, searches, experts, training. */
import type { Dimension, Shape, ValueType } from '../../ir/index.ts'
import { axisWithin, broadcastShapes, replaceDimension, tensor, unknownDimensions } from '../call.ts'
import type { Call, Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'

const sameAsFirst: Rule = (call) => [call.value(0)]

/** One more size of 1; the axis is a scalar input. */
const expandDims: Rule = (call) => {
  const shape = call.shape(0)
  if (shape === null) return [tensor(call.type(0), null)]
  const named = call.scalar(1)
  const axis = typeof named === 'number' ? axisWithin(named, shape.length + 1) : undefined
  if (axis === undefined) return [tensor(call.type(0), unknownDimensions(shape.length + 1))]
  return [tensor(call.type(0), [...shape.slice(0, axis), 1, ...shape.slice(axis)])]
}

/** Of a list: what is in it, which of these each element is, how often each is there. */
const unique: Rule = (call) => {
  const count = call.algebra.unknown()
  return [
    tensor(call.type(0), [count]),
    tensor('int64', [call.shapeOfRank(0, 1)?.[0] ?? null]),
    tensor('int64', [count]),
  ]
}

const hash: Rule = (call) => [tensor(call.int('positive', 1) === 1 ? 'uint32' : 'int32', call.shape(0))]

/** Image [N, C, H, W], regions [R, 4], sizes [2]: [R, C, sizes]. */
const cropAndResize: Rule = (call) => {
  const sizes = call.known(3)?.elements
  return [tensor(call.type(0), [call.dimension(1, 0), call.dimension(0, 1), sizes?.[0] ?? null, sizes?.[1] ?? null])]
}

/** As many words as the longest text has. */
const tokenizer: Rule = (call) => {
  const shape = call.shape(0)
  return [tensor('string', shape && [...shape, null])]
}

const distances: Rule = (call) => [tensor(call.type(0), [call.dimension(0, 0), call.dimension(1, 0)])]

/** Characters of words [words, characters], filters [filters, 1, window, width]. */
const wordEmbedding: Rule = (call) => [tensor(call.type(1), [call.dimension(0, 0), call.dimension(1, 0)])]

const lookUp: Rule = (call) => {
  const indices = call.shape(1)
  return [tensor(call.type(0), indices && [...indices, call.dimension(0, 1)])]
}

/** Windows along one axis; what is in them stands behind. */
const unfold: Rule = (call) => {
  const { algebra } = call
  const shape = call.shape(0)
  const size = call.int('size', 0)
  const axis = shape === null ? undefined : axisWithin(call.int('dim', -1), shape.length)
  const step = call.int('step', 1)
  if (shape === null || axis === undefined || !(size > 0) || !(step > 0)) return [tensor(call.type(0), null)]
  const windows = algebra.add(algebra.floorDivide(algebra.subtract(shape[axis]!, size), step), 1)
  return [tensor(call.type(0), [...replaceDimension(shape, axis, windows), size])]
}

/** Padding is an input: only batch and channels are known before. */
const dynamicTranspose: Rule = (call) => {
  const shape = call.shape(0)
  if (shape === null) return [tensor(call.type(0), null)]
  const channels = call.algebra.multiply(call.dimension(1, 1), call.int('group', 1))
  return [tensor(call.type(0), [shape[0] ?? null, channels, ...shape.slice(2).map(() => null)])]
}

function stretchedPair(call: Call): Shape {
  return broadcastShapes(call.algebra, [call.shape(0), call.shape(1)])
}

const stretched: Rule = (call) => [tensor(call.type(0), stretchedPair(call))]

const multiplyIntegers: Rule = (call) => [
  tensor('int32', broadcastShapes(call.algebra, [call.shape(0), call.shape(2)])),
]

const biasDropout: Rule = (call) => [call.value(0), tensor('bool', call.shape(0))]
const bitmaskDropout: Rule = (call) => [call.value(0), tensor('uint32', [null])]

/** Ids, segments, tables and their scales: [B, S, width of the words], and the mask's last positions. */
const quantizedEmbedding: Rule = (call) => {
  const ids = call.shapeOfRank(0, 2)
  const rows = ids?.[0] ?? null
  return [tensor('float32', [rows, ids?.[1] ?? null, call.dimension(2, 1)]), tensor('int32', [rows])]
}

/** Of each of B texts the most tokens that it may have; a beam keeps several. */
const greedy: Rule = (call) => {
  const rows = call.dimension(0, 0)
  const sequences = tensor('int32', [rows, call.scalar(1) ?? null])
  return [sequences, tensor('float32', [rows, null])]
}

const beams: Rule = (call) => {
  const [rows, kept] = [call.dimension(0, 0), call.scalar(4) ?? null]
  const scores = call.type(5) ?? call.type(6) ?? 'float32'
  return [
    tensor('int32', [rows, kept, call.scalar(1) ?? null]),
    tensor(scores, [rows, kept]),
    tensor(scores, unknownDimensions(3)),
  ]
}

/** The last step's logits and the attention to the sound beside them. */
const speechBeams: Rule = (call) => [
  ...beams(call),
  tensor('float32', unknownDimensions(5)),
  tensor(call.type(5) ?? 'float32', [call.dimension(0, 0)]),
]

const warping: Rule = () => [tensor('int32', [2, null])]

const likeOthers =
  (inputs: readonly number[]): Rule =>
  (call) =>
    inputs.map((input) => call.value(input))

/** Output like the query, caches of one width more than were there. */
const decoderAttention: Rule = (call) => {
  const type = call.type(0)
  return [call.value(0), tensor(type, unknownDimensions(4)), tensor(type, unknownDimensions(4))]
}

/** Q [B, S, H*D] or all packed; the caches are buffers whose length does not change. */
const maskedAttention: Rule = (call) => [call.value(0), like(call, 5), like(call, 6), tensor(call.type(0), null)]

/** Input [B, S, width], weights [width, 3 * hidden]; a cache [2, B, H, M, D]. */
const maskedSelfAttention: Rule = (call) => {
  const data = call.shapeOfRank(0, 3)
  const hidden = call.algebra.floorDivide(call.dimension(1, 1), 3)
  return [tensor(call.type(0), [data?.[0] ?? null, data?.[1] ?? null, hidden]), like(call, 4)]
}

/** A buffer of which a part is filled. */
function like(call: Call, input: number): ValueType | undefined {
  return call.given(input) ? call.value(input) : tensor(call.type(0), unknownDimensions(4))
}

/** Q [B, S, H*D] or packed with K and V; past K and V at 3 and 4, in one buffer with the present ones. */
const sparseAttention: Rule = (call) => {
  const { algebra } = call
  const query = call.shapeOfRank(0, 3)
  const [heads, groups] = [call.int('num_heads') ?? null, call.int('kv_num_heads') ?? null]
  const all = algebra.add(heads, algebra.multiply(groups, 2))
  const hidden: Dimension = call.given(1)
    ? (query?.[2] ?? null)
    : algebra.multiply(heads, algebra.floorDivide(query?.[2] ?? null, all))
  return [tensor(call.type(0), [query?.[0] ?? null, query?.[1] ?? null, hidden]), call.value(3), call.value(4)]
}

/** Rows without those that only fill up: how many there are is not known before. */
const removePadding: Rule = (call) => {
  const [rows, tokens] = [call.dimension(0, 0), call.dimension(0, 1)]
  return [
    tensor(call.type(0), [null, call.dimension(0, 2)]),
    tensor('int32', [rows, tokens]),
    tensor('int32', [call.algebra.add(rows, 1)]),
    tensor('int32', [1]),
  ]
}

const restorePadding: Rule = (call) => [
  tensor(call.type(0), [call.dimension(1, 0), call.dimension(1, 1), call.dimension(0, 1)]),
]

/** Table [buckets, heads]: [1, heads, queries, keys]. */
const positionBias: Rule = (call) => [
  tensor(call.type(0), [1, call.dimension(0, 1), call.scalar(1) ?? null, call.scalar(2) ?? null]),
]

/**
 * A step of training. Inputs: rate and count, then all tensors, their gradients, and states of each; outputs: the tensors
 * and the states.
 */
function step(states: number): Rule {
  return (call) => {
    const count = Math.floor((call.node.inputs.length - 2) / (states + 2))
    return call.node.outputs.map((_, output) =>
      // Gradients stand between the tensors and their states, and are not given back.
      call.value(2 + output + (output < count ? 0 : count)),
    )
  }
}

/** ONNX's preview, with the scores changed by subgraphs: Q [B, H, L, D], K, V [B, K, S, Dv]. */
const flexAttention: Rule = (call) => {
  const query = call.shapeOfRank(0, 4)
  if (query === null) return [tensor(call.type(0), unknownDimensions(4))]
  return [tensor(call.type(0), [...query.slice(0, 3), call.dimension(2, 3)])]
}

export const EXTENSIONS: readonly Family[] = [
  { domain: MICROSOFT, operators: 'ExpandDims', rule: expandDims },
  { domain: MICROSOFT, operators: 'Unique', rule: unique },
  { domain: MICROSOFT, operators: 'MurmurHash3', rule: hash },
  { domain: MICROSOFT, operators: 'CropAndResize', rule: cropAndResize },
  { domain: MICROSOFT, operators: 'Tokenizer', rule: tokenizer },
  { domain: MICROSOFT, operators: 'CDist', rule: distances },
  { domain: MICROSOFT, operators: 'WordConvEmbedding', rule: wordEmbedding },
  { domain: MICROSOFT, operators: 'TorchEmbedding', rule: lookUp },
  { domain: MICROSOFT, operators: 'UnfoldTensor', rule: unfold },
  { domain: MICROSOFT, operators: 'ConvTransposeWithDynamicPads', rule: dynamicTranspose },
  {
    domain: MICROSOFT,
    operators: 'GatedAdd LongformerAttention MoE QMoE SampleOp ScaledSiLU',
    rule: sameAsFirst,
  },
  { domain: MICROSOFT, operators: 'ComplexMul ComplexMulConj', rule: stretched },
  { domain: MICROSOFT, operators: 'MulInteger', rule: multiplyIntegers },
  { domain: MICROSOFT, operators: 'BiasDropout', rule: biasDropout },
  { domain: MICROSOFT, operators: 'BitmaskDropout BitmaskBiasDropout', rule: bitmaskDropout },
  { domain: MICROSOFT, operators: 'QEmbedLayerNormalization', rule: quantizedEmbedding },
  { domain: MICROSOFT, operators: 'GreedySearch Sampling', rule: greedy },
  { domain: MICROSOFT, operators: 'BeamSearch', rule: beams },
  { domain: MICROSOFT, operators: 'WhisperBeamSearch', rule: speechBeams },
  { domain: MICROSOFT, operators: 'DynamicTimeWarping', rule: warping },
  { domain: MICROSOFT, operators: 'BifurcationDetector', rule: () => [tensor('int64', [null]), tensor('int64', [])] },
  { domain: MICROSOFT, operators: 'GemmaRotaryEmbedding', rule: likeOthers([1, 3]) },
  { domain: MICROSOFT, operators: 'DecoderAttention', rule: decoderAttention },
  { domain: MICROSOFT, operators: 'DecoderMaskedMultiHeadAttention', rule: maskedAttention },
  { domain: MICROSOFT, operators: 'DecoderMaskedSelfAttention', rule: maskedSelfAttention },
  { domain: MICROSOFT, operators: 'SparseAttention', rule: sparseAttention },
  { domain: MICROSOFT, operators: 'RemovePadding', rule: removePadding },
  { domain: MICROSOFT, operators: 'RestorePadding', rule: restorePadding },
  { domain: MICROSOFT, operators: 'RelativePositionBias', rule: positionBias },
  { domain: 'ai.onnx.preview.training', operators: 'Adagrad Momentum', rule: step(1) },
  { domain: 'ai.onnx.preview.training', operators: 'Adam', rule: step(2) },
  { domain: 'ai.onnx.preview', operators: 'FlexAttention', rule: flexAttention },
]
