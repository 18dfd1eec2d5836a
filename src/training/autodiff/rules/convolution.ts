/** Convolutions of any number of dimensions, their transposes, and what is like them. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'
import { columns, kernelOf, span, unpadded, windowsOf } from './windows.ts'
import type { Windows } from './windows.ts'

/** X [N, C, ...] with W [M, C / groups, ...] to Y [N, M, ...]. */
const conv: GradientRule = (site) => {
  const [x, w] = [site.input(0), site.input(1)]
  const windows = windowsOf(site, kernelOf(site, w), x)
  const { gradient } = site
  return [
    site.wants(0) ? coveredGradient(site, gradient, windows) : undefined,
    site.wants(1) ? weightGradient(site, x, gradient, windows, site.output(0)) : undefined,
    site.wants(2) ? biasGradient(site) : undefined,
  ]
}

/** X [N, C, ...] with W [C, M / groups, ...] to Y [N, M, ...]: the convolution of Y by W gives X's gradient. */
const convTranspose: GradientRule = (site) => {
  const [x, w] = [site.input(0), site.input(1)]
  const windows = transposedWindows(site, kernelOf(site, w))
  const { gradient } = site
  const { kernel, strides, dilations, before, after } = windows
  const toInput = (): string => {
    const attributes = { kernel_shape: kernel, strides, dilations, pads: [...before, ...after], group: groups(site) }
    const whole = site.op('Conv', [gradient, w], attributes)
    // Places that an output padding of a whole stride added belong to no input.
    const axes = kernel.map((_, axis) => axis + 2)
    const end = site.op('Shape', [x], { start: 2 })
    return site.op('Slice', [whole, site.int64s(kernel.map(() => 0)), end, site.int64s(axes)])
  }
  return [
    site.wants(0) ? toInput() : undefined,
    site.wants(1) ? weightGradient(site, gradient, x, windows, x) : undefined,
    site.wants(2) ? biasGradient(site) : undefined,
  ]
}

function groups(site: GradientSite): number {
  return site.int('group', 1)
}

/**
 * With steps of 1 it is a convolution by the kernel the other way round, for which the engine has its fastest code;
 * else a transposed one.
 */
function coveredGradient(site: GradientSite, gradient: string, windows: Windows): string {
  const [x, w] = [site.input(0), site.input(1)]
  const { kernel, strides, dilations, before, after } = windows
  const reach = kernel.map((width, axis) => span(width, dilations[axis]!) - 1)
  const pads = [...before, ...after].map((pad, index) => reach[index % kernel.length]! - pad)
  const sizes = site.sizes(w)
  if (sizes === undefined || strides.some((step) => step !== 1) || pads.some((pad) => pad < 0)) {
    return unpadded(site, spread(site, gradient, w, windows), windows, x)
  }
  const attributes = { kernel_shape: kernel, dilations, pads, group: groups(site) }
  return site.op('Conv', [gradient, turnedKernel(site, w, sizes)], attributes)
}

/** W [M, C / groups, ...] as [C, M / groups, ...], backwards along each dimension of space. */
function turnedKernel(site: GradientSite, w: string, [out, inner, ...kernel]: readonly number[]): string {
  const group = groups(site)
  const space = kernel.map((_, axis) => axis)
  const grouped = group === 1 ? w : site.reshape(w, [group, out! / group, inner!, ...kernel])
  const order = group === 1 ? [1, 0, ...space.map((axis) => axis + 2)] : [0, 2, 1, ...space.map((axis) => axis + 3)]
  const swapped = site.transpose(grouped, order)
  const flat = group === 1 ? swapped : site.reshape(swapped, [group * inner!, out! / group, ...kernel])
  if (kernel.every((width) => width === 1)) return flat
  const all = (value: number): string => site.int64s(kernel.map(() => value))
  const axes = site.int64s(space.map((axis) => axis + 2))
  return site.op('Slice', [flat, all(-1), all(-(2 ** 31)), axes, all(-1)])
}

