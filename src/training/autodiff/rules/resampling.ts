/** Resize: linear in its input, and one dimension after the other. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

/**
 * Each resized dimension is a product with a matrix [out, in], and the operator itself makes that matrix: it is the
 * identity, resized. The gradient is the product with its transpose.
 */
const resize: GradientRule = (site) => {
  const x = site.input(0)
  const rank = site.needRank(x)
  const all = Array.from({ length: rank }, (_, axis) => axis)
  const axes = (site.ints('axes') ?? all).map((axis) => site.axis(axis, rank))
  const policy = site.text('keep_aspect_ratio_policy', 'stretch')
  if (policy !== 'stretch') site.refuse(`keep_aspect_ratio_policy is "${policy}"`)
  let gradient = site.gradient
  for (const [index, axis] of axes.entries()) {
    if (isUntouched(site, axis, index)) continue
    const matrix = resizedIdentity(site, axis, index, axes.length)
    const order = all.filter((other) => other !== axis)
    const last = site.transpose(gradient, [...order, axis])
    const back = site.op('MatMul', [last, matrix])
    gradient = site.transpose(
      back,
      all.map((place) => (place === axis ? rank - 1 : order.indexOf(place))),
    )
  }
  return [gradient]
}

/** Where a size is known to stay, and nothing is cut out of it. */
function isUntouched(site: GradientSite, axis: number, index: number): boolean {
  if (site.text('coordinate_transformation_mode', 'half_pixel') === 'tf_crop_and_resize') return false
  const scales = site.given(2) ? site.numbers(2) : undefined
  if (scales !== undefined && scales.length > 0) return scales[index] === 1
  const [before, after] = [site.shape(site.input(0))?.[axis], site.shape(site.output(0))?.[axis]]
  return before !== undefined && before !== null && before === after
}

/** [out, in] */
function resizedIdentity(site: GradientSite, axis: number, index: number, count: number): string {
  const x = site.input(0)
  const size = site.size(x, axis)
  const square = site.op('Concat', [size, size], { axis: 0 })
  const type = site.floatType(x)
  const identity = site.op('EyeLike', [site.filled(type, 0, square)])
  const attributes = Object.fromEntries(
    [...site.node.attributes].filter(([name]) => name !== 'axes' && name !== 'extrapolation_value'),
  )
  const pick = (list: string, at: number): string => site.slice(list, 0, at, at + 1)
  const roi = site.given(1) ? twoAxes(site, index, count) : undefined
  const usesScales = site.given(2) && site.numbers(2)?.length !== 0 && site.rank(site.input(2)) !== 0
  if (usesScales) {
    const scales = site.op('Concat', [pick(site.input(2), index), site.builder.constant('float32', [1], [1])], {
      axis: 0,
    })
    return site.op('Resize', [identity, roi, scales], attributes)
  }
  const sizes = site.op('Concat', [pick(site.input(3), index), size], { axis: 0 })
  return site.op('Resize', [identity, roi, undefined, sizes], attributes)
}

/** The region of one dimension, and all of the other. */
function twoAxes(site: GradientSite, index: number, count: number): string | undefined {
  const roi = site.input(1)
  if (site.text('coordinate_transformation_mode', 'half_pixel') !== 'tf_crop_and_resize') return undefined
  const type = site.floatType(roi)
  const [zero, one] = [0, 1].map((value) => site.builder.constant(type, [1], [value]))
  const [start, end] = [index, count + index].map((at) => site.slice(roi, 0, at, at + 1))
  return site.op('Concat', [start, zero, end, one], { axis: 0 })
}

export const RESAMPLING: readonly RuleFamily[] = [{ operators: 'Resize', rule: resize }]
