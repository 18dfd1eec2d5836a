/** Normalizations: the output is like the input; some also tell the mean and the deviation. */
import type { Shape } from '../../ir/index.ts'
import { axisWithin, tensor } from '../call.ts'
import type { Call, Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'
import { dataTypeOf } from './types.ts'

const plain: Rule = (call) => [call.value(0)]

/** In training (an attribute since opset 14, before it the number of outputs) also the statistics of each channel. */
const batchNormalization: Rule = (call) => {
  const statistics = tensor(call.type(3) ?? call.type(0), call.shape(3) ?? [call.dimension(0, 1)])
  return [call.value(0), statistics, statistics, statistics, statistics]
}

/** Sizes from the axis on become 1. */
function statisticsShape(call: Call, axis: number): Shape {
  const shape = call.shape(0)
  const from = shape === null ? undefined : axisWithin(axis, shape.length)
  return shape === null || from === undefined ? null : shape.map((size, at) => (at < from ? size : 1))
}

const layerNormalization: Rule = (call) => {
  const stash = call.int('stash_type', 1)
  const statistics = tensor(dataTypeOf(stash), statisticsShape(call, call.int('axis', -1)))
  // Microsoft's SimplifiedLayerNormalization in ONNX's own domain may also name another type for the scale.
  const type = call.node.opType === 'SimplifiedLayerNormalization' ? (call.type(1) ?? call.type(0)) : call.type(0)
  return [tensor(type, call.shape(0)), statistics, statistics]
}

/** Outputs: the normalized sum, mean, deviation, and the sum itself for the next skip. */
const skipLayerNormalization: Rule = (call) => {
  const statistics = tensor('float32', statisticsShape(call, -1))
  return [call.value(0), statistics, statistics, call.value(0)]
}

/** Outputs: the normalized sum and the sum itself. */
const skipGroupNorm: Rule = (call) => [call.value(0), call.value(0)]

/** Batch and tokens from the ids, the width from the table of words; the mask's last positions; the sum before it. */
const embedLayerNormalization: Rule = (call) => {
  const ids = call.shapeOfRank(0, 2)
  const shape = [ids?.[0] ?? null, ids?.[1] ?? null, call.dimension(2, 1)]
  return [tensor(call.type(2), shape), tensor('int32', [shape[0]!]), tensor(call.type(2), shape)]
}

export const NORMALIZATION: readonly Family[] = [
  { operators: 'InstanceNormalization GroupNormalization RMSNormalization', rule: plain },
  { operators: 'BatchNormalization', rule: batchNormalization },
  { operators: 'LayerNormalization SimplifiedLayerNormalization', rule: layerNormalization },
  { domain: MICROSOFT, operators: 'SimplifiedLayerNormalization LayerNormalization', rule: layerNormalization },
  {
    domain: MICROSOFT,
    operators: 'SkipLayerNormalization SkipSimplifiedLayerNormalization',
    rule: skipLayerNormalization,
  },
  {
    operators: 'SkipLayerNormalization SkipSimplifiedLayerNormalization',
    rule: skipLayerNormalization,
  },
  { domain: MICROSOFT, operators: 'GroupNorm', rule: plain },
  { domain: MICROSOFT, operators: 'SkipGroupNorm', rule: skipGroupNorm },
  { domain: MICROSOFT, operators: 'EmbedLayerNormalization', rule: embedLayerNormalization },
]
