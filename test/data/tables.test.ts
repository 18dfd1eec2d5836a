/** Tables as rows: what is read, what is refused with its place, and what is learnt of the columns. */
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  checkUnchanged,
  createSeeded,
  fingerprints,
  partOf,
  readCsv,
  readNumber,
  readTable,
  RunningStatistics,
  shuffled,
} from '../../src/data/index.ts'
import type { CsvOptions, TableRequest } from '../../src/data/index.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-tables-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function file(name: string, content: string | Uint8Array): Promise<string> {
  await writeFile(join(folder, name), content)
  return join(folder, name)
}

async function cells(path: string, options: CsvOptions = {}): Promise<(readonly string[])[]> {
  const records: (readonly string[])[] = []
  for await (const record of readCsv(path, options)) records.push(record.cells)
  return records
}

describe('a file of records', () => {
  test.each<[string, string, CsvOptions, string[][]]>([
    [
      'plain cells',
      'a,b\n1, 2 \n',
      {},
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'no last line end, and a byte-order mark',
      '\uFEFFa,b\r\n1,2',
      {},
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'quotes, doubled quotes, separators and line ends inside',
      '"a ""x""","b,\nc"\r\n,""\n',
      {},
      [
        ['a "x"', 'b,\nc'],
        ['', ''],
      ],
    ],
    ['another separator', 'a;b\n', { separator: ';' }, [['a', 'b']]],
    ['runs of blanks', '  1   2\t3 \n', { separator: 'whitespace' }, [['1', '2', '3']]],
    ['empty lines', 'a\n\n\nb\n', {}, [['a'], ['b']]],
  ])('with %s', async (_, text, options, expected) => {
    expect(await cells(await file('x.csv', text), options)).toEqual(expected)
  })

  test('that is packed, and larger than what is read at once, keeps its records and its lines', async () => {
    const rows = Array.from({ length: 20_000 }, (_, row) => `${row},"é ${row}\n"`)
    const path = await file('large.csv.gz', gzipSync(rows.join('\n')))
    let [count, last] = [0, 0]
    for await (const { cells, line } of readCsv(path)) {
      if (cells[0] !== String(count)) break
      count++
      last = line
    }
    expect([count, last]).toEqual([20_000, 39_999])
  })

  test.each<[string, string | Uint8Array, string]>([
    ['a quote that is not closed', 'a,b\n1,"2\n3', 'line 2 has a quote that is not closed'],
    ['text behind a quote', 'a\n"1"2,3\n', 'line 2 has text behind a closing quote'],
    ['a quote in the middle', 'a\n1"2",3\n', 'line 2 has a quote in the middle'],
    ['bytes that are no text', Uint8Array.of(0x61, 0xff, 0x0a), 'it is not UTF-8'],
  ])('with %s is refused, and the line is named', async (_, text, why) => {
    await expect(cells(await file('bad.csv', text))).rejects.toMatchObject({ code: 'WEFT-DAT-011' })
    await expect(cells(await file('bad.csv', text))).rejects.toThrow(why)
    await expect(cells(await file('bad.csv.gz', Buffer.from('nonsense')))).rejects.toMatchObject({
      code: 'WEFT-DAT-011',
    })
    await expect(cells(join(folder, 'missing.csv'))).rejects.toMatchObject({ code: 'WEFT-DAT-010' })
  })
})

function request(paths: readonly string[], changes: Partial<TableRequest> = {}): TableRequest {
  const cell = (column: string) => ({ column, read: readNumber, empty: NaN })
  return {
    files: { paths, header: true, missing: ['?'] },
    fields: [
      { name: 'x', type: 'float32', isVector: true, cells: [cell('a'), cell('b')] },
      { name: 'y', type: 'int64', isVector: false, cells: [{ column: 'y', read: readNumber }] },
    ],
    split: { every: 3, test: 2 },
    seed: 0,
    memory: 2 ** 20,
    folder,
    ...changes,
  }
}