/** Each window hands its gradient to all places that it covers, from the first padded one on. */
function spread(site: GradientSite, gradient: string, w: string, { kernel, strides, dilations }: Windows): string {
  return site.op('ConvTranspose', [gradient, w], { kernel_shape: kernel, strides, dilations, group: groups(site) })
}

/**
 * Sums over examples and windows: `covered` [N, C, ...] tap by tap, with `handed` [N, M, ...], one place a window. To
 * [M, C / groups, ...], or for a transposed convolution, whose output is covered, to [C, M / groups, ...].
 */
function weightGradient(
  site: GradientSite,
  covered: string,
  handed: string,
  windows: Windows,
  counted: string,
): string {
  const w = site.input(1)
  const counts = countsOf(site, counted)
  const taken = columns(site, covered, windows, counts)
  const group = groups(site)
  const [out, inner] = site.needSizes(w)
  const taps = windows.kernel.reduce((product, size) => product * size, 1)
  // [N, groups, C / groups * taps, windows] and [N, groups, M / groups, windows]
  const columnRows = site.op('Reshape', [taken, site.int64s([0, group, inner! * taps, -1])])
  const handedRows = site.op('Reshape', [handed, site.int64s([0, group, out! / group, -1])])
  const product = site.op('MatMul', [handedRows, site.transpose(columnRows, [0, 1, 3, 2])])
  return site.reshapeLike(site.sum(product, [0], 0), w)
}

/** int64 [space] */
function countsOf(site: GradientSite, name: string): string {
  const sizes = site.shape(name)?.slice(2)
  if (sizes?.every((size) => typeof size === 'number') === true && sizes.length > 0) return site.int64s(sizes)
  return site.op('Shape', [name], { start: 2 })
}

function biasGradient(site: GradientSite): string {
  const rank = site.needRank(site.input(1))
  return site.sum(site.gradient, [0, ...Array.from({ length: rank - 2 }, (_, axis) => axis + 2)], 0)
}

/** `output_shape` and `auto_pad` say what the pads are once the input is known. */
function transposedWindows(site: GradientSite, kernel: readonly number[]): Windows {
  const ones = kernel.map(() => 1)
  const [strides, dilations] = [site.ints('strides') ?? ones, site.ints('dilations') ?? ones]
  const shape = { kernel, strides, dilations }
  const mode = site.text('auto_pad', 'NOTSET')
  const wanted = site.ints('output_shape')
  if (wanted === undefined && (mode === 'NOTSET' || mode === '')) {
    const pads = site.ints('pads') ?? [...kernel, ...kernel].map(() => 0)
    return { ...shape, before: pads.slice(0, kernel.length), after: pads.slice(kernel.length) }
  }
  const zeros = kernel.map(() => 0)
  if (mode === 'VALID') return { ...shape, before: zeros, after: zeros }
  const input = site.sizes(site.input(0))?.slice(2)
  if (input === undefined) throw site.refusal('its padding follows from sizes that are not known before it runs')
  const added = site.ints('output_padding') ?? zeros
  const total = kernel.map((width, axis) => {
    const stride = strides[axis]!
    const whole = (input[axis]! - 1) * stride + added[axis]! + (width - 1) * dilations[axis]! + 1
    const size = wanted === undefined ? input[axis]! * stride : wanted.slice(-kernel.length)[axis]!
    return Math.max(0, whole - size)
  })
  const small = total.map((pad) => Math.floor(pad / 2))
  const large = total.map((pad, axis) => pad - small[axis]!)
  return mode === 'SAME_UPPER' ? { ...shape, before: small, after: large } : { ...shape, before: large, after: small }
}

export const CONVOLUTION: readonly RuleFamily[] = [
  { operators: 'Conv', rule: conv },
  { operators: 'ConvTranspose', rule: convTranspose },
]
