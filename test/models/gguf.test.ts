import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { WeftError } from '../../src/errors.ts'
import { readGguf } from '../../src/models/readers/gguf.ts'
import { memoryAccess, openFileAccess } from '../../src/models/readers/random-access.ts'
import { text, u32, u64, writeGguf } from './support/gguf-writer.ts'
import type { GgufSpec, KeySpec, TensorSpec } from './support/gguf-writer.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-gguf-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const read = (spec: GgufSpec) => readGguf(memoryAccess(writeGguf(spec)))
const key = (name: string, type: KeySpec['type'], value: KeySpec['value']): KeySpec => ({ key: name, type, value })
const tensor = (name: string, shape: TensorSpec['shape'], more: Partial<TensorSpec> = {}): TensorSpec => ({
  name,
  shape,
  type: 'F32',
  ...more,
})
const good = tensor('a', [4, 8])

describe('readGguf', () => {
  it('reads every type of value, and shapes outermost first', async () => {
    const file = await read({
      keys: [
        key('u8', 'u8', 255),
        key('i8', 'i8', -1),
        key('u16', 'u16', 65535),
        key('i16', 'i16', -2),
        key('u32', 'u32', 4294967295),
        key('i32', 'i32', -3),
        key('f32', 'f32', 0.5),
        key('f64', 'f64', 0.1),
        key('u64', 'u64', 2n ** 64n - 1n),
        key('i64', 'i64', -4),
        key('bool', 'bool', true),
        key('string', 'string', 'grüße'),
        key('strings', 'string', ['a', '', 'ß']),
        key('numbers', 'i32', [1, -2, 3]),
        key('none', 'f32', []),
        key('flags', 'bool', [true, false]),
      ],
      tensors: [tensor('m', [2, 3, 32], { type: 'Q8_0' }), good],
    })
    const value = (name: string): unknown => {
      const found = file.metadata.get(name)!.value
      return found instanceof Float64Array ? [...found] : found
    }
    expect([...file.metadata.keys()].map(value)).toEqual([
      255,
      -1,
      65535,
      -2,
      4294967295,
      -3,
      0.5,
      0.1,
      2n ** 64n - 1n,
      -4,
      true,
      'grüße',
      ['a', '', 'ß'],
      [1, -2, 3],
      [],
      [1, 0],
    ])
    expect(file.tensors[0]).toMatchObject({ name: 'm', type: 'Q8_0', shape: [2, 3, 32], bytes: 204 })
    expect(file.tensors[1]!.offset).toBe(file.tensors[0]!.offset + 224)
    expect(file.tensors[0]!.offset % 32).toBe(0)
  })

  it('reads version 2, other alignments, trailing bytes, empty tensors and headers over its first look', async () => {
    expect((await read({ version: 2, keys: [], tensors: [good] })).tensors).toHaveLength(1)
    const wide = await read({
      keys: [key('general.alignment', 'u32', 4096)],
      tensors: [good, tensor('b', [4])],
      alignment: 4096,
    })
    expect(wide.tensors.map(({ offset }) => offset % 4096)).toEqual([0, 0])
    const trailing = Buffer.concat([writeGguf({ keys: [], tensors: [good] }), new Uint8Array(999)])
    expect((await readGguf(memoryAccess(trailing))).tensors).toHaveLength(1)
    expect((await read({ keys: [], tensors: [tensor('z', [0, 8]), good] })).tensors[0]).toMatchObject({ bytes: 0 })
    const long = Array.from({ length: 150_000 }, (_, id) => `token number ${id}`)
    expect((await read({ keys: [key('t', 'string', long)], tensors: [good] })).metadata.get('t')!.value).toEqual(long)
  })

  it('keeps a key __proto__ as a key', async () => {
    const { metadata } = await read({ keys: [key('__proto__', 'u32', 1)], tensors: [] })
    expect(metadata.get('__proto__')).toEqual({ type: 'u32', value: 1 })
    expect(Object.getPrototypeOf({})).toBe(Object.prototype)
  })
})

const raw = (name: string, ...parts: Uint8Array[]): KeySpec => key(name, 'raw', Buffer.concat(parts))
const MAX = 2n ** 64n - 1n

