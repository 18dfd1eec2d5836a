/** NumPy's formats: files that NumPy wrote, files that weft writes, and files that lie. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as fc from 'fast-check'
import { readNpy, readNpz, writeNpz } from '../../src/data/index.ts'
import { TENSOR_ARRAYS } from '../../src/onnx/index.ts'
import type { AnyTensor } from '../../src/onnx/index.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url))

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-numpy-'))
})

afterAll(() => rm(folder, { recursive: true }))

/** What the fixtures hold, as NumPy 2.4 wrote them. */
const EXPECTED: readonly (readonly [string, string, readonly number[], readonly unknown[]])[] = [
  ['f4', 'float32', [2, 3], [0, 0.25, 0.5, 0.75, 1, 1.25]],
  ['big/endian', 'int64', [2, 3], [-3n, -2n, -1n, 0n, 1n, 2n]],
  ['fortran', 'uint16', [2, 3, 4], Array.from({ length: 24 }, (_, index) => index)],
  ['half', 'float16', [3], [0x3c00, 0xc000, 0x3800]],
  ['bool', 'bool', [2], [1, 0]],
  ['Zürich', 'string', [2, 2], ['weft', '織😀', '', 'a']],
  ['bytes', 'string', [2], ['ab', 'c']],
  ['scalar', 'float64', [], [2.5]],
  ['empty', 'int8', [0, 4], []],
]

function bitsOf({ type, data }: AnyTensor): unknown {
  return type === 'string' ? data : Buffer.from(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength))
}

/** Of one .npy file: any header before any data. */
function npy(header: string, data: Uint8Array | number = 0, version = 1): Buffer {
  const length = Buffer.alloc(version === 1 ? 2 : 4)
  const text = Buffer.from(header, version === 3 ? 'utf8' : 'latin1')
  if (version === 1) length.writeUInt16LE(text.length)
  else length.writeUInt32LE(text.length)
  const body = typeof data === 'number' ? Buffer.alloc(data) : data
  return Buffer.concat([Buffer.from('\u0093NUMPY', 'latin1'), Buffer.from([version, 0]), length, text, body])
}

