import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DTYPE, encodeFrame, frame, FrameDecoder, FrameError, HEADER_BYTES } from '../../src/net/index.ts'
import type { DType, Frame } from '../../src/net/index.ts'
import { crc32c as fast } from '../../src/net/crc32c.ts'
import { crc32c } from './slow-crc32c.ts'

const sizes: Readonly<Record<DType, number>> = { 0: 0, 1: 4, 2: 2, 3: 4, 4: 1 }

const frames: fc.Arbitrary<Frame> = fc
  .record({
    type: fc.integer({ min: 0, max: 255 }),
    dtype: fc.constantFrom(...Object.values(DTYPE)),
    dims: fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 4 }),
    request: fc.maxSafeNat(),
    epoch: fc.nat(),
    attempt: fc.nat(65_535),
    flags: fc.nat(65_535),
    step: fc.nat(),
    position: fc.nat(),
    hop: fc.nat(65_535),
    waited: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    micros: fc.nat(),
    rows: fc.integer({ min: 0, max: 0xffff }),
    digest: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    stated: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    seed: fc.nat(255),
    control: fc.uint8Array({ maxLength: 200 }),
  })
  .map(({ seed, ...fields }) => {
    const elements = fields.dims.reduce((product, dim) => product * dim, fields.dims.length === 0 ? 0 : 1)
    return { ...fields, payload: new Uint8Array(elements * sizes[fields.dtype]).fill(seed) }
  })

const bytesOf = (...list: Frame[]): Uint8Array => new Uint8Array(Buffer.concat(list.flatMap((one) => encodeFrame(one))))
const ownBytesOf = (one: Frame): Uint8Array => new Uint8Array(Buffer.concat(encodeFrame(one, 'own')))

const plain = (value: Frame): unknown => ({
  ...value,
  digest: [...value.digest],
  payload: [...value.payload],
  control: [...value.control],
})

/** A header whose checksum is right whatever else it says. */
function forged(change: (view: DataView, header: Uint8Array) => void): Uint8Array {
  const header = bytesOf(frame({ type: 1, dtype: DTYPE.f32, dims: [2, 2], payload: new Uint8Array(16) }))
  const view = new DataView(header.buffer)
  change(view, header)
  view.setUint32(60, crc32c(header.subarray(64, HEADER_BYTES), crc32c(header.subarray(0, 60))), true)
  return header
}

describe('the checksum', () => {
  test('is CRC-32C: the check value of the catalogues and the vectors of RFC 3720', () => {
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283)
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43)
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, at) => at))).toBe(0x46dd794e)
  })

  test('is the same however the bytes lie in memory and wherever they are cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(7), fc.nat(200), (bytes, shift, cut) => {
        const moved = new Uint8Array(shift + bytes.length)
        moved.set(bytes, shift)
        const there = moved.subarray(shift)
        expect(fast(there)).toBe(crc32c(bytes))
        expect(fast(there.subarray(cut), fast(there.subarray(0, cut)))).toBe(crc32c(bytes))
      }),
    )
  })
})

describe('frames', () => {
  test('come out as they went in, however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(frames, { maxLength: 5 }), fc.array(fc.nat(300)), (list, cuts) => {
        const bytes = bytesOf(...list)
        const decoder = new FrameDecoder()
        const out: Frame[] = []
        let at = 0
        for (const cut of cuts) {
          out.push(...decoder.push(bytes.subarray(at, at + cut)))
          at += cut
        }
        out.push(...decoder.push(bytes.subarray(at)))
        expect(out.map(plain)).toEqual(list.map(plain))
        expect(decoder.pending).toBe(0)
        for (const one of out) expect(one.payload.byteOffset).toBe(0)
      }),
    )
  })

  test('that are mutated anywhere are refused, or not complete', () => {
    fc.assert(
      fc.property(frames, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, place, flip) => {
        const bytes = bytesOf(value)
        bytes[place % bytes.length]! ^= flip
        const decoder = new FrameDecoder()
        let out: Frame[] = []
        try {
          out = decoder.push(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError)
        }
        expect(out).toEqual([])
      }),
      { numRuns: 2000 },
    )
  })

  test('to a process of its own come out as they went in; a header that is mutated anywhere is refused', () => {
    fc.assert(
      fc.property(
        frames,
        fc.nat(300),
        fc.nat(HEADER_BYTES - 1),
        fc.integer({ min: 1, max: 255 }),
        (value, cut, place, flip) => {
          const bytes = ownBytesOf(value)
          const decoder = new FrameDecoder('own')
          const out = [...decoder.push(bytes.subarray(0, cut)), ...decoder.push(bytes.subarray(cut))]
          expect(out.map(plain)).toEqual([plain(value)])
          expect(out[0]!.payload.byteOffset).toBe(0)
          bytes[place]! ^= flip
          // the 24 bytes that nothing is written to are summed as well
          expect(() => new FrameDecoder('own').push(bytes)).toThrow(FrameError)
        },
      ),
    )
  })

  test.each(['peers', 'own'] as const)('are refused for what their header says, whatever its checksum: %s', (trust) => {
    const field = (change: (view: DataView, header: Uint8Array) => void): unknown => {
      try {
        new FrameDecoder(trust).push(forged(change))
      } catch (error) {
        return (error as FrameError).details['field']
      }
      return undefined
    }
    expect(field((view) => view.setUint32(0, 1, true))).toBe('magic')
    expect(field((view) => view.setUint8(4, 0))).toBe('version')
    expect(field((view) => view.setUint8(4, 255))).toBe('version')
    expect(field((view) => view.setUint8(6, 9))).toBe('dtype')
    expect(field((view) => view.setUint8(7, 5))).toBe('rank')
    expect(field((view) => view.setUint32(32, 2 ** 31, true))).toBe('shape')
    expect(field((view) => view.setUint32(32, 0, true))).toBe('shape')
    expect(field((view) => view.setUint32(48, 2 ** 32 - 1, true))).toBe('payload')
    expect(field((view) => view.setUint32(52, 2 ** 31, true))).toBe('control')
    for (const number of [-1, 0.5, NaN, Infinity, 2 ** 53])
      expect(field((view) => view.setFloat64(8, number, true))).toBe('request')
    expect(field((view) => trust === 'own' && view.setUint32(56, 0, true))).toBeUndefined()
  })

  test('that lie about their length hold no more memory than twice what has arrived', () => {
    const bytes = forged((view) => {
      view.setUint32(32, 4 << 20, true)
      view.setUint32(36, 4, true)
      view.setUint32(48, 64 << 20, true)
    })
    const before = process.memoryUsage().arrayBuffers
    const decoders = Array.from({ length: 64 }, () => new FrameDecoder())
    for (const decoder of decoders) expect(decoder.push(bytes)).toEqual([])
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * (256 << 10))
    for (const decoder of decoders) expect(decoder.pending).toBe(bytes.length)
  })

  test('random bytes are refused with the first header', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: HEADER_BYTES, maxLength: 400 }), (bytes) => {
        expect(() => new FrameDecoder().push(bytes)).toThrow(FrameError)
      }),
    )
  })

  test('of zero length cost a header each', () => {
    const empty = frame({ type: 7 })
    const out = new FrameDecoder().push(bytesOf(...Array.from({ length: 1000 }, () => empty)))
    expect(out).toHaveLength(1000)
    expect(out.every((one) => one.payload.length === 0 && one.control.length === 0)).toBe(true)
  })
})
