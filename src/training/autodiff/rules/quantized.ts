/** Products with frozen quantized weights: the gradient goes to what they are multiplied with. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

/**
 * MatMulNBits: A [..., K] by the transpose of B [N, K], of which each row is cut into blocks with a scale of their own.
 * The weights are unpacked here where they are needed, four bits to a number, and stay packed in the file.
 */
const matMulBits: GradientRule = (site) => {
  const result = site.op('MatMul', [site.gradient, unpackedWeights(site)])
  return [site.wants(0) ? result : undefined, undefined, undefined, undefined, undefined, biasGradient(site)]
}

function biasGradient(site: GradientSite): string | undefined {
  return site.wants(5) ? site.reduceTo(site.gradient, site.shape(site.output(0)), site.input(5)) : undefined
}

/** [N, K] */
function unpackedWeights(site: GradientSite): string {
  const [bits, block] = [site.int('bits', 4), site.int('block_size', 32)]
  const [k, n] = [site.int('K', 0), site.int('N', 0)]
  if (bits !== 4 && bits !== 8) throw site.refusal(`its weights have ${bits} bits`)
  if (site.given(4)) throw site.refusal('its blocks are reordered')
  const type = site.floatType(site.input(0))
  const blocks = Math.ceil(k / block)
  const quants = site.op('Reshape', [nibbles(site, site.input(1), bits), site.int64s([n, blocks, block])])
  const centred = site.sub(site.cast(quants, type), zeroPoints(site, bits, n, blocks))
  const scales = site.op('Reshape', [site.cast(site.input(2), type), site.int64s([n, blocks, 1])])
  const rows = site.op('Reshape', [site.mul(centred, scales), site.int64s([n, blocks * block])])
  return blocks * block === k ? rows : site.slice(rows, 1, 0, k)
}

/** uint8, one number a place; of four bits, the lower half of a byte comes first. */
function nibbles(site: GradientSite, packed: string, bits: number): string {
  if (bits === 8) return packed
  const low = site.op('BitwiseAnd', [packed, site.builder.scalar('uint8', 15)])
  const high = site.op('BitShift', [packed, site.builder.scalar('uint8', 4)], { direction: 'RIGHT' })
  return site.op('Concat', [site.unsqueeze(low, [-1]), site.unsqueeze(high, [-1])], { axis: -1 })
}

/** Stretched to [N, blocks, 1]; in the middle of the range where none are given. */
function zeroPoints(site: GradientSite, bits: number, n: number, blocks: number): string {
  const type = site.floatType(site.input(0))
  if (!site.given(3)) return site.builder.scalar(type, 2 ** (bits - 1))
  const given = site.input(3)
  if (site.type(given) !== 'uint8') {
    return site.op('Reshape', [site.cast(given, type), site.int64s([n, blocks, 1])])
  }
  // Each row is filled up to whole bytes.
  const perRow = bits === 8 ? blocks : 2 * Math.ceil(blocks / 2)
  const rows = site.op('Reshape', [nibbles(site, given, bits), site.int64s([n, perRow])])
  return site.cast(site.op('Reshape', [site.slice(rows, 1, 0, blocks), site.int64s([n, blocks, 1])]), type)
}

/** (x - zero) scale, by element, by channel along an axis, or by block. */
const dequantize: GradientRule = (site) => {
  if (!site.wants(1)) return []
  const x = site.input(0)
  const scale = site.input(1)
  const type = site.floatType(scale)
  if (site.int('block_size', 0) !== 0) throw site.refusal('the gradient of scales by block is not known')
  const rank = site.needRank(x)
  const axis = site.axis(site.int('axis', 1), Math.max(rank, 2))
  const perChannel = site.needRank(scale) === 1 && rank > 1
  const column = Array.from({ length: rank }, (_, place) => (place === axis ? -1 : 1))
  const shaped = (value: string): string => (perChannel ? site.reshape(value, column) : value)
  const number = site.cast(x, type)
  const centred = site.given(2) ? site.sub(number, shaped(site.cast(site.input(2), type))) : number
  const product = site.mul(site.cast(site.gradient, type), centred)
  const others = column.flatMap((size, place) => (perChannel && size === -1 ? [] : [place]))
  return [undefined, site.reshapeLike(site.sum(product, others, 0), scale)]
}

export const QUANTIZED: readonly RuleFamily[] = [
  { domain: 'com.microsoft', operators: 'MatMulNBits', rule: matMulBits },
  { operators: 'DequantizeLinear', rule: dequantize },
]
