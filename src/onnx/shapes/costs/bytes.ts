/** How large values are once the free dimensions are bound. */
import { ELEMENT_BITS } from '../../ir/index.ts'
import type { DataType, TensorValue, ValueType } from '../../ir/index.ts'
import { dimensionSize } from '../evaluate.ts'
import type { Bind } from '../evaluate.ts'

/** Bytes of elements of a type, those of 4 and 2 bits packed; null for strings, which have no size of their own. */
export function elementBytes(type: DataType, count: number): number | null {
  return type === 'string' ? null : Math.ceil((count * ELEMENT_BITS[type]) / 8)
}

/** Sizes with names bound; a size that is no size (an expression that turned negative) counts as 0. */
export function boundShape(type: ValueType | undefined, bind?: Bind): readonly number[] | null {
  if (type?.kind !== 'tensor' || type.shape === null) return null
  return type.shape.map((size) => {
    const bound = dimensionSize(size, bind)
    return bound > 0 ? bound : 0
  })
}

/**
 * Bytes of a tensor, its free dimensions bound by `bind` (1 each without it). Null where there is no saying: no tensor,
 * strings, an unknown rank.
 */
export function valueBytes(type: ValueType | undefined, bind?: Bind): number | null {
  const shape = boundShape(type, bind)
  if (shape === null || type?.kind !== 'tensor') return null
  return elementBytes(type.type, elementsOf(shape))
}

export function elementsOf(shape: readonly number[]): number {
  return shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1)
}

/** Of a constant as it lies in the file. */
export function constantBytes({ type, dims, data }: TensorValue): number {
  if (data.kind === 'strings') return data.values.reduce((sum, value) => sum + value.byteLength, 0)
  const bytes = elementBytes(type, elementsOf(dims)) ?? 0
  return bytes > 0 ? bytes : 0
}
