import * as fc from 'fast-check'
import { Packr } from 'msgpackr'
import { describe, expect, test } from 'vitest'
import { ControlError, decodeControl, encodeControl, MAX_CONTROL_BYTES } from '../../src/net/index.ts'

const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.string(),
    fc.integer(),
    fc.maxSafeInteger(),
    // As in JSON, there is one zero.
    fc.double().map((value) => (value === 0 ? 0 : value)),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 8 }),
    fc.dictionary(
      fc.string().filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 8, noNullPrototype: true },
    ),
  ),
})).value

const refused = (bytes: Uint8Array, field: string): void => {
  expect(() => decodeControl(bytes)).toThrow(ControlError)
  try {
    decodeControl(bytes)
  } catch (error) {
    expect((error as ControlError).details['field']).toBe(field)
  }
}

describe('control maps', () => {
  test('give back the plain value that went in', () => {
    fc.assert(
      fc.property(plain, (value) => {
        expect(decodeControl(encodeControl(value))).toEqual(value)
      }),
    )
  })

  test("without entries are one byte, and a map of one's own each time", () => {
    expect([...encodeControl({})]).toEqual([0x80])
    const first = decodeControl(encodeControl({})) as Record<string, unknown>
    first['kept'] = true
    expect(decodeControl(Uint8Array.of(0x80))).toEqual({})
    expect(decodeControl(encodeControl([]))).toEqual([])
  })

  test('know one zero, as JSON does', () => {
    expect(decodeControl(encodeControl(-0))).toBe(0)
  })

  test('carry bytes', () => {
    const value = decodeControl(encodeControl({ key: new Uint8Array([1, 2, 255]) })) as { key: Uint8Array }
    expect([...value.key]).toEqual([1, 2, 255])
  })

  test('turn undefined into null', () => {
    expect(decodeControl(encodeControl({ a: undefined }))).toEqual({ a: null })
  })

  test('refuse a bomb of nested array16 headers before anything is built', () => {
    refused(
      Uint8Array.from({ length: 3300 }, (_, at) => [0xdc, 0xff, 0xff][at % 3]!),
      'count',
    )
    const fitting = new Uint8Array(3 * 40 + 70_000)
    for (let level = 0; level < 40; level++) fitting.set([0xdc, 0xff, 0xff], 3 * level)
    refused(fitting, 'depth')
  })

  test('refuse deep nesting within the size, and five megabytes of it at once', () => {
    refused(new Uint8Array(100_000).fill(0x91), 'depth')
    refused(new Uint8Array(5 << 20).fill(0x91), 'size')
  })

  test('refuse more values than any control map of ours has', () => {
    refused(new Packr({ useRecords: false }).pack(Array.from({ length: 40_000 }, () => 0)), 'count')
  })

  test('refuse extensions, dates, big integers and keys that reach a prototype', () => {
    refused(Uint8Array.of(0xd6, 0xff, 0, 0, 0, 0), 'type')
    refused(Uint8Array.of(0xc7, 0, 1), 'type')
    refused(Uint8Array.of(0xc1), 'type')
    expect(() => encodeControl({ at: new Date() })).toThrow(ControlError)
    expect(() => encodeControl({ n: 2n ** 60n })).toThrow(ControlError)
    refused(Uint8Array.of(0xcf, 0, 0x20, 0, 0, 0, 0, 0, 1), 'integer')
    expect(decodeControl(Uint8Array.of(0xcf, 0, 0x1f, 255, 255, 255, 255, 255, 255))).toBe(Number.MAX_SAFE_INTEGER)
    refused(Uint8Array.of(0x81, 1, 1), 'key')
    refused(Uint8Array.of(0x81, 0xa9, ...new TextEncoder().encode('__proto__'), 1), 'key')
    refused(Uint8Array.of(0x81, 0xd9, 9, ...new TextEncoder().encode('__proto__'), 1), 'key')
  })

  test('refuse every cut of a valid map, and bytes that follow it', () => {
    const bytes = encodeControl({ route: [{ peer: 'a', from: 0, to: 8 }], deadline: 1e12, stop: ['\n'] })
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeControl(bytes.subarray(0, length))).toThrow(ControlError)
    refused(new Uint8Array([...bytes, 0xc0]), 'length')
  })

  test('never do anything with random or mutated bytes but decode them or refuse them', () => {
    const decode = (bytes: Uint8Array): void => {
      try {
        decodeControl(bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(ControlError)
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), decode), { numRuns: 3000 })
    fc.assert(
      fc.property(plain, fc.nat(), fc.integer({ min: 0, max: 255 }), (value, at, byte) => {
        const bytes = encodeControl(value)
        bytes[at % bytes.length] = byte
        decode(bytes)
      }),
      { numRuns: 3000 },
    )
  })

  test('stay under the limit of the frame', () => {
    expect(() => encodeControl('x'.repeat(MAX_CONTROL_BYTES))).toThrow(ControlError)
  })
})
