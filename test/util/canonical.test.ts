/** What is signed and hashed has one spelling, whatever the order in which it was written down. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson } from '../../src/util/index.ts'

describe('canonical JSON', () => {
  it('is the same for equal values in any order of keys, and reads back as the value', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const text = canonicalJson(value)
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)))
        expect(canonicalJson(JSON.parse(text))).toBe(text)
        expect(canonicalJson(Object.fromEntries(Object.entries(value).toReversed()))).toBe(text)
      }),
    )
  })

  it('orders keys by code units, numbers too, and leaves out what is undefined', () => {
    expect(canonicalJson({ b: [1, { d: 1, c: undefined }], a: 'é' })).toBe('{"a":"é","b":[1,{"d":1}]}')
    // An object that is built anew in sorted order would list 2 before 10.
    expect(canonicalJson({ 2: 'two', 10: 'ten', a: 0 })).toBe('{"10":"ten","2":"two","a":0}')
  })

  it('has no spelling for what JSON has none for', () => {
    expect(() => canonicalJson({ a: NaN })).toThrow(TypeError)
    expect(() => canonicalJson([undefined])).toThrow(TypeError)
  })
})