/** Files that lie. Each: a name, the file, what the refusal says. */
const LIES: readonly (readonly [string, GgufSpec, RegExp])[] = [
  ['a wrong magic number', { magic: 0x46554746, keys: [], tensors: [] }, /no GGUF/],
  ['version 0', { version: 0, keys: [], tensors: [] }, /version 0 is not read/],
  ['version 1', { version: 1, keys: [], tensors: [] }, /version 1 is not read/],
  ['a future version', { version: 4, keys: [], tensors: [] }, /version 4 is not read/],
  ['big-endian numbers', { version: 0x03000000, keys: [], tensors: [] }, /big-endian/],
  ['-1 tensors', { tensorCount: -1n, keys: [], tensors: [] }, /tensor count: 18446744073709551615/],
  ['more tensors than the file can hold', { tensorCount: 60_000n, keys: [], tensors: [good] }, /do not fit/],
  ['-1 keys', { keyCount: -1n, keys: [], tensors: [] }, /key count: 18446744073709551615/],
  ['more keys than the file can hold', { keyCount: 10_000n, keys: [], tensors: [good] }, /do not fit/],
  [
    'a key of length -1',
    { keys: [key('', 'whole', Buffer.concat([u64(MAX), u64(0n)]))], tensors: [] },
    /key 0: a length/,
  ],
  ['an empty key', { keys: [key('', 'u32', 1)], tensors: [] }, /key 0: it is empty/],
  ['the same key twice', { keys: [key('k', 'u32', 1), key('k', 'u32', 1)], tensors: [] }, /twice/],
  ['a value type that does not exist', { keys: [raw('k', u32(13), u32(0))], tensors: [good] }, /no value type 13/],
  [
    'an element type that does not exist',
    { keys: [raw('k', u32(9), u32(77), u64(1n))], tensors: [] },
    /no value type 77/,
  ],
  ['arrays in arrays', { keys: [raw('k', u32(9), u32(9), u64(100_000n))], tensors: [good] }, /arrays in arrays/],
  [
    'a string of 2^63 bytes',
    { keys: [raw('k', u32(8), u64(2n ** 63n))], tensors: [good] },
    /9223372036854775808 bytes is over/,
  ],
  ['a string past the end', { keys: [raw('k', u32(8), u64(100_000n))], tensors: [good] }, /the file ends/],
  [
    'a string of 10 MB',
    { keys: [key('tokenizer.chat_template', 'string', 'x'.repeat(1e7))], tensors: [] },
    /over 1048576/,
  ],
  ['an array of 2^61 elements', { keys: [raw('k', u32(9), u32(0), u64(2n ** 61n))], tensors: [good] }, /over 4194304/],
  ['an array past the end', { keys: [raw('k', u32(9), u32(8), u64(100_000n))], tensors: [good] }, /do not fit/],
  ['a truth value of 2', { keys: [raw('k', u32(7), Uint8Array.of(2))], tensors: [good] }, /no truth value/],
  [
    'a key that is not UTF-8',
    { keys: [key('', 'whole', Buffer.concat([u64(1n), Uint8Array.of(0xff), u32(4), u32(1)]))], tensors: [] },
    /UTF-8/,
  ],
  [
    'tokens that are not UTF-8',
    { keys: [raw('t', u32(9), u32(8), u64(1n), u64(2n), Uint8Array.of(0xff, 0xfe))], tensors: [] },
    /UTF-8/,
  ],
  ['an alignment of 13', { keys: [key('general.alignment', 'u32', 13)], tensors: [] }, /13 is no power of two/],
  ['an alignment of 0', { keys: [key('general.alignment', 'u32', 0)], tensors: [] }, /0 is no power of two/],
  ['an alignment of 2^31', { keys: [key('general.alignment', 'u32', 2 ** 31)], tensors: [] }, /no power of two up to/],
  ['an alignment of another type', { keys: [key('general.alignment', 'u64', 32)], tensors: [] }, /it is u64, not u32/],
  ['a tensor name of 64 bytes', { keys: [], tensors: [tensor('n'.repeat(64), [4])] }, /64 bytes is over 63/],
  ['a tensor without a name', { keys: [], tensors: [tensor('', [4])] }, /no name/],
  ['the same tensor twice', { keys: [], tensors: [good, good] }, /twice/],
  ['five dimensions', { keys: [], tensors: [tensor('d', [1, 1, 1, 1, 1])] }, /5 dimensions/],
  ['no dimensions', { keys: [], tensors: [tensor('d', [], { data: new Uint8Array(64) })] }, /0 dimensions/],
  ['2^32 dimensions', { keys: [], tensors: [tensor('d', [4], { dimensions: 0xffffffff })] }, /4294967295 dimensions/],
  ['a negative size', { keys: [], tensors: [tensor('d', [-1n])] }, /cannot fit/],
  ['sizes whose product overflows', { keys: [], tensors: [tensor('d', [2n ** 32n, 2n ** 32n, 4])] }, /cannot fit/],
  [
    'a product that wraps to a small number',
    { keys: [], tensors: [tensor('d', [2n ** 33n, 2n ** 31n + 1n])] },
    /cannot fit/,
  ],
  [
    'two tensors whose sizes add up to nothing',
    {
      keys: [],
      tensors: [tensor('a', [0x7fffffffffffffc0n], { type: 24 }), tensor('b', [0x7fffffffffffffc0n], { type: 24 })],
    },
    /cannot fit/,
  ],
  [
    'a tensor type that does not exist',
    { keys: [], tensors: [tensor('d', [32], { type: 102 })] },
    /no tensor type 102/,
  ],
  ['a tensor type of old files', { keys: [], tensors: [tensor('d', [32], { type: 4 })] }, /no tensor type 4/],
  [
    'a type that weft does not read',
    { keys: [], tensors: [tensor('d', [32], { type: 23, data: new Uint8Array(64) })] },
    /stored as IQ4_XS/,
  ],
  [
    'rows that are not whole blocks',
    { keys: [], tensors: [tensor('d', [2, 48], { type: 'Q8_0' })] },
    /whole blocks of Q8_0/,
  ],
  [
    'an offset that is not aligned',
    { keys: [], tensors: [tensor('d', [64], { offset: 4n })] },
    /multiple of the alignment/,
  ],
  ['an offset past the end', { keys: [], tensors: [tensor('d', [4], { offset: 2n ** 63n })] }, /past the end/],
  ['an offset whose end wraps', { keys: [], tensors: [tensor('d', [4], { offset: MAX - 31n })] }, /past the end/],
  ['data that is cut', { keys: [], tensors: [tensor('d', [64], { data: new Uint8Array(128) })] }, /ends at byte/],
  [
    'tensors that lie over each other',
    { keys: [], tensors: [tensor('a', [64]), tensor('b', [64], { offset: 0n })] },
    /lies over/,
  ],
  [
    'an alignment that its offsets do not have',
    { keys: [key('general.alignment', 'u32', 64)], tensors: [tensor('a', [8]), tensor('b', [8])] },
    /multiple of the alignment 64/,
  ],
]

