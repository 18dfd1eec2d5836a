/** Resize and Upsample: sizes that are named, or grown by a factor and rounded down. */
import type { Dimension } from '../../ir/index.ts'
import { axesWithin, tensor, unknownDimensions } from '../call.ts'
import type { Call, Rule } from '../call.ts'
import type { Family } from '../registry.ts'

/** Opset 10: scales. 11: region, scales, sizes. 18: of some axes only, and with a policy for the aspect ratio. */
const resize: Rule = (call) => {
  const shape = call.shape(0)
  if (shape === null) return [tensor(call.type(0), null)]
  const early = call.version > 0 && call.version < 11
  const axes =
    call.ints('axes') === undefined ? shape.map((_, axis) => axis) : axesWithin(call.ints('axes'), shape.length)
  const sizes = early ? undefined : call.known(3)?.elements
  const scales = call.numbers(early ? 1 : 2)
  if (axes === undefined) return [tensor(call.type(0), unknownDimensions(shape.length))]
  const along = (targets: readonly Dimension[]): readonly Dimension[] =>
    targets.length === axes.length
      ? shape.map((size, axis) => (axes.includes(axis) ? targets[axes.indexOf(axis)]! : size))
      : shape.map(() => null)
  // An empty list stands for none.
  if (!early && call.given(3) && sizes?.length !== 0) {
    if (sizes === undefined) return [tensor(call.type(0), along(axes.map(() => null)))]
    const policy = call.text('keep_aspect_ratio_policy', 'stretch')
    return [
      tensor(
        call.type(0),
        along(
          policy === 'stretch'
            ? sizes
            : inProportion(
                axes.map((axis) => shape[axis]!),
                sizes,
                policy,
              ),
        ),
      ),
    ]
  }
  // With a region cut out first, engines do not agree on what the factor is of.
  const cropped = call.text('coordinate_transformation_mode', '') === 'tf_crop_and_resize'
  if (scales?.length !== axes.length || cropped) return [tensor(call.type(0), along(axes.map(() => null)))]
  return [tensor(call.type(0), along(axes.map((axis, at) => scaled(call, shape[axis]!, scales[at]!))))]
}

const upsample: Rule = (call) => {
  const shape = call.shape(0)
  if (shape === null) return [tensor(call.type(0), null)]
  const scales = call.floats('scales') ?? call.numbers(1)
  if (scales?.length !== shape.length) return [tensor(call.type(0), unknownDimensions(shape.length))]
  return [
    tensor(
      call.type(0),
      shape.map((size, axis) => scaled(call, size, scales[axis]!)),
    ),
  ]
}

/** In the engine's float32; a free size only by factors that it can be exact with. */
function scaled({ algebra }: Call, size: Dimension, scale: number): Dimension {
  if (typeof size === 'number') {
    const grown = Math.floor(Math.fround(Math.fround(scale) * size))
    return Number.isSafeInteger(grown) && grown >= 0 ? grown : null
  }
  if (Number.isSafeInteger(scale) && scale > 0) return algebra.multiply(size, scale)
  for (const divisor of [2, 4, 8, 16, 32])
    if (Number.isSafeInteger(scale * divisor) && scale > 0)
      return algebra.floorDivide(algebra.multiply(size, scale * divisor), divisor)
  return null
}

/** One factor for all axes: the least (`not_larger`) or the greatest. */
function inProportion(from: readonly Dimension[], to: readonly Dimension[], policy: string): readonly Dimension[] {
  if (from.length !== to.length || ![...from, ...to].every((size) => typeof size === 'number'))
    return from.map(() => null)
  const scales = from.map((size, at) => Math.fround((to[at] as number) / (size as number)))
  const scale = policy === 'not_larger' ? Math.min(...scales) : Math.max(...scales)
  return from.map((size) => {
    const exact = scale * (size as number)
    const rounded = Math.round(exact)
    // Just between two whole numbers the last bit of a float decides.
    return Number.isFinite(exact) && Math.abs(Math.abs(exact - rounded) - 0.5) > 1e-4 ? rounded : null
  })
}

export const RESAMPLING: readonly Family[] = [
  { operators: 'Resize', rule: resize },
  { operators: 'Upsample', rule: upsample },
]