const header = (descr: string, shape: string, order = 'False'): string =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }\n`

async function read(bytes: Uint8Array): Promise<AnyTensor> {
  const path = join(folder, 'one.npy')
  await writeFile(path, bytes)
  return readNpy(path)
}

describe('files that NumPy wrote', () => {
  it.each(['numpy-savez.npz', 'numpy-compressed.npz'])('%s is read as it was meant', async (name) => {
    const arrays = await readNpz(fixture(name))
    expect([...arrays].map(([key, { type, dims, data }]) => [key, type, dims, [...data]])).toEqual(EXPECTED)
  })

  it.each([1, 2, 3])('version %i of the header is read', async (version) => {
    const tensor = await read(npy(header('<i4', '(2, 1)'), new Uint8Array(Int32Array.of(7, -7).buffer), version))
    expect(tensor).toEqual({ type: 'int32', dims: [2, 1], data: Int32Array.of(7, -7) })
  })

  it('sizes as Python 2 wrote them, and either kind of quotes', async () => {
    const text = '{"descr": "|u1", "fortran_order": True, "shape": (2L, 2L)}'
    expect([...(await read(npy(text, Uint8Array.of(1, 2, 3, 4)))).data]).toEqual([1, 3, 2, 4])
  })
})

describe('files that weft writes', () => {
  const types = Object.keys(TENSOR_ARRAYS) as (keyof typeof TENSOR_ARRAYS)[]
  const numbers = fc.record({
    type: fc.constantFrom(...types),
    dims: fc.array(fc.nat(4), { maxLength: 4 }),
    seed: fc.nat(),
  })
  const texts = fc.array(
    fc.string({ unit: 'grapheme' }).filter((text) => !text.endsWith('\0')),
    { maxLength: 6 },
  )

  it('give back every type and shape, names like paths too', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(numbers, { maxLength: 4 }), texts, async (made, words) => {
        const arrays = new Map<string, AnyTensor>([['/a/../b', { type: 'string', dims: [words.length], data: words }]])
        for (const [index, { type, dims, seed }] of made.entries()) {
          const data = new TENSOR_ARRAYS[type](dims.reduce((product, dim) => product * dim, 1))
          const bytes = new Uint8Array(data.buffer)
          bytes.forEach((_, at) => (bytes[at] = type === 'bool' ? (at + seed) % 2 : (at * 37 + seed) % 256))
          arrays.set(`織${index}`, { type, dims, data })
        }
        const path = join(folder, 'law.npz')
        await writeNpz(path, arrays)
        const back = await readNpz(path)
        expect([...back.keys()]).toEqual([...arrays.keys()])
        for (const [name, { type, dims, data }] of arrays) {
          const found = back.get(name)!
          expect([found.type, found.dims]).toEqual([type, dims])
          expect(bitsOf(found)).toEqual(bitsOf({ type, dims, data } as AnyTensor))
        }
      }),
      { numRuns: 40 },
    )
  })

  it('are the same bytes each time, and nothing else is left in the folder', async () => {
    const arrays = await readNpz(fixture('numpy-savez.npz'))
    const own = await mkdtemp(join(folder, 'own-'))
    await writeNpz(join(own, 'a.npz'), arrays)
    await writeNpz(join(own, 'b.npz'), arrays)
    expect(await readFile(join(own, 'a.npz'))).toEqual(await readFile(join(own, 'b.npz')))
    await expect(
      writeNpz(join(own, 'c.npz'), new Map([['x', { type: 'string', dims: [1], data: ['a\0'] }]])),
    ).rejects.toMatchObject({ code: 'WEFT-DAT-006' })
    expect((await readdir(own)).toSorted()).toEqual(['a.npz', 'b.npz'])
  })
})

describe('files that lie', () => {
  it.each([
    ['an object', npy(header('|O', '(1,)'), 8), 'WEFT-DAT-003'],
    ['complex numbers', npy(header('<c8', '(1,)'), 8), 'WEFT-DAT-002'],
    ['a date', npy(header('<M8', '(1,)'), 8), 'WEFT-DAT-002'],
    ['a record', npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4), 'WEFT-DAT-002'],
    ['a program', npy("{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,), }"), 'WEFT-DAT-001'],
    ['no file of NumPy', Buffer.from('PK\u0003\u0004 and more that is longer'), 'WEFT-DAT-001'],
    ['an empty file', Buffer.alloc(0), 'WEFT-DAT-001'],
    ['a version of the future', npy(header('<f4', '(1,)'), 4, 9), 'WEFT-DAT-001'],
    ['a header that is cut', npy(header('<f4', '(1,)')).subarray(0, 20), 'WEFT-DAT-001'],
    ['fewer data than its shape', npy(header('<f4', '(3,)'), 8), 'WEFT-DAT-001'],
    ['more data than its shape', npy(header('<f4', '(3,)'), 16), 'WEFT-DAT-001'],
    ['a size below zero', npy(header('<f4', '(-3,)'), 8), 'WEFT-DAT-001'],
    ['a shape that is no tuple', npy(header('<f4', '(2)'), 8), 'WEFT-DAT-001'],
    ['sizes that overflow', npy(header('<f4', '(4294967296, 4294967296)')), 'WEFT-DAT-004'],
    ['a billion texts of no width', npy(header('<U0', '(1000000000,)')), 'WEFT-DAT-004'],
    ['a hundred dimensions', npy(header('<f4', `(${'1, '.repeat(100)})`), 4), 'WEFT-DAT-004'],
    ['tuples in tuples', npy(`{'descr': ${'('.repeat(3000)}`), 'WEFT-DAT-001'],
    ['a key twice', npy("{'descr': '<f4', 'descr': '<f4', 'shape': (), }", 4), 'WEFT-DAT-001'],
    ['no character', npy(header('<U1', '(1,)'), Buffer.from('ffffff7f', 'hex')), 'WEFT-DAT-001'],
    ['bytes that are no text', npy(header('|S2', '(1,)'), Uint8Array.of(0xff, 0xfe)), 'WEFT-DAT-001'],
  ])('%s is refused by its code', async (_, bytes, code) => {
    await expect(read(bytes)).rejects.toMatchObject({ code })
  })

  it('an archive with pickled objects, one that is cut, damaged, or none', async () => {
    await expect(readNpz(fixture('numpy-objects.npz'))).rejects.toMatchObject({ code: 'WEFT-DAT-003' })
    await expect(readNpz(join(folder, 'nowhere.npz'))).rejects.toMatchObject({ code: 'WEFT-DAT-005' })
    const good = await readFile(fixture('numpy-savez.npz'))
    const path = join(folder, 'bad.npz')
    await writeFile(path, good.subarray(0, good.length - 40))
    await expect(readNpz(path)).rejects.toMatchObject({ code: 'WEFT-DAT-001' })
    const flipped = Buffer.from(good)
    flipped[170] = flipped[170]! ^ 1
    await writeFile(path, flipped)
    await expect(readNpz(path)).rejects.toMatchObject({ code: 'WEFT-DAT-001' })
    await writeFile(path, 'no archive at all, and no zip either')
    await expect(readNpz(path)).rejects.toMatchObject({ code: 'WEFT-DAT-001' })
  })

  it('an entry that would unpack to more than deflate can', async () => {
    const bytes = Buffer.from(await readFile(fixture('numpy-compressed.npz')))
    const central = bytes.indexOf(Buffer.from('PK\u0001\u0002', 'latin1'))
    bytes.writeUInt32LE(1 << 30, central + 24)
    const path = join(folder, 'bomb.npz')
    await writeFile(path, bytes)
    await expect(readNpz(path)).rejects.toMatchObject({
      code: 'WEFT-DAT-001',
      message: expect.stringContaining('unpack'),
    })
  })
})
