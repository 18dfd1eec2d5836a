/** Operators that make a tensor of no other. */
import type { Dimension, Shape } from '../../ir/index.ts'
import { tensor } from '../call.ts'
import type { Call, Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'
import { shapeFrom } from './shaping.ts'
import { dataTypeOf } from './types.ts'

const constant: Rule = (call) => {
  for (const [name, attribute] of call.node.attributes) {
    if (name === 'value' && attribute.kind === 'tensor') return [tensor(attribute.value.type, attribute.value.dims)]
    if (name === 'sparse_value' && attribute.kind === 'sparse')
      return [tensor(attribute.value.values.type, attribute.value.dims)]
    if (name === 'value_int' && attribute.kind === 'int') return [tensor('int64', [])]
    if (name === 'value_float' && attribute.kind === 'float') return [tensor('float32', [])]
    if (name === 'value_string' && attribute.kind === 'string') return [tensor('string', [])]
    if (name === 'value_ints' && attribute.kind === 'ints') return [tensor('int64', [attribute.values.length])]
    if (name === 'value_floats' && attribute.kind === 'floats') return [tensor('float32', [attribute.values.length])]
    if (name === 'value_strings' && attribute.kind === 'strings') return [tensor('string', [attribute.values.length])]
  }
  return []
}

const constantOfShape: Rule = (call) => {
  const value = call.attribute('value')
  return [tensor(value?.kind === 'tensor' ? value.value.type : 'float32', shapeFrom(call, 0))]
}

const random: Rule = (call) => [tensor(dataTypeOf(call.int('dtype', 1)), shapeAttribute(call))]

function shapeAttribute(call: Call): Shape {
  return call.ints('shape')?.map((size) => (size < 0 ? null : size)) ?? null
}

const multinomial: Rule = (call) => [
  tensor(dataTypeOf(call.int('dtype', 6)), [call.dimension(0, 0), call.int('sample_size', 1)]),
]

const range: Rule = (call) => {
  const [start, limit, delta] = [call.scalar(0), call.scalar(1), call.scalar(2)]
  return [
    tensor(call.type(0) ?? call.type(1) ?? call.type(2), [
      rangeLength(call, start, limit, delta ?? (call.given(2) ? null : 1)),
    ]),
  ]
}

export function rangeLength(
  { algebra }: Call,
  start: Dimension | undefined,
  limit: Dimension | undefined,
  delta: Dimension,
): Dimension {
  if (start === undefined || limit === undefined || typeof delta !== 'number' || delta === 0) return null
  if (typeof start === 'number' && typeof limit === 'number') {
    const count = Math.max(Math.ceil((limit - start) / delta), 0)
    return Number.isSafeInteger(count) ? count : null
  }
  if (delta < 0 || !Number.isInteger(delta)) return null
  return algebra.ceilDivide(algebra.max(algebra.subtract(limit, start), 0), delta)
}

/** A filter bank: [bins of the spectrum, mel bins]. */
const melWeights: Rule = (call) => {
  const { algebra } = call
  const bins = algebra.add(algebra.floorDivide(call.scalar(1) ?? null, 2), 1)
  return [tensor(dataTypeOf(call.int('output_datatype', 1)), [bins, call.scalar(0) ?? null])]
}

const samplingWindow: Rule = (call) => [tensor(dataTypeOf(call.int('output_datatype', 1)), [call.scalar(0) ?? null])]

const eyeLike: Rule = (call) => {
  const type = call.attribute('dtype') === undefined ? call.type(0) : dataTypeOf(call.int('dtype'))
  return [tensor(type, call.shape(0))]
}

const imageDecoder: Rule = () => [tensor('uint8', [null, null, null])]

export const GENERATION: readonly Family[] = [
  { operators: 'Constant', rule: constant },
  { operators: 'ConstantOfShape', rule: constantOfShape },
  { operators: 'RandomNormal RandomUniform', rule: random },
  { operators: 'Multinomial', rule: multinomial },
  { operators: 'Range', rule: range },
  { domain: MICROSOFT, operators: 'Range', rule: range },
  { operators: 'MelWeightMatrix', rule: melWeights },
  { operators: 'BlackmanWindow HammingWindow HannWindow', rule: samplingWindow },
  { operators: 'EyeLike', rule: eyeLike },
  { operators: 'ImageDecoder', rule: imageDecoder },
]
