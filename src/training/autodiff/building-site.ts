/** A node, what is known of it, and the graph that grows: words that rewritings and rules share. */
import { DATA_TYPES } from '../../onnx/index.ts'
import type { DataType, Node } from '../../onnx/index.ts'
import { bytesOfNumbers } from './elements.ts'
import type { Attributes, NodeBuilder } from './node-builder.ts'
import { Site } from './site.ts'
import type { Facts } from './site.ts'

export class BuildingSite extends Site {
  readonly builder: NodeBuilder

  constructor(node: Node, facts: Facts, builder: NodeBuilder) {
    super(node, facts)
    this.builder = builder
  }

  op(opType: string, inputs: readonly (string | undefined)[], attributes: Attributes = {}): string {
    return this.builder.op(opType, inputs, attributes)
  }

  add(left: string, right: string): string {
    return this.op('Add', [left, right])
  }

  sub(left: string, right: string): string {
    return this.op('Sub', [left, right])
  }

  mul(left: string, right: string): string {
    return this.op('Mul', [left, right])
  }

  div(left: string, right: string): string {
    return this.op('Div', [left, right])
  }

  neg(value: string): string {
    return this.op('Neg', [value])
  }

  /** A scalar of the type of a value. */
  number(value: number, like: string = this.input(0)): string {
    return this.builder.scalar(this.floatType(like), value)
  }

  cast(value: string, type: DataType): string {
    return this.op('Cast', [value], { to: DATA_TYPES[type] })
  }

  /** 1 where a condition holds and 0 elsewhere, of the type of a value. */
  indicator(condition: string, like: string = this.input(0)): string {
    return this.cast(condition, this.floatType(like))
  }

  /** int64 [rank]: the shape of a value, a constant where it is known. */
  shapeTensor(name: string): string {
    const sizes = this.sizes(name)
    return sizes === undefined ? this.op('Shape', [name]) : this.builder.int64s(sizes)
  }

  /** As the shape of a value. The shape may have zeros in it. */
  reshapeLike(value: string, like: string): string {
    return this.op('Reshape', [value, this.shapeTensor(like)], { allowzero: 1 })
  }

  /** To a shape where -1 stands for what is left over and 0 for what was there. */
  reshape(value: string, sizes: readonly number[]): string {
    return this.op('Reshape', [value, this.builder.int64s(sizes)])
  }

  zerosLike(name: string): string {
    return this.filled(this.floatType(name), 0, this.shapeTensor(name))
  }

  /** A tensor of one number; `shape` is int64 [rank]. */
  filled(type: DataType, element: number, shape: string): string {
    const value = {
      name: '',
      type,
      dims: [1],
      data: { kind: 'bytes', bytes: bytesOfNumbers(type, [element]) },
    } as const
    return this.op('ConstantOfShape', [shape], { value: { kind: 'tensor', value } })
  }

  /** int64 [n] */
  int64s(values: readonly number[]): string {
    return this.builder.int64s(values)
  }

  unsqueeze(value: string, axes: readonly number[]): string {
    return this.op('Unsqueeze', [value, this.int64s(axes)])
  }

  squeeze(value: string, axes: readonly number[]): string {
    return this.op('Squeeze', [value, this.int64s(axes)])
  }

  transpose(value: string, perm: readonly number[]): string {
    return perm.every((axis, index) => axis === index) ? value : this.op('Transpose', [value], { perm })
  }

  /** Over these axes, which stay as 1 unless `keepdims` is 0; over all of them where none are given. */
  sum(value: string, axes?: readonly number[], keepdims = 1): string {
    return this.op('ReduceSum', [value, axes === undefined ? undefined : this.int64s(axes)], { keepdims })
  }

  mean(value: string, axes?: readonly number[], keepdims = 1): string {
    return this.op('ReduceMean', [value, axes === undefined ? undefined : this.int64s(axes)], { keepdims })
  }

  concat(values: readonly string[], axis: number): string {
    return values.length === 1 ? values[0]! : this.op('Concat', values, { axis })
  }

  /** From `from` to `to` along one axis; ends beyond the size mean the size. */
  slice(value: string, axis: number, from: number, to: number): string {
    return this.op('Slice', [value, this.int64s([from]), this.int64s([to]), this.int64s([axis])])
  }

  /** int64 [1]: one size of a value. */
  size(name: string, axis: number): string {
    const size = this.shape(name)?.at(axis)
    if (typeof size === 'number') return this.int64s([size])
    const end = axis === -1 ? {} : { end: axis + 1 }
    return this.op('Shape', [name], { start: axis, ...end })
  }
}
