/** Where known elements begin: constants, shapes and sizes. */
import type { Dimension } from '../../ir/index.ts'
import type { Call } from '../call.ts'
import { MAX_KNOWN, knownConstant, smallCount } from '../constants.ts'
import { rangeLength } from '../rules/generation.ts'
import { shapeRange } from '../rules/shaping.ts'
import type { KnownTensor } from '../types.ts'
import type { ValueRule } from './index.ts'

const constant: ValueRule = (call) => [constantElements(call)]

function constantElements(call: Call): KnownTensor | undefined {
  for (const [name, attribute] of call.node.attributes) {
    if (name === 'value' && attribute.kind === 'tensor') return knownConstant(attribute.value, call.read)
    if (attribute.kind === 'int' && name === 'value_int') return { dims: [], elements: [Number(attribute.value)] }
    if (attribute.kind === 'float' && name === 'value_float') return { dims: [], elements: [attribute.value] }
    if (attribute.kind === 'ints' && name === 'value_ints') return list(attribute.values.map(Number))
    if (attribute.kind === 'floats' && name === 'value_floats') return list(attribute.values)
  }
  return undefined
}

function list(elements: readonly Dimension[]): KnownTensor | undefined {
  return elements.length <= MAX_KNOWN ? { dims: [elements.length], elements } : undefined
}

const shapeOf: ValueRule = (call) => {
  const shape = call.shape(0)
  return [shape === null ? undefined : list(shape.slice(...shapeRange(call, shape.length)))]
}

const sizeOf: ValueRule = (call) => {
  const shape = call.shape(0)
  return [shape === null ? undefined : { dims: [], elements: [call.algebra.product(shape)] }]
}

const filled: ValueRule = (call, dims) => {
  const value = call.attribute('value')
  const element = value?.kind === 'tensor' ? knownConstant(value.value, call.read)?.elements[0] : 0
  const count = smallCount(dims)
  if (element === undefined || count === undefined) return []
  return [{ dims, elements: Array.from({ length: count }, () => element) }]
}

const range: ValueRule = (call) => {
  const [start, limit, delta] = [call.scalar(0), call.scalar(1), call.scalar(2)]
  if (start === undefined || typeof delta !== 'number') return []
  const count = rangeLength(call, start, limit, delta)
  if (typeof count !== 'number' || count > MAX_KNOWN) return []
  return [list(Array.from({ length: count }, (_, at) => call.algebra.add(start, at * delta)))]
}

export const SOURCES = [
  { operators: 'Constant', rule: constant },
  { operators: 'Shape', rule: shapeOf },
  { operators: 'Size', rule: sizeOf },
  { operators: 'ConstantOfShape', rule: filled },
  { operators: 'Range', rule: range },
]
