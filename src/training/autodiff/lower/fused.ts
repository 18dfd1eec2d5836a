/** The engine's fused operators (com.microsoft, version 1), taken apart. */
import { float } from '../node-builder.ts'
import type { Rewrite, RewriteSite } from '../rewrite.ts'
import { positionsFrom } from './heads.ts'

/** Products with transposes of the last two dimensions, scaled. */
const fusedMatMul: Rewrite = (site) => {
  if (site.int('transBatchA', 0) !== 0 || site.int('transBatchB', 0) !== 0) throw site.refusal('it transposes batches')
  const side = (index: number, attribute: string): string => {
    if (site.int(attribute, 0) === 0) return site.input(index)
    const rank = site.needRank(site.input(index))
    const order = Array.from({ length: rank }, (_, axis) => axis)
    order.push(...order.splice(-2).reverse())
    return site.transpose(site.input(index), order)
  }
  const product = site.op('MatMul', [side(0, 'transA'), side(1, 'transB')])
  const alpha = site.float('alpha', 1)
  site.returns(0, alpha === 1 ? product : site.mul(product, site.number(alpha)))
}

const biased = (site: RewriteSite, bias = 1): string =>
  site.given(bias) ? site.add(site.input(0), site.input(bias)) : site.input(0)

/** x Phi(x), in operators that all sets have. */
const gelu: Rewrite = (site) => {
  const x = biased(site)
  const cumulated = site.add(site.op('Erf', [site.mul(x, site.number(Math.SQRT1_2))]), site.number(1))
  site.returns(0, site.mul(site.mul(x, site.number(0.5)), cumulated))
}

const fastGelu: Rewrite = (site) => {
  const x = biased(site)
  const cubic = site.mul(site.mul(x, x), site.mul(x, site.number(0.044715)))
  const inner = site.mul(site.add(x, cubic), site.number(Math.sqrt(2 / Math.PI)))
  const tanh = site.add(site.op('Tanh', [inner]), site.number(1))
  site.returns(0, site.mul(site.mul(x, site.number(0.5)), tanh))
}

const quickGelu: Rewrite = (site) => {
  const x = site.input(0)
  site.returns(0, site.mul(x, site.op('Sigmoid', [site.mul(x, site.number(site.float('alpha', 1.702)))])))
}

/** x + bias + skip */
const biasAdd: Rewrite = (site) => {
  const total = biased(site)
  site.returns(0, site.given(2) ? site.add(total, site.input(2)) : total)
}

/** input + skip (+ bias), normalized; then mean and 1 / deviation of the rows, as training keeps them, and the sum. */
function skipped(operator: string, scale: number, shift: number | undefined, bias: number): Rewrite {
  return (site) => {
    const sum = site.add(site.input(0), site.input(1))
    const total = site.given(bias) ? site.add(sum, site.input(bias)) : sum
    const weights = [site.input(scale), shift === undefined ? undefined : site.input(shift)]
    const epsilon = site.float('epsilon', 1e-12)
    site.returns(0, site.op(operator, [total, ...weights], { axis: -1, epsilon: float(epsilon) }))
    if (site.output(1) !== '' || site.output(2) !== '') {
      const mean = site.mean(total, [-1])
      site.returns(1, mean)
      const spread = operator === 'LayerNormalization' ? site.sub(total, mean) : total
      const squares = site.mean(site.mul(spread, spread), [-1])
      site.returns(2, site.op('Reciprocal', [site.op('Sqrt', [site.add(squares, site.number(epsilon))])]))
    }
    site.returns(3, total)
  }
}

/**
 * Rows of a table of words, one of places and one of segments, added up and normalized. The second output counts what a mask
 * lets through in each row, the third is the sum.
 */
const embedding: Rewrite = (site) => {
  const [ids, kinds, mask, positions] = [0, 1, 7, 8].map((index) => site.input(index)) as [
    string,
    string,
    string,
    string,
  ]
  const length = site.op('Shape', [ids], { start: 1, end: 2 })
  const places = positions === '' ? positionsFrom(site, site.int64s([0]), length) : positions
  const words = site.add(site.op('Gather', [site.input(2), ids]), site.op('Gather', [site.input(3), places]))
  const total = kinds === '' ? words : site.add(words, site.op('Gather', [site.input(4), kinds]))
  const epsilon = float(site.float('epsilon', 1e-12))
  site.returns(0, site.op('LayerNormalization', [total, site.input(5), site.input(6)], { axis: -1, epsilon }))
  if (site.output(1) !== '') {
    const batch = site.op('Shape', [ids], { start: 0, end: 1 })
    const ones = (): string => site.cast(site.op('Equal', [mask, site.builder.scalar('int32', 1)]), 'int32')
    site.returns(1, mask === '' ? site.filled('int32', 0, batch) : site.sum(ones(), [1], 0))
  }
  site.returns(2, total)
}

const ACTIVATIONS: Readonly<Record<string, string>> = {
  Relu: 'Relu',
  Tanh: 'Tanh',
  Sigmoid: 'Sigmoid',
  LeakyRelu: 'LeakyRelu',
  HardSigmoid: 'HardSigmoid',
  HardSwish: 'HardSwish',
}

function activated(site: RewriteSite, value: string, parameters: readonly number[]): string {
  const name = site.text('activation', '')
  if (name === '') return value
  if (name === 'Clip') return site.op('Clip', [value, ...parameters.map((bound) => site.number(bound))])
  const operator = ACTIVATIONS[name]
  if (operator === undefined) throw site.refusal(`its activation is ${JSON.stringify(name)}`)
  const [alpha, beta] = parameters
  return site.op(operator, [value], {
    ...(alpha === undefined ? {} : { alpha: float(alpha) }),
    ...(beta === undefined ? {} : { beta: float(beta) }),
  })
}

/** The attributes of the operator within. */
function without(site: RewriteSite, ...names: readonly string[]): Record<string, never> {
  const kept = [...site.node.attributes].filter(([name]) => !names.some((own) => name.startsWith(own)))
  return Object.fromEntries(kept) as Record<string, never>
}

const fusedConv: Rewrite = (site) => {
  const product = site.op('Conv', site.node.inputs.slice(0, 3), without(site, 'activation'))
  const total = site.given(3) ? site.add(product, site.input(3)) : product
  site.returns(0, activated(site, total, site.floats('activation_params') ?? []))
}

const fusedGemm: Rewrite = (site) => {
  const product = site.op('Gemm', site.node.inputs, without(site, 'activation'))
  const alpha = site.attribute('activation_alpha')
  site.returns(0, activated(site, product, alpha?.kind === 'float' ? [alpha.value] : []))
}

export const FUSED_REWRITES: Readonly<Record<string, Rewrite>> = {
  'com.microsoft:FusedMatMul': fusedMatMul,
  'com.microsoft:TransposeMatMul': fusedMatMul,
  'com.microsoft:FusedConv': fusedConv,
  'com.microsoft:FusedGemm': fusedGemm,
  'com.microsoft:Gelu': gelu,
  'com.microsoft:BiasGelu': gelu,
  'com.microsoft:FastGelu': fastGelu,
  'com.microsoft:QuickGelu': quickGelu,
  'com.microsoft:BiasAdd': biasAdd,
  'com.microsoft:EmbedLayerNormalization': embedding,
  'com.microsoft:SkipLayerNormalization': skipped('LayerNormalization', 2, 3, 4),
  'com.microsoft:SkipSimplifiedLayerNormalization': skipped('SimplifiedLayerNormalization', 2, undefined, 3),
}
