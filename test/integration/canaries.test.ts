/** What searches for leaks must find: a search that misses a spelling proves nothing. */
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { found, spellings } from './canaries.ts'
import type { Canary } from './canaries.ts'

const CANARIES: Readonly<Record<string, Canary>> = {
  text: 'Mrs Quillhaven, "born" in Ostrava',
  bytes: Uint8Array.of(7, 130, 251, 16, 99, 201, 44, 5, 180, 33, 71, 12, 240, 90, 3, 66),
  ids: [960, 1504, 17, 40_000, 3, 128],
}
const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, at) => (at * 89 + 31) % 251))
const within = (bytes: Buffer): Buffer => Buffer.concat([noise(301), bytes, noise(77)])

describe('a canary', () => {
  test.each(
    Object.entries(CANARIES).flatMap(([name, canary]) => spellings(canary).map((one) => [name, one.how, one] as const)),
  )('%s is found as %s, and in what was packed', (name, how, { bytes }) => {
    expect(found([within(bytes)], CANARIES)).toContain(`${name}: ${how}`)
    for (const pack of [gzipSync, deflateSync])
      expect(found([within(pack(within(bytes)))], CANARIES)).toContain(`${name}: packed, ${how}`)
    expect(found([deflateRawSync(within(bytes))], CANARIES)).toContain(`${name}: packed, ${how}`)
  })

  test('that is cut off inside a packed stream is found before the cut', () => {
    const packed = gzipSync(Buffer.concat([Buffer.from(String(CANARIES['text'])), noise(50_000)]))
    expect(found([packed.subarray(0, packed.length / 2)], CANARIES)).toContain('text: packed, plain')
  })

  test('that is not there is not found', () => {
    expect(found([noise(100_000), gzipSync(noise(5_000))], CANARIES)).toEqual([])
  })
})