describe('a GGUF file that lies', () => {
  it.each(LIES)('is refused: %s', async (_, spec, says) => {
    const error = await read(spec).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(WeftError)
    expect((error as WeftError).code).toMatch(/^WEFT-MOD-00[23]$/)
    expect((error as WeftError).message).toMatch(says)
    expect((error as WeftError).message.length).toBeLessThan(400)
  })

  it('is refused when it is cut anywhere in the header', async () => {
    const whole = writeGguf(tinyLlama())
    const { tensors } = await readGguf(memoryAccess(whole))
    const dataAt = Math.min(...tensors.map(({ offset }) => offset))
    for (let length = 0; length < dataAt; length += length < 200 ? 1 : 97) {
      await expect(readGguf(memoryAccess(whole.slice(0, length)))).rejects.toMatchObject({ code: 'WEFT-MOD-002' })
    }
  })

  it('is read or refused with a code, whatever is changed in it', async () => {
    const whole = writeGguf({ ...tinyLlama({ layers: 1 }) })
    const head = 4096
    const values = [0n, 1n, MAX, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n]
    const edit = fc.record({ at: fc.nat(head), value: fc.constantFrom(...values), byte: fc.boolean(), to: fc.nat(255) })
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        const bytes = Uint8Array.from(whole)
        for (const { at, value, byte, to } of edits) {
          if (byte) bytes[at] = to
          else bytes.set(u64(value), at)
        }
        const error = await readGguf(memoryAccess(bytes)).then(
          () => null,
          (thrown: unknown) => thrown,
        )
        expect(error === null || error instanceof WeftError).toBe(true)
      }),
      { numRuns: 1500 },
    )
  })
})

describe('a file that is no file', () => {
  it('is refused: missing, a folder, a pipe, a device, empty', async () => {
    await expect(openFileAccess(join(base, 'none'))).rejects.toMatchObject({ code: 'WEFT-MOD-004' })
    await expect(openFileAccess(base)).rejects.toMatchObject({ code: 'WEFT-MOD-004' })
    if (process.platform !== 'win32') {
      execFileSync('mkfifo', [join(base, 'pipe')])
      await expect(openFileAccess(join(base, 'pipe'))).rejects.toMatchObject({ code: 'WEFT-MOD-004' })
      await expect(openFileAccess('/dev/zero')).rejects.toMatchObject({ code: 'WEFT-MOD-004' })
    }
    writeFileSync(join(base, 'empty'), '')
    const empty = await openFileAccess(join(base, 'empty'))
    await expect(readGguf(empty)).rejects.toMatchObject({ code: 'WEFT-MOD-002' })
    await empty.close()
  })

  it('may have a hole of a terabyte and is not read for it', async () => {
    const path = join(base, 'sparse.gguf')
    writeFileSync(path, writeGguf({ keys: [], tensors: [good] }))
    try {
      truncateSync(path, 2 ** 40)
    } catch {
      return
    }
    const file = await openFileAccess(path)
    expect((await readGguf(file)).tensors).toHaveLength(1)
    await file.close()
  })

  it('is known to have changed while it was open', async () => {
    const path = join(base, 'changing.gguf')
    writeFileSync(path, writeGguf({ keys: [], tensors: [good] }))
    const file = await openFileAccess(path)
    await file.unchanged()
    truncateSync(path, 40)
    await expect(file.unchanged()).rejects.toMatchObject({ code: 'WEFT-MOD-002' })
    await expect(file.read(30, 50)).rejects.toMatchObject({ code: 'WEFT-MOD-002' })
    await file.close()
  })
})

describe('a text value', () => {
  it('is written as the specification has it (the writer is part of the proof)', () => {
    expect([...text('ab')]).toEqual([2, 0, 0, 0, 0, 0, 0, 0, 97, 98])
  })
})