describe('a table', () => {
  test('becomes rows of numbers; columns are summed up over the rows for training alone', async () => {
    const paths = [
      await file('1.csv', 'a,b,y\n1,?,0\n2,10,1\n900,900,1\n3,14,0\n'),
      await file('2.csv', 'y,b,a\n1,12,6\n'),
    ]
    const { rows, parts, statistics } = await readTable(request(paths))
    expect(rows.count).toBe(5)
    // Rows are counted in each file.
    expect([...parts.train, -1, ...parts.test]).toEqual([0, 1, 3, 4, -1, 2])
    const { x, y } = await rows.take(Uint32Array.of(4, 0))
    expect([...x!.data]).toEqual([6, 12, 1, NaN])
    expect([...y!.data]).toEqual([1n, 0n])
    const [a, b] = statistics.get('x')!
    expect(a).toEqual({ count: 4, mean: 3, sd: Math.sqrt(14 / 4), squares: 14 })
    expect(b).toMatchObject({ count: 3, mean: 12 })
    await rows.close()
  })

  test('that does not fit in memory gives the same rows from a file, which goes when it is closed', async () => {
    const text = `a,b,y\n${Array.from({ length: 600 }, (_, row) => `${row},${-row},${row % 7}`).join('\n')}\n`
    const path = await file('long.csv', text)
    const [small, large] = [await readTable(request([path], { memory: 1000 })), await readTable(request([path]))]
    const order = shuffled(600, createSeeded(3, 'rows'))
    const [left, right] = [await small.rows.take(order), await large.rows.take(order)]
    expect(left).toEqual(right)
    expect(left['x']!.data[2]).toBe(order[1])
    await small.rows.close()
    await expect(small.rows.take(order)).rejects.toMatchObject({ code: 'EBADF' })
  })

  test.each<[string, string, string, string]>([
    ['no number', '1,2,0\n1,two,0', 'WEFT-DAT-013', 'row 1 (line 3), column "b"'],
    ['NaN', 'nan,2,0', 'WEFT-DAT-013', 'row 0 (line 2), column "a"'],
    ['an infinite number', '1,1e999,0', 'WEFT-DAT-013', '"1e999" is no finite number'],
    ['a missing target', '1,2,?', 'WEFT-DAT-013', 'stands for a missing value'],
    ['too few cells', '1,2', 'WEFT-DAT-011', 'row 0 (line 2) has 2 cells'],
  ])('with %s is refused, with row and column', async (_, lines, code, where) => {
    const reading = readTable(request([await file('odd.csv', `a,b,y\n${lines}\n`)]))
    await expect(reading).rejects.toMatchObject({ code })
    await expect(reading).rejects.toThrow(where)
  })

  test('has the columns that are asked for, in their declared range', async () => {
    const path = await file('c.csv', 'a,bbb,y\n1,2,3\n')
    await expect(readTable(request([path]))).rejects.toMatchObject({ code: 'WEFT-DAT-012', hint: 'did you mean "a"?' })
    const columns = [{ name: 'a', unit: 'years', minimum: 0, maximum: 120 }]
    const old = await file('d.csv', 'a,b,y\n121,2,3\n')
    const reading = readTable(request([old], { files: { paths: [old], header: true, missing: [], columns } }))
    await expect(reading).rejects.toThrow('121 is not in [0, 120] years')
    const twice = await file('e.csv', 'a,b,a,y\n1,2,3,0\n')
    await expect(readTable(request([twice]))).rejects.toMatchObject({
      code: 'WEFT-DAT-011',
      why: 'its columns 1 and 3 are both called "a"',
    })
  })
})

test('groups are never parted, and the shares are about those that were asked for', () => {
  const split = { share: { test: 0.2, validation: 0.1 }, group: 'patient' } as const
  const counts = { train: 0, validation: 0, test: 0 }
  for (let patient = 0; patient < 2000; patient++) {
    const parts = [0, 1, 2].map((row) => partOf(split, row, `p${patient}`, 7))
    expect(new Set(parts).size).toBe(1)
    counts[parts[0]!]++
  }
  expect(counts.test / 2000).toBeCloseTo(0.2, 1)
  expect(counts.validation / 2000).toBeCloseTo(0.1, 1)
  expect(partOf({ column: 'set', test: 1 }, 0, '1.0', 0)).toBe('test')
})

test('a seed gives the same numbers always, and each purpose its own', () => {
  const draw = (...purpose: (string | number)[]): number[] => {
    const seeded = createSeeded(42, ...purpose)
    return Array.from({ length: 3 }, () => seeded.uint32())
  }
  expect(draw('a')).toEqual(draw('a'))
  expect(draw('a')).not.toEqual(draw('b'))
  // So that no change of the code changes what a seed means.
  expect(draw('a')).toEqual(KNOWN)
  const order = shuffled(1000, createSeeded(1, 'x'))
  expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, index) => index))
  const normal = createSeeded(9, 'n')
  const all = new RunningStatistics()
  for (let index = 0; index < 20_000; index++) all.add(normal.normal())
  expect(all.result().mean).toBeCloseTo(0, 1)
  expect(all.result().sd).toBeCloseTo(1, 1)
})
const KNOWN = [2_217_857_748, 188_170_631, 2_283_559_946]

test('a file that was changed is told from one that was not', async () => {
  const path = await file('f.csv', 'a\n1\n')
  const [mark] = await fingerprints([path])
  await expect(checkUnchanged(mark!)).resolves.toBeUndefined()
  await writeFile(path, 'a\n2\n')
  await utimes(path, new Date(0), new Date(0))
  await expect(checkUnchanged(mark!)).rejects.toMatchObject({ code: 'WEFT-DAT-014' })
  expect((await fingerprints([path]))[0]!.sha256).not.toBe(mark!.sha256)
  await rm(path)
  await expect(checkUnchanged(mark!)).rejects.toThrow('it is gone')
})
