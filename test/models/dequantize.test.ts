import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { dequantize, SOURCE_TYPES, unpackQuants } from '../../src/models/index.ts'
import type { SourceType } from '../../src/models/index.ts'
import { quantizeBlocks } from '../../src/models/dequantize/index.ts'
import { randomBlocks, randomBytes } from './support/random-bytes.ts'

interface GoldenCase {
  readonly type: SourceType
  readonly seed: number
  readonly blocks: number
  readonly elements: number
  readonly sha256: string
  readonly at: readonly number[]
  readonly bits: readonly number[]
}

const golden = JSON.parse(readFileSync(new URL('fixtures/dequantize.json', import.meta.url), 'utf8')) as {
  cases: readonly GoldenCase[]
}
const quantized = golden.cases.filter(({ type }) => SOURCE_TYPES[type].block > 1)

describe('dequantize', () => {
  it.each(golden.cases)('gives the bits that gguf-py gives for $type', (one) => {
    const values = dequantize(one.type, randomBlocks(one.type, one.seed, one.blocks), one.elements)
    const bits = new Uint32Array(values.buffer)
    expect(one.at.map((index) => bits[index])).toEqual(one.bits)
    expect(createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex')).toBe(one.sha256)
  })

  it('copies float32 whatever the alignment of the bytes', () => {
    const bytes = new Uint8Array(9)
    new DataView(bytes.buffer).setFloat32(1, -1.5, true)
    expect(dequantize('F32', bytes.subarray(1), 2)).toEqual(new Float32Array([-1.5, 0]))
  })

  it('refuses bytes that are not those of the elements', () => {
    expect(() => dequantize('F32', new Uint8Array(7), 2)).toThrow(/not 2 elements/)
    expect(() => dequantize('Q4_0', new Uint8Array(17), 32)).toThrow(/17 bytes are not 32 elements of Q4_0/)
    expect(() => dequantize('Q4_0', new Uint8Array(18), 31)).toThrow(/31 elements/)
  })
})

describe('unpackQuants', () => {
  it.each(quantized)('reassembles $type exactly where it is symmetric and to one rounding where affine', (one) => {
    const bytes = randomBlocks(one.type, one.seed, one.blocks)
    const columns = SOURCE_TYPES[one.type].block * 2
    const unpacked = unpackQuants(one.type, bytes, one.elements / columns, columns)
    const { quants, scales, offsets, zero, block, bits } = unpacked
    const values = dequantize(one.type, bytes, one.elements)
    expect(Math.max(...quants)).toBeLessThan(2 ** bits)
    expect(zero).toBe(2 ** (bits - 1))
    let worst = 0
    for (let at = 0; at < values.length; at++) {
      const group = Math.floor(at / block)
      const product = scales[group]! * (quants[at]! - zero)
      const offset = offsets === null ? 0 : offsets[group]!
      const magnitude = Math.abs(product) + Math.abs(offset) + 1e-30
      worst = Math.max(worst, Math.abs(product + offset - values[at]!) / magnitude)
    }
    expect(worst).toBeLessThan(2 ** -22)
    expect(offsets === null).toBe(['Q4_0', 'Q5_0', 'Q8_0', 'Q3_K', 'Q6_K'].includes(one.type))
  })

  it('has no integers for floats and refuses rows that are not whole blocks', () => {
    expect(() => unpackQuants('F16', new Uint8Array(64), 1, 32)).toThrow(/no integers/)
    expect(() => unpackQuants('Q4_0', new Uint8Array(36), 4, 16)).toThrow(/whole blocks/)
  })
})

describe('quantizeBlocks', () => {
  const values = Float32Array.from(randomBytes(7, 1024), (byte, index) => (byte - 127) * (1 + (index >> 5)) * 1e-3)

  it.each([4, 8] as const)('keeps %i-bit weights within half a step of their values', (bits) => {
    const { quants, scales, zero } = quantizeBlocks(values, 16, 64, bits)
    for (let at = 0; at < values.length; at++) {
      const scale = scales[at >> 5]!
      const error = Math.abs(scale * (quants[at]! - zero) - values[at]!)
      // 4 bits: the positive extreme may be clipped by up to one step, and scales down to 0.79 clip more.
      expect(error).toBeLessThanOrEqual(Math.abs(scale) * (bits === 4 ? 2.7 : 0.5001))
    }
  })

  it('takes zeros to zeros', () => {
    const { quants, scales, zero } = quantizeBlocks(new Float32Array(64), 1, 64, 4)
    expect([...quants].every((value) => value === zero)).toBe(true)
    expect([...scales]).toEqual([0, 0])
  })
})
