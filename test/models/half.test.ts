import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { floatsToHalves, halvesToFloats } from '../../src/models/dequantize/index.ts'

describe('float16', () => {
  it('every bit pattern that is a number comes back from float32 as it was', () => {
    const bits = Uint16Array.from({ length: 65_536 }, (_, index) => index)
    const floats = halvesToFloats(new Uint8Array(bits.buffer))
    const back = floatsToHalves(floats)
    for (let index = 0; index < bits.length; index++) if (!Number.isNaN(floats[index]!)) expect(back[index]).toBe(index)
  })

  it.skipIf(typeof Float16Array === 'undefined')("any float32 rounds as the platform's own Float16Array does", () => {
    const edges = [
      65_504,
      65_519.99,
      65_520,
      6.1e-5,
      5.96e-8,
      2.98e-8,
      2.99e-8,
      0,
      -0,
      Infinity,
      -Infinity,
      1.0009765625,
    ]
    for (const value of edges) expect(floatsToHalves(Float32Array.of(value))[0]).toBe(own(value))
    fc.assert(
      fc.property(fc.float({ noNaN: true }), (value) => floatsToHalves(Float32Array.of(value))[0] === own(value)),
      { numRuns: 20_000 },
    )
  })
})

function own(value: number): number {
  return new Uint16Array(new Float16Array([Math.fround(value)]).buffer)[0]!
}
