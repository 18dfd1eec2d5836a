/** Sums and means, in the forms that all opsets from 13 on have. */
import type { GraphMaker } from './graph-maker.ts'

/** Over the axes, which go; all of them without `axes`. */
export function sumOf(maker: GraphMaker, value: string, axes?: readonly number[]): string {
  const over = axes === undefined ? undefined : maker.int64s(axes)
  return maker.op('ReduceSum', [value, over], { keepdims: 0 })
}

/** sum(weight * value) / sum(weight); the plain mean without weights. All the same shape; a scalar comes out. */
export function meanOf(maker: GraphMaker, value: string, weight?: string): string {
  if (weight !== undefined) {
    const total = sumOf(maker, maker.op('Mul', [value, weight]))
    // A batch of which nothing counts has the loss 0, and no gradient.
    const weights = maker.op('Max', [sumOf(maker, weight), maker.scalar(1e-12)])
    return maker.op('Div', [total, weights])
  }
  const count = maker.op('Cast', [maker.op('Size', [value])], { to: 1 })
  return maker.op('Div', [sumOf(maker, value), count])
}
