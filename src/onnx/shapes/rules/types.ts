/** Element types by their numbers, and what several types have in common. */
import { dataTypeOf as typeOfNumber } from '../../ir/index.ts'
import type { DataType, ValueType } from '../../ir/index.ts'

/** By the number of TensorProto.DataType in an attribute. */
export function dataTypeOf(number: number | undefined): DataType | undefined {
  return number === undefined ? undefined : typeOfNumber(number)
}

/** What holds whichever of the two a value has: sizes that differ are not known. Null: nothing holds. */
export function mergeTypes(left: ValueType, right: ValueType): ValueType | null {
  if (left.kind === 'tensor' || left.kind === 'sparse') {
    if (right.kind !== left.kind || right.type !== left.type) return null
    const [a, b] = [left.shape, right.shape]
    if (a === null || b === null || a.length !== b.length) return { kind: left.kind, type: left.type, shape: null }
    return { kind: left.kind, type: left.type, shape: a.map((size, axis) => (size === b[axis] ? size : null)) }
  }
  if (left.kind === 'map') {
    if (right.kind !== 'map' || right.key !== left.key) return null
    return { kind: 'map', key: left.key, value: mergeElements(left.value, right.value) }
  }
  if (right.kind !== left.kind) return null
  return { kind: left.kind, element: mergeElements(left.element, right.element) }
}

export function mergeElements(left: ValueType | null, right: ValueType | null): ValueType | null {
  return left === null || right === null ? null : mergeTypes(left, right)
}
