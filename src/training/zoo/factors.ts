/** Models of pairs: who, and what. */
import { smallNormal, zeros } from './initialisers.ts'
import type { Layers } from './layers.ts'

/** How well pairs fit: `users` and `items` are int64 [batch]; the score is float32 [batch, 1]. */
export type PairScore = (users: string, items: string) => string

export interface PairSizes {
  readonly users: number
  readonly items: number
  readonly factors: number
}

/** p_u . q_i + b_u + b_i + b (Koren et al. 2009). */
export function matrixFactorisation(layers: Layers, { users, items, factors }: PairSizes): PairScore {
  const { maker } = layers
  const table = (name: string, rows: number, width: number): string =>
    layers.weight(name, [rows, width], rows, width, width === 1 ? zeros : scaledNormal(factors))
  const [user, item] = [table('users.factors', users, factors), table('items.factors', items, factors)]
  const [userBias, itemBias] = [table('users.bias', users, 1), table('items.bias', items, 1)]
  const bias = layers.weight('bias', [1], 1, 1, zeros)
  const row = (from: string, which: string): string => maker.op('Gather', [from, which], { axis: 0 })
  return (who, what) => {
    const product = maker.op('Mul', [row(user, who), row(item, what)])
    const fit = maker.op('ReduceSum', [product, maker.int64s([1])], { keepdims: 1 })
    const biases = maker.op('Add', [maker.op('Add', [row(userBias, who), row(itemBias, what)]), bias])
    return maker.op('Add', [fit, biases])
  }
}

/** An embedding and dense layers for each side; the score is the product of what they make (Huang et al. 2013). */
export function twoTowers(layers: Layers, sizes: PairSizes, hidden: readonly number[]): PairScore {
  const { maker } = layers
  const { factors } = sizes
  const tables = (['users', 'items'] as const).map((side) =>
    layers.weight(`${side}.factors`, [sizes[side], factors], sizes[side], factors, smallNormal),
  )
  const towers = (['users', 'items'] as const).map((side) =>
    layers.tower(`${side}.dense`, factors, [...hidden, factors]),
  )
  return (who, what) => {
    const sides = [who, what].map((which, side) =>
      towers[side]!(maker.op('Gather', [tables[side], which], { axis: 0 })),
    )
    const product = maker.op('Mul', [sides[0], sides[1]])
    return maker.op('ReduceSum', [product, maker.int64s([1])], { keepdims: 1 })
  }
}

/** So that a product of two has the deviation 0.1, whatever their length. */
function scaledNormal(factors: number): typeof smallNormal {
  const deviation = Math.sqrt(0.1 / Math.sqrt(factors))
  return (count, _, __, seeded) => Float32Array.from({ length: count }, () => deviation * seeded.normal())
}
