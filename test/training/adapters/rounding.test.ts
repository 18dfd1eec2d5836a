/** Gradients in bytes: what rounding takes away comes with the next step. */
import { describe, expect, it } from 'vitest'
import { createSeeded } from '../../../src/data/index.ts'
import type { Tensor } from '../../../src/onnx/index.ts'
import { GradientRounding, unrounded } from '../../../src/training/index.ts'

const DIMS = [30, 20]
const SIZE = 600
const STEPS = 40
const seeded = createSeeded(2, 'rounding')
/** Small ones among large ones, as gradients are. */
const gradients: readonly Tensor[] = Array.from({ length: STEPS }, () => ({
  type: 'float32',
  dims: DIMS,
  data: Float32Array.from({ length: SIZE }, (_, at) => (at % 7 === 0 ? 10 : 0.01) * (seeded.normal() + 0.5)),
}))

const back = (told: Readonly<Record<string, Tensor>>): Tensor | undefined =>
  unrounded(new Map(Object.entries(told)), 'g', DIMS)

function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new Error('no gradient of floats')
  return tensor.data
}

function apart(rounding: () => GradientRounding, lastIsWhole = false): number {
  const sum = new Float64Array(SIZE)
  for (const [step, gradient] of gradients.entries()) {
    const told = back(rounding().rounded({ g: gradient }, lastIsWhole && step === STEPS - 1))
    for (let at = 0; at < SIZE; at++) sum[at]! += floats(told)[at]! - floats(gradient)[at]!
  }
  return Math.max(...sum.map(Math.abs))
}

describe('rounded gradients', () => {
  it('take a quarter of the bytes', () => {
    const told = Object.values(new GradientRounding().rounded({ g: gradients[0]! }, false))
    const bytes = told.reduce((sum, { data }) => sum + data.byteLength, 0)
    expect(bytes).toBeLessThan(0.26 * 4 * SIZE)
  })

  it('are never further from all that was than one rounding, where each alone goes astray', () => {
    const one = new GradientRounding()
    const most = Math.max(...gradients.flatMap(({ data }) => Array.from(data as Float32Array, Math.abs)))
    const kept = apart(() => one)
    // Half a unit of the largest scale, and what is left of the step before is in the scale too.
    expect(kept).toBeLessThan((0.6 * most) / 127)
    expect(apart(() => new GradientRounding())).toBeGreaterThan(2 * kept)
  })

  it('come whole when asked, with all that was left, and nothing is left then', () => {
    const one = new GradientRounding()
    expect(apart(() => one, true)).toBeLessThan(1e-4)
    const [next] = gradients as [Tensor]
    expect(one.rounded({ g: next }, false)).toEqual(new GradientRounding().rounded({ g: next }, false))
  })

  it('that are no numbers are told as they are', () => {
    const data = Float32Array.from({ length: SIZE }, (_, at) => (at === 300 ? NaN : 1))
    expect(floats(back(new GradientRounding().rounded({ g: { type: 'float32', dims: DIMS, data } }, false)))).toEqual(
      data,
    )
  })

  it.each([
    ['another shape', { dims: [20, 30] }, {}],
    ['scales for another size', {}, { dims: [1], data: Float32Array.of(1) }],
    ['a scale that is no number', {}, { data: Float32Array.of(1, NaN, 1) }],
    ['scales of another type', {}, { type: 'int8', data: new Int8Array(3) }],
  ])('with %s are none', (_, values, scales) => {
    const told = new GradientRounding().rounded({ g: gradients[0]! }, false)
    const odd = { g: { ...told['g']!, ...values }, 'g/scales': { ...told['g/scales']!, ...scales } } as typeof told
    expect(back(told)).toMatchObject({ type: 'float32', dims: DIMS })
    expect(floats(back(told))).toHaveLength(SIZE)
    expect(back(odd)).toBeUndefined()
  })
})
