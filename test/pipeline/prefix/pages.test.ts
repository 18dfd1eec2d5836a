/** Names of prefixes, and the store that keeps their pages. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PrefixCache } from '../../../src/pipeline/host/prefix-cache.ts'
import { KvCache } from '../../../src/pipeline/host/kv-cache.ts'
import { NAME_BYTES, PrefixNames, prefixKeys, RUN_ROWS } from '../../../src/pipeline/prefix/names.ts'
import { PageStore } from '../../../src/pipeline/prefix/page-store.ts'

const SECRET = new Uint8Array(32).fill(7)
const ids = (count: number, seed = 0): number[] => Array.from({ length: count }, (_, index) => index * 31 + seed)

describe('names of a text', () => {
  const names = new PrefixNames(SECRET, 'model')

  it('are one a whole run, and the same as far as two texts are', () => {
    const one = names.of(ids(70))
    expect(one.length).toBe(4 * NAME_BYTES)
    const other = names.of([...ids(40), ...ids(30, 5)])
    const same = 2 * NAME_BYTES
    expect(other.subarray(0, same)).toEqual(one.subarray(0, same))
    for (const run of [2, 3]) {
      const at = [run * NAME_BYTES, (run + 1) * NAME_BYTES] as const
      expect(other.subarray(...at)).not.toEqual(one.subarray(...at))
    }
  })

  it('are others under another secret, and of another model', () => {
    const text = ids(RUN_ROWS)
    const all = [
      names,
      new PrefixNames(
        SECRET.map((byte) => byte + 1),
        'model',
      ),
      new PrefixNames(SECRET, 'other'),
    ]
    expect(new Set(all.map((each) => Buffer.from(each.of(text)).toString('hex'))).size).toBe(3)
  })
})

describe('a store of pages', () => {
  it('finds the longest prefix that is here, and drops only what nothing follows', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 6 })), { maxLength: 40 }),
        fc.integer({ min: 0, max: 30 }),
        (texts, most) => {
          const store = new PageStore<string>()
          // Texts share their first page.
          const keysOf = (text: number, length: number): string[] =>
            Array.from({ length }, (_, at) => (at === 0 ? 'all' : `${text}/${at}`))
          for (const [text, length] of texts) {
            const keys = keysOf(text, length)
            const found = store.find(keys)
            expect(found).toEqual(keys.slice(0, found.length))
            for (const [at, key] of keys.entries()) store.add(key, keys[at - 1], key, 2)
            store.shrink(most)
            expect(store.bytes).toBeLessThanOrEqual(most)
            for (let other = 0; other < 4; other++) {
              // Nothing is here that could not be found.
              const whole = keysOf(other, 6)
              expect(store.find(whole).length).toBe(whole.filter((key) => store.has(key)).length)
            }
          }
        },
      ),
    )
  })

  it('keeps what is used often, and forgets what was used long ago', () => {
    const store = new PageStore<number>()
    store.add('system prompt', undefined, 0, 1)
    for (let use = 0; use < 5; use++) store.find(['system prompt'])
    for (let text = 0; text < 20; text++) {
      store.shrink(2)
      store.add(`once ${text}`, undefined, text, 1)
      if (text === 3) expect(store.has('system prompt')).toBe(true)
    }
    expect(store.has('system prompt')).toBe(false)
  })
})

describe('KV rows of a prefix', () => {
  const SHAPE = { layers: 2, heads: 2, headDim: 4 }
  const filled = (rows: number, seed: number): KvCache => {
    const cache = new KvCache(SHAPE)
    for (let row = 0; row < rows; row++) {
      cache.reserve(row + 1)
      for (let layer = 0; layer < SHAPE.layers; layer++) {
        const values = Float32Array.from({ length: 8 }, (_, at) => seed + row * 100 + layer * 10 + at)
        cache.write(
          layer,
          values,
          values.map((value) => -value),
          1,
          1,
        )
      }
      cache.position++
    }
    return cache
  }
  const names = new PrefixNames(SECRET, 'model').of(ids(64))
  const asked = { scope: 'a', names, most: 4 }

  it('come back as they were, over two parts, and a session that writes changes nobody else’s', () => {
    const prefixes = new PrefixCache(1 << 20)
    const [one, two] = [filled(40, 1), filled(40, 1000)]
    const { prefix, rows } = prefixes.open(asked, [new KvCache(SHAPE), new KvCache(SHAPE)])
    expect(rows).toBe(0)
    prefixes.keep(prefix, [one, two], 1 << 20)
    for (const again of [1, 2]) {
      const caches = [new KvCache(SHAPE), new KvCache(SHAPE)]
      expect(prefixes.open(asked, caches).rows).toBe(2 * RUN_ROWS)
      expect(caches[0]!.read(0, 32)).toEqual(one.read(0, 32))
      expect(caches[1]!.read(0, 32)).toEqual(two.read(0, 32))
      caches[0]!.keys(0).fill(again)
    }
    expect(prefixes.open({ ...asked, scope: 'b' }, [new KvCache(SHAPE), new KvCache(SHAPE)]).rows).toBe(0)
  })

  it('make room for sessions, whatever they are worth', () => {
    const prefixes = new PrefixCache(1 << 20)
    const cache = filled(64, 1)
    prefixes.keep({ scope: 'a', keys: prefixKeys('a', names), kept: 0 }, [cache], 1 << 20)
    const run = cache.read(0, RUN_ROWS).byteLength
    expect(prefixes.bytes).toBe(4 * run)
    prefixes.yieldTo(2 * run + 1)
    expect(prefixes.bytes).toBe(2 * run)
    prefixes.yieldTo(-1)
    expect(prefixes.bytes).toBe(0)
  })

  it('are not kept where there is no room for them', () => {
    const prefixes = new PrefixCache(1 << 20)
    prefixes.keep({ scope: 'a', keys: prefixKeys('a', names), kept: 0 }, [filled(64, 1)], 100)
    expect(prefixes.bytes).toBe(0)
  })
})
