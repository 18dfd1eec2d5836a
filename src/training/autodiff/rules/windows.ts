/** What operators that slide a window over space have in common: convolutions and pools. */
import type { BuildingSite } from '../building-site.ts'

/** Sizes by spatial dimension. Places that a window covers: start + step * stride + tap * dilation - pad. */
export interface Windows {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  readonly dilations: readonly number[]
  /** Zeros before and after; negative ones are cut away. */
  readonly before: readonly number[]
  readonly after: readonly number[]
}

/** Of a convolution with weights `w`. @throws NoGradientRuleError */
export function kernelOf(site: BuildingSite, w: string): readonly number[] {
  const kernel = site.ints('kernel_shape') ?? site.sizes(w)?.slice(2)
  return kernel ?? site.refuse('the size of its kernel is not known before it runs')
}

export const span = (kernel: number, dilation: number): number => (kernel - 1) * dilation + 1

/**
 * Of the attributes. `auto_pad` needs the sizes of the input where it is SAME.
 * @throws NoGradientRuleError
 */
export function windowsOf(site: BuildingSite, kernel: readonly number[], input: string): Windows {
  const ones = kernel.map(() => 1)
  const strides = site.ints('strides') ?? ones
  const dilations = site.ints('dilations') ?? ones
  const mode = site.text('auto_pad', 'NOTSET')
  const shape = { kernel, strides, dilations }
  if (mode === 'NOTSET' || mode === '') {
    const pads = site.ints('pads') ?? [...kernel, ...kernel].map(() => 0)
    return { ...shape, before: pads.slice(0, kernel.length), after: pads.slice(kernel.length) }
  }
  if (mode === 'VALID') return { ...shape, before: kernel.map(() => 0), after: kernel.map(() => 0) }
  const sizes = site.shape(input)?.slice(2) ?? []
  const total = kernel.map((width, axis) => {
    const size = sizes[axis]
    // With steps of 1 the total does not depend on the size.
    if (typeof size !== 'number') {
      if (strides[axis] === 1) return span(width, dilations[axis]!) - 1
      throw site.refusal(`auto_pad is ${mode}, and the size of its input is not known before it runs`)
    }
    const steps = Math.ceil(size / strides[axis]!)
    return Math.max(0, (steps - 1) * strides[axis]! + span(width, dilations[axis]!) - size)
  })
  const small = total.map((pad) => Math.floor(pad / 2))
  const large = total.map((pad, axis) => pad - small[axis]!)
  return mode === 'SAME_LOWER' ? { ...shape, before: large, after: small } : { ...shape, before: small, after: large }
}

/** Pads of all dimensions [N, C, ...] from those of space. */
export function spatialPads(before: readonly number[], after: readonly number[]): readonly number[] {
  return [0, 0, ...before, 0, 0, ...after]
}

/**
 * The gradient of what was covered, given what every window hands back: `full` [N, C, ...] holds the sums over windows
 * from the first padded place on, and may be shorter than the padded input, or longer than it.
 */
export function unpadded(site: BuildingSite, full: string, { before }: Windows, input: string): string {
  const axes = before.map((_, axis) => axis + 2)
  const sizes = axes.map((axis) => site.shape(input)?.at(axis))
  const start = site.int64s(before)
  const isKnown = sizes.every((size) => typeof size === 'number')
  const wanted = isKnown ? site.int64s(sizes) : site.op('Shape', [input], { start: 2 })
  const end = isKnown ? site.int64s(sizes.map((size, axis) => size + before[axis]!)) : site.add(wanted, start)
  // Missing places at the end were covered by no window.
  const there = site.op('Shape', [full], { start: 2 })
  const missing = site.op('Max', [site.sub(end, there), site.int64s([0])])
  const pads = site.op('Concat', [site.int64s(before.map(() => 0)), missing], { axis: 0 })
  const grown = site.op('Pad', [full, pads, undefined, site.int64s(axes)])
  return site.op('Slice', [grown, start, end, site.int64s(axes)])
}

/**
 * All that windows cover, tap by tap: [N, C, ...] to [N, C, taps, windows].
 * @param counts int64 [space]: windows along each dimension
 */
export function columns(site: BuildingSite, input: string, windows: Windows, counts: string): string {
  const { kernel, strides, dilations, before, after } = windows
  const isPadded = [...before, ...after].some((pad) => pad !== 0)
  const padded = isPadded ? site.op('Pad', [input, site.int64s(spatialPads(before, after))]) : input
  const axes = site.int64s(kernel.map((_, axis) => axis + 2))
  const reach = site.add(site.mul(site.sub(counts, site.int64s([1])), site.int64s(strides)), site.int64s([1]))
  const flat = site.int64s([0, 0, 1, -1])
  const taps = positions(kernel).map((tap) => {
    const start = site.int64s(tap.map((at, axis) => at * dilations[axis]!))
    const part = site.op('Slice', [padded, start, site.add(start, reach), axes, site.int64s(strides)])
    return site.op('Reshape', [part, flat])
  })
  return site.concat(taps, 2)
}

function positions(kernel: readonly number[]): readonly (readonly number[])[] {
  return kernel.reduce<readonly (readonly number[])[]>(
    (all, width) => all.flatMap((head) => Array.from({ length: width }, (_, at) => [...head, at])),
    [[]],
  )
}
