/** Lists of values, and values that may be absent. A list has one type for all its elements. */
import type { Dimension, ValueType } from '../../ir/index.ts'
import { axisWithin, replaceDimension, tensor } from '../call.ts'
import type { Call, Rule } from '../call.ts'
import type { Family } from '../registry.ts'
import { dataTypeOf, mergeTypes } from './types.ts'

function elementOf(call: Call, input: number): ValueType | undefined {
  const value = call.value(input)
  return value?.kind === 'sequence' || value?.kind === 'optional' ? (value.element ?? undefined) : undefined
}

function sequence(element: ValueType | null | undefined): ValueType {
  return { kind: 'sequence', element: element ?? null }
}

const construct: Rule = (call) => {
  const types = call.node.inputs.map((_, input) => call.value(input))
  return [
    sequence(
      types.reduce<ValueType | null | undefined>(
        (merged, type) => merged && type && mergeTypes(merged, type),
        types[0],
      ),
    ),
  ]
}

const empty: Rule = (call) => [sequence(tensor(dataTypeOf(call.int('dtype', 1)), null))]

/** An empty list tells nothing of the shapes that come in. */
const insert: Rule = (call) => {
  const [element, added] = [elementOf(call, 0), call.value(1)]
  return [sequence(element && added && mergeTypes(element, added))]
}

const splitToSequence: Rule = (call) => {
  const shape = call.shape(0)
  const axis = shape === null ? undefined : axisWithin(call.int('axis', 0), shape.length)
  if (shape === null || axis === undefined) return [sequence(tensor(call.type(0), null))]
  if (!call.given(1)) {
    const kept = call.int('keepdims', 1) !== 0
    const sizes = kept ? replaceDimension(shape, axis, 1) : shape.filter((_, at) => at !== axis)
    return [sequence(tensor(call.type(0), sizes))]
  }
  return [sequence(tensor(call.type(0), replaceDimension(shape, axis, partSize(call, shape[axis]!))))]
}

/** One size where all parts have it: the last may be smaller than the others. */
function partSize(call: Call, size: Dimension): Dimension {
  const known = call.known(1)
  const each = known?.elements[0] ?? null
  if (known === undefined || typeof each !== 'number') return null
  if (known.dims.length > 0) return known.elements.every((part) => part === each) ? each : null
  return each > 0 && call.algebra.divideExactly(size, each) !== null ? each : null
}

const concatFromSequence: Rule = (call) => {
  const element = elementOf(call, 0)
  if (element?.kind !== 'tensor') return []
  const { type, shape } = element
  const added = call.int('new_axis', 0) === 1
  const rank = (shape?.length ?? 0) + (added ? 1 : 0)
  const axis = axisWithin(call.int('axis', 0), rank)
  if (shape === null || axis === undefined) return [tensor(type, null)]
  const sizes = added ? [...shape.slice(0, axis), null, ...shape.slice(axis)] : replaceDimension(shape, axis, null)
  return [tensor(type, sizes)]
}

const optional: Rule = (call) => {
  const named = call.attribute('type')
  const element = call.given(0) ? call.value(0) : named?.kind === 'type' ? named.value : null
  return [{ kind: 'optional', element: element ?? null }]
}

/** Since opset 18 a value that is no optional passes as it is. */
const optionalElement: Rule = (call) => {
  const value = call.value(0)
  return [value?.kind === 'optional' ? (value.element ?? undefined) : value]
}

/** The first two of the outputs of a list operator that leaves the list's type as it is. */
const sameList: Rule = (call) => [call.value(0)]

export const SEQUENCE: readonly Family[] = [
  { operators: 'SequenceConstruct', rule: construct },
  { operators: 'SequenceEmpty', rule: empty },
  { operators: 'SequenceInsert', rule: insert },
  { operators: 'SequenceErase', rule: sameList },
  { operators: 'SequenceAt', rule: (call) => [elementOf(call, 0)] },
  {
    operators: 'SequenceLength OptionalHasElement',
    rule: (call) => [tensor(call.node.opType === 'SequenceLength' ? 'int64' : 'bool', [])],
  },
  { operators: 'SplitToSequence', rule: splitToSequence },
  { operators: 'ConcatFromSequence', rule: concatFromSequence },
  { operators: 'Optional', rule: optional },
  { operators: 'OptionalGetElement', rule: optionalElement },
]
