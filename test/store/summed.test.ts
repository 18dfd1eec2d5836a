/** Files that carry a sum: what turned in them is seen, what an older program or a person wrote is taken. */
import { describe, expect, test } from 'vitest'
import { readSummedBytes, readSummedJson, summedBytes, summedJson, SumMismatchError } from '../../src/store/index.ts'

const VALUE = { schema: 'weft.example/1', expires: '2027-01-01T00:00:00.000Z', uses: 3, nested: [{ a: null }] }

describe('a JSON file with a sum', () => {
  test('holds what was written', () => {
    expect(readSummedJson(summedJson(VALUE))).toEqual(VALUE)
    expect(readSummedJson(summedJson({}))).toEqual({})
  })

  test('is refused, or holds the same, whichever bit of it turns', () => {
    const bytes = Buffer.from(summedJson(VALUE))
    let refused = 0
    for (let at = 0; at < bytes.length * 8; at++) {
      const turned = Buffer.from(bytes)
      turned[at >> 3]! ^= 1 << (at & 7)
      let read: unknown
      try {
        read = readSummedJson(turned.toString())
      } catch (error) {
        expect(error instanceof SumMismatchError || error instanceof SyntaxError).toBe(true)
        refused++
        continue
      }
      // the name of the sum turned: a field that no reader knows
      if (!turned.toString().includes('"sum"')) expect(Object.keys(read as object)).toHaveLength(5)
      else expect(read).toEqual(VALUE)
    }
    expect(refused).toBeGreaterThan(bytes.length * 6)
  })

  test('without one is what it says, and a list is a list', () => {
    expect(readSummedJson(JSON.stringify(VALUE))).toEqual(VALUE)
    expect(readSummedJson('[{"sum":1}]')).toEqual([{ sum: 1 }])
    expect(() => readSummedJson('{"uses":3,"sum":"3"}')).toThrow(SumMismatchError)
  })
})

describe('bytes with a sum', () => {
  const bytes = Uint8Array.from({ length: 40 }, (_, n) => n)
  test('are what was written, and refused when a bit of them or of the sum turned', () => {
    const file = summedBytes(bytes)
    expect([...readSummedBytes(file)]).toEqual([...bytes])
    const head = file.length - bytes.length - 32
    for (let at = head * 8; at < file.length * 8; at++) {
      const turned = Buffer.from(file)
      turned[at >> 3]! ^= 1 << (at & 7)
      expect(() => readSummedBytes(turned)).toThrow(SumMismatchError)
    }
  })

  test('without a sum are what they are', () => {
    expect([...readSummedBytes(bytes)]).toEqual([...bytes])
    expect([...readSummedBytes(new Uint8Array(0))]).toEqual([])
  })
})
