/** Fourier transforms: the last axis holds the real and, where it is 2, the imaginary part. */
import type { Dimension } from '../../ir/index.ts'
import { axisWithin, tensor, unknownDimensions } from '../call.ts'
import type { Call, Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'

/** The axis is an attribute in opset 17 and an input since 20. */
const fourier: Rule = (call) => {
  const shape = call.shape(0)
  if (shape === null || shape.length < 2) return [tensor(call.type(0), null)]
  const early = call.version < 20
  const named = early ? call.int('axis', 1) : call.given(2) ? call.scalar(2) : -2
  const axis = typeof named === 'number' ? axisWithin(named, shape.length) : undefined
  if (axis === undefined || axis === shape.length - 1) return [tensor(call.type(0), unknownDimensions(shape.length))]
  const oneSided = call.int('onesided', 0) === 1
  const inverse = call.int('inverse', 0) === 1
  const length = call.given(1) ? (call.scalar(1) ?? null) : shape[axis]!
  const back = oneSided && inverse
  if (back && !call.given(1)) return [tensor(call.type(0), unknownDimensions(shape.length))]
  const bins = oneSided && !inverse ? half(call, length) : length
  const sizes = shape.map((size, at) => (at === axis ? bins : size))
  return [tensor(call.type(0), [...sizes.slice(0, -1), back ? 1 : 2])]
}

function half({ algebra }: Call, length: Dimension): Dimension {
  return algebra.add(algebra.floorDivide(length, 2), 1)
}

/** Signal [B, samples, 1 or 2]; output [B, frames, bins, 2]. */
const shortTimeFourier: Rule = (call) => {
  const { algebra } = call
  const signal = call.shape(0)
  const step = call.scalar(1)
  const frame = call.given(3) ? (call.scalar(3) ?? null) : call.dimension(2, 0)
  const oneSided = call.int('onesided', 1) === 1
  const bins = oneSided ? half(call, frame) : frame
  const left = algebra.subtract(signal?.[1] ?? null, frame)
  const frames = typeof step === 'number' ? algebra.add(algebra.floorDivide(left, step), 1) : null
  return [tensor(call.type(0), [signal?.[0] ?? null, frames, bins, 2])]
}

/** Microsoft's older pair over the last axes. */
const realFourier: Rule = (call) => {
  const shape = call.shape(0)
  if (shape === null || shape.length === 0) return [tensor(call.type(0), null)]
  return [tensor(call.type(0), [...shape.slice(0, -1), half(call, shape.at(-1)!), 2])]
}

export const SIGNAL: readonly Family[] = [
  { operators: 'DFT', rule: fourier },
  { operators: 'STFT', rule: shortTimeFourier },
  { domain: MICROSOFT, operators: 'Rfft', rule: realFourier },
]
