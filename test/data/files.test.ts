/** Images, sounds, texts and IDX files as examples: what is read, and what is refused. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listClasses, readIdx, readImages, readSounds, readTexts, readTokens } from '../../src/data/index.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-files-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function file(name: string, content: string | Uint8Array): Promise<string> {
  await mkdir(join(folder, name, '..'), { recursive: true })
  await writeFile(join(folder, name), content)
  return join(folder, name)
}

function idx(type: number, dims: readonly number[], body: Uint8Array): Buffer {
  const head = Buffer.alloc(4 + 4 * dims.length)
  head.writeUInt8(type, 2)
  head.writeUInt8(dims.length, 3)
  for (const [axis, size] of dims.entries()) head.writeUInt32BE(size, 4 + 4 * axis)
  return Buffer.concat([head, body])
}

describe('IDX', () => {
  test('is read plain and packed, bytes and larger numbers', async () => {
    const bytes = idx(8, [2, 1, 3], Uint8Array.of(1, 2, 3, 4, 5, 255))
    expect(await readIdx(await file('a', bytes))).toEqual({
      type: 'uint8',
      dims: [2, 1, 3],
      data: Uint8Array.of(1, 2, 3, 4, 5, 255),
    })
    expect((await readIdx(await file('a.gz', gzipSync(bytes)))).dims).toEqual([2, 1, 3])
    const floats = Buffer.alloc(8)
    floats.writeFloatBE(1.5, 0)
    floats.writeFloatBE(-2, 4)
    expect([...(await readIdx(await file('f', idx(13, [2], floats)))).data]).toEqual([1.5, -2])
  })

  test.each<[string, Buffer]>([
    ['is cut off', idx(8, [2, 3], Uint8Array.of(1, 2))],
    ['says too much', idx(8, [0xffffffff, 0xffffffff], Uint8Array.of(1))],
    ['has no type', idx(1, [1], Uint8Array.of(1))],
    ['is damaged', gzipSync(idx(8, [1], Uint8Array.of(1))).subarray(0, 12)],
    ['is empty', Buffer.alloc(0)],
  ])('that %s is refused', async (_, bytes) => {
    await expect(readIdx(await file('bad', bytes))).rejects.toMatchObject({ code: 'WEFT-DAT-011' })
  })
})

/** Each row with the filter of its number. */
function png(
  width: number,
  samples: number,
  colour: number,
  rows: readonly (readonly number[])[],
  palette?: Buffer,
): Buffer {
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
    const out = Buffer.alloc(8)
    out.writeUInt32BE(data.length, 0)
    out.writeUInt32BE(crc32(body), 4)
    return Buffer.concat([out.subarray(0, 4), body, out.subarray(4)])
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(rows.length, 4)
  header.set([8, colour, 0, 0, 0], 8)
  const lines = rows.map((row, at) => {
    const filter = at % 5
    const before = rows[at - 1] ?? row.map(() => 0)
    return row.map((value, place) => {
      const left = row[place - samples] ?? 0
      const [up, corner] = [before[place]!, before[place - samples] ?? 0]
      const paeth = [left, up, corner].reduce((best, one) =>
        Math.abs(left + up - corner - one) < Math.abs(left + up - corner - best) ? one : best,
      )
      return (value - [0, left, up, (left + up) >> 1, paeth][filter]!) & 255
    })
  })
  const body = deflateSync(Buffer.from(lines.flatMap((line, at) => [at % 5, ...line])))
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    ...(palette === undefined ? [] : [chunk('PLTE', palette)]),
    chunk('IDAT', body.subarray(0, 7)),
    chunk('IDAT', body.subarray(7)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

describe('a folder of images', () => {
  const rows = Array.from({ length: 6 }, (_, y) => Array.from({ length: 6 }, (_, x) => (x * 37 + y * 91 + x * y) % 256))

  test('has one class a folder; PNG and PPM are the same pixels, planes of colours', async () => {
    await file('images/cat/1.png', png(2, 3, 2, rows))
    const ppm = Buffer.concat([Buffer.from('P6\n# made\n2 6\n255\n'), Buffer.from(rows.flat())])
    await file('images/cat/2.ppm', ppm)
    const alpha = rows.map((row) => [0, 1].flatMap((at) => [...row.slice(3 * at, 3 * at + 3), 9]))
    await file('images/dog/1.png', png(2, 4, 6, alpha))
    await file('images/dog/notes.txt', 'no image')
    const found = await listClasses(join(folder, 'images'), /\.(?:png|ppm)$/)
    expect([found.classes, found.files.map(({ label }) => label)]).toEqual([
      ['cat', 'dog'],
      [0, 0, 1],
    ])
    const { dims, data } = await readImages(found)
    expect(dims).toEqual([3, 3, 6, 2])
    const red = rows.flatMap((row) => [row[0], row[3]])
    for (const image of [0, 1, 2]) expect(Array.from(data.slice(image * 36, image * 36 + 12), Number)).toEqual(red)
  })

  test('takes grey images and palettes', async () => {
    await file('grey/a/1.png', png(6, 1, 0, rows))
    expect((await readImages(await listClasses(join(folder, 'grey'), /png/))).data).toEqual(
      Uint8Array.from(rows.flat()),
    )
    await file('palette/a/1.png', png(2, 1, 3, [[0, 1]], Buffer.from([1, 2, 3, 4, 5, 6])))
    const { dims, data } = await readImages(await listClasses(join(folder, 'palette'), /png/))
    expect([dims, [...data]]).toEqual([
      [1, 3, 1, 2],
      [1, 4, 2, 5, 3, 6],
    ])
  })

  const whole = png(2, 3, 2, rows)
  const changed = (at: number): Buffer => Buffer.from(whole.map((byte, place) => (place === at ? byte ^ 1 : byte)))
  test.each<[string, Buffer]>([
    ['cut off', whole.subarray(0, 60)],
    ['damaged', changed(45)],
    ['without a palette', png(2, 1, 3, [[0, 1]])],
    ['with a colour beyond the palette', png(2, 1, 3, [[0, 9]], Buffer.from([1, 2, 3]))],
    ['no image', Buffer.from('hello')],
    ['of another kind of PPM', Buffer.from('P6 2 2 65535\nxxxxxxxx')],
  ])('with one that is %s is refused', async (name, bytes) => {
    await file(`bad-${name.replaceAll(' ', '-')}/a/1.png`, bytes)
    const found = await listClasses(join(folder, `bad-${name.replaceAll(' ', '-')}`), /png/)
    await expect(readImages(found)).rejects.toMatchObject({ code: 'WEFT-DAT-011' })
  })

  test('with two sizes is refused', async () => {
    await file('two/a/1.png', png(2, 3, 2, rows))
    await file('two/a/2.png', png(6, 1, 0, rows))
    await expect(readImages(await listClasses(join(folder, 'two'), /png/))).rejects.toThrow('[1, 6, 6]')
  })
})

function wav(rate: number, channels: number, bits: number, body: Buffer): Buffer {
  const head = Buffer.alloc(44)
  head.write('RIFF', 0)
  head.write('WAVEfmt ', 8)
  head.writeUInt32LE(16, 16)
  head.writeUInt16LE(1, 20)
  head.writeUInt16LE(channels, 22)
  head.writeUInt32LE(rate, 24)
  head.writeUInt16LE(bits, 34)
  head.write('data', 36)
  head.writeUInt32LE(body.length, 40)
  return Buffer.concat([head, body])
}

test('a folder of sounds: channels become their mean, all get one length, another rate is refused', async () => {
  const stereo = Buffer.alloc(8)
  for (const [at, value] of [16384, 0, -32768, -32768].entries()) stereo.writeInt16LE(value, 2 * at)
  await file('sounds/yes/1.wav', wav(8000, 2, 16, stereo))
  await file('sounds/no/1.wav', wav(8000, 1, 8, Buffer.from([128, 192, 64, 0, 255])))
  const found = await listClasses(join(folder, 'sounds'), /\.wav$/)
  const { dims, data } = await readSounds(found, 8000, 3)
  expect([dims, [...data]]).toEqual([
    [2, 3],
    [0, 0.5, -0.5, 0.25, -1, 0],
  ])
  await expect(readSounds(found, 16_000, 3)).rejects.toThrow('8000 samples a second')
  await file('noise/a/1.wav', Buffer.from('RIFFxxxxWAVE'))
  await expect(readSounds(await listClasses(join(folder, 'noise'), /wav/), 8000, 3)).rejects.toMatchObject({
    code: 'WEFT-DAT-011',
  })
})

test('texts become windows, each with what follows; JSON lines are joined by zeros', async () => {
  const request = { field: 'text', length: 4, memory: 1 << 16, folder }
  const rows = await readTexts({ ...request, paths: [await file('t.txt', 'abcdefghij')] })
  expect(rows.count).toBe(2)
  const { x, target } = await rows.take(Uint32Array.of(1))
  const shown = (values: typeof x): string => Buffer.from(Array.from(values!.data, Number)).toString()
  expect([shown(x), shown(target)]).toEqual(['efgh', 'fghi'])
  const lines = await file('t.jsonl', '{"text":"ab"}\n\n{"text":"cd"}\n')
  const joined = await readTexts({ ...request, paths: [lines] })
  expect(shown((await joined.take(Uint32Array.of(0)))['x'])).toBe('ab\0c')
  for (const bad of ['{"text":1}', '{"txt":"a"}', '{', 'null']) {
    const paths = [await file('b.jsonl', `{"text":"a"}\n${bad}\n`)]
    await expect(readTexts({ ...request, paths })).rejects.toThrow('line 2')
  }
  await expect(readTexts({ ...request, paths: [join(folder, 'none.jsonl')] })).rejects.toMatchObject({
    code: 'WEFT-DAT-010',
  })
})

test.each(['ab ', 'aé'])(
  'a text of one line is made into tokens in pieces, of the text %j again and again',
  async (word) => {
    const text = word.repeat(1_000_000)
    const lengths: number[] = []
    const encode = (piece: string): readonly number[] => {
      lengths.push(piece.length)
      return Array.from(Buffer.from(piece))
    }
    const request = { paths: [await file('line.txt', text)], field: 'text', length: 1024, memory: 1 << 16, folder }
    const rows = await readTokens({ ...request, encode, end: null })
    expect(Math.max(...lengths)).toBeLessThan(1.3 * 2 ** 20)
    expect(lengths.length).toBeGreaterThan(1)
    expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(text.length)
    const { x } = await rows.take(Uint32Array.of(rows.count - 1))
    const bytes = Buffer.from(text)
    const from = (rows.count - 1) * 1024
    expect(Buffer.from(Array.from(x!.data, Number)).equals(bytes.subarray(from, from + 1024))).toBe(true)
    await rows.close()
  },
)
