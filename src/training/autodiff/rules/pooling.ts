/** Pools: means, greatest elements and norms of windows, and of all space. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'
import { unpadded, windowsOf } from './windows.ts'
import type { Windows } from './windows.ts'

/** To the element that was the greatest; windows that overlap add up. */
const maxPool: GradientRule = (site) => {
  if (site.int('storage_order', 0) !== 0) throw site.refusal('its indices are in column-major order')
  const x = site.input(0)
  const size = site.op('Reshape', [site.op('Size', [x]), site.int64s([1])])
  const zeros = site.filled(site.floatType(x), 0, size)
  const [at, updates] = [site.needOutput(1), site.gradient].map((value) => site.reshape(value, [-1]))
  return [site.reshapeLike(site.op('ScatterElements', [zeros, at, updates], { axis: 0, reduction: 'add' }), x)]
}

const averagePool: GradientRule = (site) => {
  const x = site.input(0)
  const windows = poolWindows(site)
  const isPadded = [...windows.before, ...windows.after].some((pad) => pad !== 0)
  const isPlain = site.int('ceil_mode', 0) === 0 && (!isPadded || site.int('count_include_pad', 0) === 1)
  const taps = windows.kernel.reduce((product, width) => product * width, 1)
  const count = isPlain ? site.number(taps) : countOf(site, windows)
  return [unpadded(site, spreadEvenly(site, site.div(site.gradient, count), windows), windows, x)]
}

/** p-norms: y^(1-p) x |x|^(p-2) for each window. */
const lpPool: GradientRule = (site) => {
  const x = site.input(0)
  const windows = poolWindows(site)
  const p = site.int('p', 2)
  const share = site.mul(site.gradient, powerOrZero(site, site.output(0), 1 - p))
  const all = unpadded(site, spreadEvenly(site, share, windows), windows, x)
  return [site.mul(all, normSlope(site, x, p))]
}

/** sign(x) |x|^(p-1) */
function normSlope(site: GradientSite, x: string, p: number): string {
  if (p === 2) return x
  const sign = site.op('Sign', [x])
  return p === 1 ? sign : site.mul(sign, site.op('Pow', [site.op('Abs', [x]), site.number(p - 1)]))
}

/** 0 where the base is 0. */
function powerOrZero(site: GradientSite, base: string, exponent: number): string {
  const isZero = site.op('Equal', [base, site.number(0)])
  const safe = site.op('Where', [isZero, site.number(1), base])
  return site.op('Where', [isZero, site.number(0), site.op('Pow', [safe, site.number(exponent)])])
}

function poolWindows(site: GradientSite): Windows {
  const kernel = site.ints('kernel_shape') ?? site.refuse('it has no kernel_shape')
  return windowsOf(site, kernel, site.input(0))
}

/** Each window hands its gradient to all places that it covers: a transposed convolution by ones, channel by channel. */
function spreadEvenly(site: GradientSite, gradient: string, windows: Windows): string {
  const { kernel, strides, dilations } = windows
  const channels = site.op('Shape', [gradient], { end: 2 })
  const space = site.op('Shape', [gradient], { start: 2 })
  const flat = site.op('Concat', [site.int64s([-1, 1]), space], { axis: 0 })
  const single = site.op('Reshape', [gradient, flat])
  const spread = site.op('ConvTranspose', [single, onesKernel(site, kernel)], {
    kernel_shape: kernel,
    strides,
    dilations,
  })
  const back = site.op('Concat', [channels, site.op('Shape', [spread], { start: 2 })], { axis: 0 })
  return site.op('Reshape', [spread, back])
}

function onesKernel(site: GradientSite, kernel: readonly number[]): string {
  return site.filled(site.floatType(site.input(0)), 1, site.int64s([1, 1, ...kernel]))
}

/** How many places each window covers: [1, 1, ...]. Those beyond the padding count for none. */
function countOf(site: GradientSite, { kernel, strides, dilations, before, after }: Windows): string {
  const x = site.input(0)
  const type = site.floatType(x)
  const space = site.op('Shape', [x], { start: 2 })
  const inside = site.filled(type, 1, site.op('Concat', [site.int64s([1, 1]), space], { axis: 0 }))
  const padded = site.int('count_include_pad', 0) === 1 ? 1 : 0
  // A window of ceil_mode may reach beyond the padding by less than a stride.
  const beyond = strides.map((stride) => (site.int('ceil_mode', 0) === 1 ? stride - 1 : 0))
  const pads = [...before, ...after]
  const filled =
    padded === 1
      ? site.op('Pad', [inside, site.int64s([0, 0, ...before, 0, 0, ...after]), site.builder.scalar(type, 1)])
      : inside
  const reach =
    padded === 1
      ? [...before.map(() => 0), ...beyond]
      : pads.map((pad, index) => pad + (index < before.length ? 0 : beyond[index - before.length]!))
  const attributes = { kernel_shape: kernel, strides, dilations, pads: reach }
  const counts = site.op('Conv', [filled, onesKernel(site, kernel)], attributes)
  const axes = site.int64s(kernel.map((_, axis) => axis + 2))
  const end = site.op('Shape', [site.output(0)], { start: 2 })
  return site.op('Slice', [counts, site.int64s(kernel.map(() => 0)), end, axes])
}

const globalAverage: GradientRule = (site) => {
  const x = site.input(0)
  const type = site.floatType(x)
  const [all, kept] = [x, site.output(0)].map((name) => site.cast(site.op('Size', [name]), type))
  const share = site.mul(site.gradient, site.div(kept!, all!))
  return [site.op('Expand', [share, site.shapeTensor(x)])]
}

/** To the first of the greatest, as the pool of one window does. */
const globalMax: GradientRule = (site) => {
  const x = site.input(0)
  const flat = site.op('Reshape', [x, site.int64s([0, 0, -1])])
  const at = site.op('ArgMax', [flat], { axis: 2, keepdims: 1 })
  const zeros = site.filled(site.floatType(x), 0, site.op('Shape', [flat]))
  const updates = site.op('Reshape', [site.gradient, site.int64s([0, 0, 1])])
  return [site.reshapeLike(site.op('ScatterElements', [zeros, at, updates], { axis: 2 }), x)]
}

const globalNorm: GradientRule = (site) => {
  const [x, p] = [site.input(0), site.int('p', 2)]
  const share = site.mul(site.gradient, powerOrZero(site, site.output(0), 1 - p))
  return [site.mul(share, normSlope(site, x, p))]
}

/** To where each element went. */
const maxUnpool: GradientRule = (site) => {
  const [flat, at] = [site.gradient, site.input(1)].map((value) => site.reshape(value, [-1]))
  return [site.reshapeLike(site.op('Gather', [flat, at]), site.input(0))]
}

export const POOLING: readonly RuleFamily[] = [
  { operators: 'MaxPool', rule: maxPool },
  { operators: 'AveragePool', rule: averagePool },
  { operators: 'LpPool', rule: lpPool },
  { operators: 'GlobalAveragePool', rule: globalAverage },
  { operators: 'GlobalMaxPool', rule: globalMax },
  { operators: 'GlobalLpPool', rule: globalNorm },
  { operators: 'MaxUnpool', rule: maxUnpool },
]
