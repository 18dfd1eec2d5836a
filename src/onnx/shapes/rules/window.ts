/** Sizes that a window leaves as it slides: convolutions and pools. */
import type { Dimension } from '../../ir/index.ts'
import type { Call } from '../call.ts'

export interface Window {
  readonly kernel: readonly Dimension[]
  readonly strides: readonly number[]
  readonly dilations: readonly number[]
  /** Begins, then ends. */
  readonly pads: readonly number[]
}

/** Attributes with their defaults; undefined where they do not fit `axes` spatial axes. */
export function windowOf(call: Call, kernel: readonly Dimension[], axes: number): Window | undefined {
  const ones = (count: number, value: number): number[] => Array.from({ length: count }, () => value)
  const strides = call.ints('strides') ?? ones(axes, 1)
  const dilations = call.ints('dilations') ?? ones(axes, 1)
  const pads = call.ints('pads') ?? ones(axes * 2, 0)
  const fits = kernel.length === axes && strides.length === axes && dilations.length === axes
  if (!fits || pads.length !== axes * 2) return undefined
  return strides.every((stride) => stride >= 1) && dilations.every((dilation) => dilation >= 1)
    ? { kernel, strides, dilations, pads }
    : undefined
}

/** Sizes after the window has passed over `sizes`. */
export function windowed(call: Call, sizes: readonly Dimension[], window: Window): readonly Dimension[] {
  const mode = call.text('auto_pad', 'NOTSET')
  const up = call.int('ceil_mode', 0) !== 0
  return sizes.map((size, axis) => {
    const { algebra } = call
    const stride = window.strides[axis]!
    if (mode === 'SAME_UPPER' || mode === 'SAME_LOWER') return algebra.ceilDivide(size, stride)
    const [before, after] = mode === 'VALID' ? [0, 0] : [window.pads[axis]!, window.pads[axis + sizes.length]!]
    const reach = reachOf(call, window, axis)
    if (!up)
      return checked(
        algebra.add(algebra.floorDivide(algebra.subtract(algebra.add(size, before + after), reach), stride), 1),
      )
    return roundedUp(call, algebra.add(size, before), algebra.subtract(after, reach), stride)
  })
}

/** A window that would begin behind the data and what stands before it is left out. */
function roundedUp({ algebra }: Call, padded: Dimension, short: Dimension, stride: number): Dimension {
  const extra = algebra.add(short, stride)
  if (typeof extra !== 'number') return null
  return checked(algebra.ceilDivide(algebra.add(padded, Math.min(extra, 0)), stride))
}

/** What the kernel covers, its holes included. */
export function reachOf({ algebra }: Call, window: Window, axis: number): Dimension {
  return algebra.add(algebra.multiply(algebra.subtract(window.kernel[axis]!, 1), window.dilations[axis]!), 1)
}

function checked(size: Dimension): Dimension {
  return typeof size === 'number' && size < 0 ? null : size
}
