/**
 * Norms of single examples' gradients for clipping, never too small: a norm that comes out too small clips too little, and
 * differential privacy is owed what was not clipped. Squares are added up in float64, where the products of a sequence
 * may cancel and still leave their digits, and what rounding may hide is added on top.
 */
import type { GraphMaker } from './graph-maker.ts'
import { sumOf } from './reductions.ts'

/** Half the distance from 1 to the next number (Higham, Accuracy and Stability of Numerical Algorithms, 2.1). */
const UNIT = { float32: 2 ** -24, float64: 2 ** -53 } as const
const FLOAT32 = 1
const FLOAT64 = 11

/** Of float32, and of a share's division and products after it, with room. */
const LAST_ROUNDINGS = 1 + 2 ** -20

export function wide(maker: GraphMaker, value: string): string {
  return maker.op('Cast', [value], { to: FLOAT64 })
}

const number = (maker: GraphMaker, value: number): string => maker.constant('float64', [], [value])

/** float64: sums of the squares of a float64 value over the axes, which go; over all of them without `axes`. */
export function squaresOf(maker: GraphMaker, value: string, axes?: readonly number[]): string {
  return sumOf(maker, maker.op('Mul', [value, value]), axes)
}

/** float32, not below the root of the sum of these squares. */
export function normOf(maker: GraphMaker, squares: readonly string[]): string {
  const total = squares.length === 1 ? squares[0] : maker.op('Sum', squares)
  const root = maker.op('Mul', [maker.op('Sqrt', [total]), number(maker, LAST_ROUNDINGS)])
  return maker.op('Cast', [root], { to: FLOAT32 })
}

/**
 * float64 [batch]: the square of a sum of matrices of rank one, not below it and not below that of the sum as float32
 * computes it for the clipped gradient. A sum of n numbers is off by at most n units of rounding of the sum of their sizes
 * (Higham, 4.2), whatever the order.
 * @param products float64 [batch, length, length]: of each place with each, whose sum is the square
 * @param lengths float64 [batch, length]: of each place's matrix
 * @param width numbers in the two sums that a product was made of
 */
export function squareOfSum(maker: GraphMaker, products: string, lengths: string, width: number): string {
  const all = sumOf(maker, lengths, [1])
  const places = wide(maker, maker.op('Shape', [lengths], { start: 1, end: 2 }))
  const unit = (type: keyof typeof UNIT, count: string): string => maker.op('Mul', [count, number(maker, UNIT[type])])
  const counted = maker.op('Add', [maker.op('Mul', [places, places]), number(maker, width + 4)])
  const hidden = maker.op('Mul', [maker.op('Mul', [all, all]), unit('float64', counted)])
  const sum = maker.op('Max', [sumOf(maker, products, [1, 2]), number(maker, 0)])
  const rounded = maker.op('Mul', [all, unit('float32', maker.op('Add', [places, number(maker, 4)]))])
  const norm = maker.op('Add', [maker.op('Sqrt', [maker.op('Add', [sum, hidden])]), rounded])
  return maker.op('Mul', [norm, norm])
}
