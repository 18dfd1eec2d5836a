/** Quantized weights: whole numbers stay as they are, and the gradient goes to what they are multiplied with. */
import type { DataType } from '../../../onnx/index.ts'
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

/** A matrix [N, K] of packed numbers, of which each row is cut into blocks with a scale of their own. */
interface Packed {
  readonly bits: number
  readonly n: number
  readonly k: number
  readonly block: number
  /** Blocks a row; the last one may be filled up. */
  readonly blocks: number
}

/**
 * MatMulNBits: A [..., K] by the transpose of B [N, K]. The weights are unpacked here where they are needed, four bits
 * to a number, and stay packed in the file.
 */
const matMulBits: GradientRule = (site) => {
  const form = packedForm(site)
  const centred = site.sub(quants(site, form), zeroPoints(site, form))
  const scales = blockColumn(site, site.input(2), form)
  const [scale, zero] = blockGradients(site, form, centred, scales)
  return [
    site.wants(0) ? site.op('MatMul', [site.gradient, rowsOf(site, form, site.mul(centred, scales))]) : undefined,
    undefined,
    scale,
    zero,
    undefined,
    site.wants(5) ? site.reduceTo(site.gradient, site.shape(site.output(0)), site.input(5)) : undefined,
  ]
}

function packedForm(site: GradientSite): Packed {
  const [bits, block] = [site.int('bits', 4), site.int('block_size', 32)]
  const [k, n] = [site.int('K', 0), site.int('N', 0)]
  if (bits !== 4 && bits !== 8) throw site.refusal(`its weights have ${bits} bits`)
  if (site.given(4)) throw site.refusal('its blocks are reordered')
  return { bits, n, k, block, blocks: Math.ceil(k / block) }
}

/**
 * A weight is (q - zero) scale, so with H = G' A, the gradient of the weights, a scale gets the sum over its block of
 * H (q - zero), and a zero point that is of floating point -scale times the sum of H. H is there only where one of them
 * is asked for: it is as large as the weights unpacked.
 */
function blockGradients(
  site: GradientSite,
  form: Packed,
  centred: string,
  scales: string,
): readonly [scale: string | undefined, zero: string | undefined] {
  if (!site.wants(2) && !site.wants(3)) return [undefined, undefined]
  const { n, k, block, blocks } = form
  const rows = (value: string, width: number): string => site.reshape(value, [-1, width])
  const whole = site.op('Gemm', [rows(site.gradient, n), rows(site.input(0), k)], { transA: 1 })
  const filled =
    blocks * block === k
      ? whole
      : site.op('Pad', [whole, site.int64s([0, blocks * block - k]), undefined, site.int64s([1])])
  const ofWeights = site.reshape(filled, [n, blocks, block])
  const like = (value: string, index: number): string =>
    site.reshapeLike(site.cast(value, site.floatType(site.input(index))), site.input(index))
  return [
    site.wants(2) ? like(site.sum(site.mul(ofWeights, centred), [2]), 2) : undefined,
    site.wants(3) ? like(site.neg(site.mul(site.sum(ofWeights, [2]), scales)), 3) : undefined,
  ]
}

/** [N, blocks, block] */
function quants(site: GradientSite, { bits, n, block, blocks }: Packed): string {
  const numbers = site.reshape(nibbles(site, site.input(1), bits), [n, blocks, block])
  return site.cast(numbers, site.floatType(site.input(0)))
}

/** [N, blocks, block] as [N, K], without what fills up the last block. */
function rowsOf(site: GradientSite, { n, k, block, blocks }: Packed, value: string): string {
  const rows = site.reshape(value, [n, blocks * block])
  return blocks * block === k ? rows : site.slice(rows, 1, 0, k)
}

/** One number a block, to be stretched over it: [N, blocks, 1]. */
function blockColumn(site: GradientSite, value: string, { n, blocks }: Packed): string {
  return site.reshape(site.cast(value, site.floatType(site.input(0))), [n, blocks, 1])
}

/** uint8, one number a place; of four bits, the lower half of a byte comes first. */
function nibbles(site: GradientSite, packed: string, bits: number): string {
  if (bits === 8) return packed
  const low = site.op('BitwiseAnd', [packed, site.builder.scalar('uint8', 15)])
  const high = site.op('BitShift', [packed, site.builder.scalar('uint8', 4)], { direction: 'RIGHT' })
  return site.op('Concat', [site.unsqueeze(low, [-1]), site.unsqueeze(high, [-1])], { axis: -1 })
}

/** Stretched to [N, blocks, 1]; in the middle of the range where none are given. */
function zeroPoints(site: GradientSite, form: Packed): string {
  const { bits, n, blocks } = form
  const type = site.floatType(site.input(0))
  if (!site.given(3)) return site.builder.scalar(type, 2 ** (bits - 1))
  const given = site.input(3)
  if (site.type(given) !== 'uint8') return blockColumn(site, given, form)
  // Each row is filled up to whole bytes.
  const perRow = bits === 8 ? blocks : 2 * Math.ceil(blocks / 2)
  const rows = site.reshape(nibbles(site, given, bits), [n, perRow])
  return blockColumn(site, site.slice(rows, 1, 0, blocks), form)
}

/** (x - zero) scale: one for all, one a place along an axis, or one for each block along it. */
const dequantize: GradientRule = (site) => {
  if (!site.wants(1)) return []
  const [x, scale] = [site.input(0), site.input(1)]
  const type = site.floatType(scale)
  const rank = site.needRank(x)
  const axis = site.axis(site.int('axis', 1), Math.max(rank, 2))
  const block = site.int('block_size', 0)
  if (block !== 0) return [undefined, scalesByBlock(site, type, axis, block)]
  const perChannel = site.needRank(scale) === 1 && rank > 1
  const column = Array.from({ length: rank }, (_, place) => (place === axis ? -1 : 1))
  const shaped = (value: string): string => (perChannel ? site.reshape(value, column) : value)
  const number = site.cast(x, type)
  const centred = site.given(2) ? site.sub(number, shaped(site.cast(site.input(2), type))) : number
  const product = site.mul(site.cast(site.gradient, type), centred)
  const others = column.flatMap((size, place) => (perChannel && size === -1 ? [] : [place]))
  return [undefined, site.reshapeLike(site.sum(product, others, 0), scale)]
}

/** The axis [..., size, ...] as [..., blocks, block, ...], the last block filled up with zeros. */
function scalesByBlock(site: GradientSite, type: DataType, axis: number, block: number): string {
  const [x, scale] = [site.input(0), site.input(1)]
  const sizes = site.needSizes(x)
  const blocks = Math.ceil(sizes[axis]! / block)
  const missing = blocks * block - sizes[axis]!
  const split = [...sizes.slice(0, axis), blocks, block, ...sizes.slice(axis + 1)]
  const cut = (value: string): string => {
    const pads = [site.int64s([0, missing]), undefined, site.int64s([axis])]
    return site.reshape(missing === 0 ? value : site.op('Pad', [value, ...pads]), split)
  }
  const number = cut(site.cast(x, type))
  const zero = (): string => site.unsqueeze(site.cast(site.input(2), type), [axis + 1])
  const centred = site.given(2) ? site.sub(number, zero()) : number
  const product = site.mul(cut(site.cast(site.gradient, type)), centred)
  return site.reshapeLike(site.sum(product, [axis + 1], 0), scale)
}

export const QUANTIZED: readonly RuleFamily[] = [
  { domain: 'com.microsoft', operators: 'MatMulNBits', rule: matMulBits },
  { operators: 'DequantizeLinear', rule: dequantize },
]
