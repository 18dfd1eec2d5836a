/** Matrix products. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

/** Swaps the last two dimensions. */
export function transposed(site: GradientSite, value: string, rank: number): string {
  const order = Array.from({ length: rank }, (_, axis) => axis)
  order.push(...order.splice(-2).reverse())
  return site.op('Transpose', [value], { perm: order })
}

/** A [..., m, k] by B [..., k, n]; a vector stands for one row, or one column. */
const matMul: GradientRule = (site) => {
  const [a, b] = [site.input(0), site.input(1)]
  const [rankA, rankB] = [site.needRank(a), site.needRank(b)]
  if (rankA >= 2 && rankB === 2) return byMatrix(site)
  const [left, right] = [Math.max(rankA, 2), Math.max(rankB, 2)]
  const first = rankA === 1 ? site.unsqueeze(a, [0]) : a
  const second = rankB === 1 ? site.unsqueeze(b, [1]) : b
  const added = [...(rankA === 1 ? [-2] : []), ...(rankB === 1 ? [-1] : [])]
  const gradient = added.length === 0 ? site.gradient : site.unsqueeze(site.gradient, added)
  const rank = Math.max(left, right)
  const toFirst = (): string => summed(site, site.op('MatMul', [gradient, transposed(site, second, right)]), rank, 0)
  const toSecond = (): string => summed(site, site.op('MatMul', [transposed(site, first, left), gradient]), rank, 1)
  return [site.wants(0) ? toFirst() : undefined, site.wants(1) ? toSecond() : undefined]
}

/**
 * All rows at once. Gemm transposes as it goes: a Transpose of its own would be a copy, and where the engine fuses it
 * with a MatMul, the order that frees activations early is lost.
 */
function byMatrix(site: GradientSite): readonly (string | undefined)[] {
  const [a, b] = [site.input(0), site.input(1)]
  const isFlat = site.needRank(a) === 2
  const rows = (value: string, like: string): string =>
    isFlat
      ? value
      : site.op('Reshape', [value, site.op('Concat', [site.int64s([-1]), site.size(like, -1)], { axis: 0 })])
  const gradient = rows(site.gradient, site.output(0))
  const toFirst = (): string => {
    const product = site.op('Gemm', [gradient, b], { transB: 1 })
    return isFlat ? product : site.reshapeLike(product, a)
  }
  return [
    site.wants(0) ? toFirst() : undefined,
    site.wants(1) ? site.op('Gemm', [rows(a, a), gradient], { transA: 1 }) : undefined,
  ]
}

/** Batch dimensions that the operand did not have, or had only once. */
function summed(site: GradientSite, full: string, rank: number, index: number): string {
  const name = site.input(index)
  const own = site.shape(name)!
  const result = site.shape(site.output(0))
  const lead = Math.max(0, rank - 2)
  const rankOut = site.needRank(name)
  if (rankOut === 1) {
    const all = Array.from({ length: lead }, (_, axis) => axis)
    const total = lead === 0 ? full : site.op('ReduceSum', [full, site.builder.int64s(all)], { keepdims: 0 })
    return site.reshapeLike(total, name)
  }
  const batch = result === null ? null : result.slice(0, lead)
  const from = batch === null ? null : [...batch, ...own.slice(-2)]
  return site.reduceTo(full, from, name)
}

/** alpha A' B' + beta C, where ' is a transpose if asked for. */
const gemm: GradientRule = (site) => {
  const [a, b] = [site.input(0), site.input(1)]
  const [transA, transB] = [site.int('transA', 0), site.int('transB', 0)]
  const [alpha, beta] = [site.float('alpha', 1), site.float('beta', 1)]
  const { gradient } = site
  const product = (left: string, right: string, transA: number, transB: number): string =>
    site.op('Gemm', [left, right], { transA, transB, alpha: { kind: 'float', value: alpha } })
  const toC = (): string => {
    const scaled = beta === 1 ? gradient : site.mul(gradient, site.number(beta))
    return site.reduceTo(scaled, site.shape(site.output(0)) ?? [null, null], site.input(2))
  }
  return [
    site.wants(0) ? (transA ? product(b, gradient, transB, 1) : product(gradient, b, 0, transB ? 0 : 1)) : undefined,
    site.wants(1) ? (transB ? product(gradient, a, 1, transA) : product(a, gradient, transA ? 0 : 1, 0)) : undefined,
    site.wants(2) ? toC() : undefined,
  ]
}

export const PRODUCT: readonly RuleFamily[] = [
  { operators: 'MatMul', rule: matMul },
  { operators: 'Gemm', rule: gemm },
]
