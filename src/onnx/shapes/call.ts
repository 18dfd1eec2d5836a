/** One operator applied to its inputs, as the rules see it: every question has an answer, whatever the file says. */
import type { Attribute, DataType, Dimension, Node, Shape, ValueType } from '../ir/index.ts'
import type { Algebra } from './algebra.ts'
import type { KnownTensor, ReadConstant } from './types.ts'

/** More numbers than this in one attribute name no shape. */
const MAX_LIST = 4096
/** ONNX Runtime and NumPy stop at far less. */
export const MAX_RANK = 64

/** The types of the outputs in order; undefined or missing: unknown. A null among the dimensions: unknown too. */
export type Rule = (call: Call) => readonly (ValueType | undefined)[]

/** What a scope knows of names. */
export interface Lookup {
  type(name: string): ValueType | undefined
  known(name: string): KnownTensor | undefined
}

export class Call {
  readonly node: Node
  /** Of the operator set that the node is from; 0 where the model imports none. */
  readonly version: number
  readonly algebra: Algebra
  /** The bytes of constants that lie in files. */
  readonly read: ReadConstant | undefined
  readonly #lookup: Lookup

  constructor(node: Node, version: number, algebra: Algebra, lookup: Lookup, read?: ReadConstant) {
    this.node = node
    this.version = version
    this.algebra = algebra
    this.#lookup = lookup
    this.read = read
  }

  given(input: number): boolean {
    return (this.node.inputs[input] ?? '') !== ''
  }

  value(input: number): ValueType | undefined {
    const name = this.node.inputs[input] ?? ''
    return name === '' ? undefined : this.#lookup.type(name)
  }

  /** Element type of a tensor. */
  type(input: number): DataType | undefined {
    const value = this.value(input)
    return value?.kind === 'tensor' || value?.kind === 'sparse' ? value.type : undefined
  }

  shape(input: number): Shape {
    const value = this.value(input)
    return value?.kind === 'tensor' || value?.kind === 'sparse' ? value.shape : null
  }

  /** Of a tensor with this many dimensions; else null. */
  shapeOfRank(input: number, rank: number): readonly Dimension[] | null {
    const shape = this.shape(input)
    return shape?.length === rank ? shape : null
  }

  dimension(input: number, axis: number): Dimension {
    const shape = this.shape(input)
    return (axis < 0 ? shape?.[shape.length + axis] : shape?.[axis]) ?? null
  }

  known(input: number): KnownTensor | undefined {
    const name = this.node.inputs[input] ?? ''
    return name === '' ? undefined : this.#lookup.known(name)
  }

  /** All elements of a small tensor, where all are numbers. */
  numbers(input: number): readonly number[] | undefined {
    const elements = this.known(input)?.elements
    return elements?.every((element) => typeof element === 'number') ? elements : undefined
  }

  /** The only element of a small tensor. */
  scalar(input: number): Dimension | undefined {
    const elements = this.known(input)?.elements
    return elements?.length === 1 ? elements[0] : undefined
  }

  attribute(name: string): Attribute | undefined {
    return this.node.attributes.get(name)
  }

  int(name: string): number | undefined
  int(name: string, otherwise: number): number
  int(name: string, otherwise?: number): number | undefined {
    const attribute = this.node.attributes.get(name)
    return attribute?.kind === 'int' ? Number(attribute.value) : otherwise
  }

  ints(name: string): readonly number[] | undefined {
    const attribute = this.node.attributes.get(name)
    if (attribute?.kind !== 'ints' || attribute.values.length > MAX_LIST) return undefined
    return attribute.values.map(Number)
  }

  floats(name: string): readonly number[] | undefined {
    const attribute = this.node.attributes.get(name)
    return attribute?.kind === 'floats' && attribute.values.length <= MAX_LIST ? attribute.values : undefined
  }

  text(name: string, otherwise: string): string {
    const attribute = this.node.attributes.get(name)
    return attribute?.kind === 'string' ? Buffer.from(attribute.value).toString('latin1') : otherwise
  }

  /**
   * Axes of an attribute, or since later opsets of an input, made to count from 0. `none`: neither is there. Undefined:
   * they are not known, or do not fit the rank.
   */
  axes(rank: number, input = 1): readonly number[] | 'none' | undefined {
    const attribute = this.ints('axes')
    if (attribute === undefined && !this.given(input)) return this.attribute('axes') === undefined ? 'none' : undefined
    return axesWithin(attribute ?? this.numbers(input), rank)
  }
}

export function axisWithin(axis: number, rank: number): number | undefined {
  const positive = axis < 0 ? axis + rank : axis
  return Number.isInteger(positive) && positive >= 0 && positive < rank ? positive : undefined
}

export function axesWithin(axes: readonly number[] | undefined, rank: number): readonly number[] | undefined {
  const positive = axes?.map((axis) => axisWithin(axis, rank))
  return positive?.every((axis) => axis !== undefined) ? positive : undefined
}

/** Undefined where the element type is not known, or the rank is absurd. */
export function tensor(type: DataType | undefined, shape: Shape | undefined): ValueType | undefined {
  if (type === undefined) return undefined
  return { kind: 'tensor', type, shape: shape === undefined || (shape?.length ?? 0) > MAX_RANK ? null : shape }
}

export function unknownDimensions(rank: number): readonly Dimension[] | null {
  return rank >= 0 && rank <= MAX_RANK ? Array.from({ length: rank }, () => null) : null
}

export function replaceDimension(shape: readonly Dimension[], axis: number, size: Dimension): readonly Dimension[] {
  return shape.map((dimension, at) => (at === axis ? size : dimension))
}

/** As NumPy stretches shapes; null where a rank is not known. */
export function broadcastShapes(algebra: Algebra, shapes: readonly Shape[]): Shape {
  let result: readonly Dimension[] = []
  for (const shape of shapes) {
    if (shape === null) return null
    const rank = Math.max(result.length, shape.length)
    const [left, right] = [result, shape]
    result = Array.from({ length: rank }, (_, axis) => {
      const [a, b] = [axis - rank + left.length, axis - rank + right.length]
      if (a < 0) return right[b]!
      return b < 0 ? left[a]! : algebra.broadcast(left[a]!, right[b]!)
    })
  }
  return result
}
