/** Examples out of arrays, row by row: the same whether memory holds them or a file does. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { createSeeded, encodePng, writeNpz } from '../../../src/data/index.ts'
import type { Batch, RowsSize } from '../../../src/data/index.ts'
import { checkPlan, loadExamples } from '../../../src/training/index.ts'
import { floats, ints, temporaryFolder } from './support.ts'
import type { Folder } from './support.ts'
import { fortranNpy } from '../../data/fortran.ts'
import { zip } from '../../models/support/archives.ts'

const ROWS = 40
const SIDE = 6
const seeded = createSeeded(5, 'arrays')
const pixels = Uint8Array.from({ length: ROWS * SIDE * SIDE }, () => seeded.below(256))
const labels = Array.from({ length: ROWS }, (_, at) => at % 2)
const CLASSES = ['no', 'yes']
const PLAN = {
  schema: 'weft.train-plan/1',
  task: 'multiclass',
  classes: 2,
  model: { kind: 'linear' },
  optimizer: { kind: 'sgd', lr: 0.1 },
  epochs: 1,
  batch: 4,
}
/** More than a row, and less than all. */
const FEW_BYTES = 1000

function idx(dims: readonly number[], body: Uint8Array): Buffer {
  const head = Buffer.alloc(4 + 4 * dims.length)
  head.set([0, 0, 8, dims.length])
  for (const [axis, size] of dims.entries()) head.writeUInt32BE(size, 4 + 4 * axis)
  return Buffer.concat([head, body])
}

function sound(row: number): Buffer {
  const head = Buffer.from(
    '524946460000000057415645666d74201000000001000100401f0000803e000002001000646174610c000000',
    'hex',
  )
  const body = Buffer.alloc(12)
  for (let at = 0; at < 6; at++) body.writeInt16LE((row * 37 + at * 1009) % 30_000, 2 * at)
  return Buffer.concat([head, body])
}

async function written(folder: Folder): Promise<void> {
  await writeFile(folder.at('images.gz'), gzipSync(idx([ROWS, SIDE, SIDE], pixels)))
  await writeFile(folder.at('images'), idx([ROWS, SIDE, SIDE], pixels))
  await writeFile(folder.at('labels'), idx([ROWS], Uint8Array.from(labels)))
  const wide = {
    type: 'float64',
    dims: [ROWS, 5],
    data: Float64Array.from({ length: ROWS * 5 }, () => seeded.normal()),
  } as const
  const tokens = ints(
    [ROWS, 3],
    Array.from({ length: ROWS * 3 }, () => seeded.below(4)),
  )
  await writeNpz(
    folder.at('x.npz'),
    new Map([
      ['wide', wide],
      ['y', ints([ROWS], labels)],
      ['tokens', tokens],
      ['empty', floats([ROWS, 0], [])],
    ]),
  )
  const y = ints([ROWS], labels)
  for (const [name, method] of [
    ['plain', 0],
    ['packed', 8],
  ] as const) {
    const files = Object.entries({ wide, y, tokens }).map(([array, tensor]) => ({
      name: `${array}.npy`,
      data: fortranNpy(tensor, array === 'wide'),
      method,
    }))
    await writeFile(folder.at(`${name}.npz`), zip(files))
  }
  for (const [label, name] of CLASSES.entries()) {
    await mkdir(folder.at(`images-of/${name}`), { recursive: true })
    await mkdir(folder.at(`sounds/${name}`), { recursive: true })
    for (let row = label; row < ROWS; row += 2) {
      const number = String(row).padStart(3, '0')
      const data = pixels.slice(row * SIDE * SIDE, (row + 1) * SIDE * SIDE)
      await writeFile(
        folder.at(`images-of/${name}/${number}.png`),
        encodePng({ width: SIDE, height: SIDE, channels: 1, data }),
      )
      await writeFile(folder.at(`sounds/${name}/${number}.wav`), sound(row))
    }
  }
}

interface Loaded {
  readonly batch: Batch
  /** Of all rows, and how many of them a file holds. */
  readonly size: RowsSize
  /** That were unpacked to be read across. */
  readonly unpacked: number | undefined
  readonly files: number
}

/** All rows, and whether a file holds them. */
async function loaded(folder: Folder, changes: object, memory: number): Promise<Loaded> {
  const scratch = folder.at('scratch')
  await mkdir(scratch, { recursive: true })
  const plan = checkPlan({ ...PLAN, ...changes }, 'plan')
  const examples = await loadExamples(plan, { folder: folder.path, scratch, memory, seed: 1, planPath: 'plan' })
  const { rows, index } = examples.parts.train
  const batch = await rows.take(index)
  const files = (await readdir(scratch)).length
  await examples.close()
  expect(await readdir(scratch)).toEqual([])
  return { batch, size: rows.size, unpacked: examples.unpacked, files }
}

const DATA: readonly [string, object][] = [
  ['an IDX file', { data: { kind: 'idx', images: 'images', labels: 'labels' } }],
  ['a packed IDX file', { data: { kind: 'idx', images: 'images.gz', labels: 'labels' } }],
  ['an archive of float64', { data: { kind: 'npz', path: 'x.npz', input: 'wide', target: 'y' } }],
  [
    'an archive of tokens',
    {
      data: { kind: 'npz', path: 'x.npz', input: 'tokens', target: 'tokens' },
      task: 'language',
      classes: 4,
      model: { kind: 'decoder', layers: 1, width: 8, heads: 2, kv_heads: 1 },
    },
  ],
  ['an archive in the order of Fortran', { data: { kind: 'npz', path: 'plain.npz', input: 'wide', target: 'y' } }],
  ['a packed one', { data: { kind: 'npz', path: 'packed.npz', input: 'wide', target: 'y' } }],
  ['a folder of images', { data: { kind: 'images', path: 'images-of' } }],
  ['a folder of sounds', { data: { kind: 'wav', path: 'sounds', rate: 8000, seconds: 0.00075 } }],
]

test.each(DATA)(
  '%s that is larger than memory lies in a file, and gives the rows that it gives in memory',
  async (_, changes) => {
    await using folder = await temporaryFolder()
    await written(folder)
    const inMemory = await loaded(folder, changes, 1 << 20)
    const inFile = await loaded(folder, changes, FEW_BYTES)
    expect([inMemory.files, inFile.files]).toEqual([0, 1])
    const { bytes } = inMemory.size
    expect(bytes).toBeGreaterThan(ROWS * 4)
    expect([inMemory.size.spilled, inFile.size]).toEqual([0, { bytes, spilled: bytes }])
    expect(inFile.batch).toEqual(inMemory.batch)
    expect(inFile.batch['x']!.dims[0]).toBe(ROWS)
    const first = Array.from(inFile.batch['x']!.data as Iterable<number | bigint>, Number)
    expect(new Set(first).size).toBeGreaterThan(3)
  },
)

test('pixels and labels are those of the files', async () => {
  await using folder = await temporaryFolder()
  await written(folder)
  const { batch } = await loaded(folder, DATA[1]![1], FEW_BYTES)
  expect(batch['x']).toEqual({ type: 'uint8', dims: [ROWS, 1, SIDE, SIDE], data: pixels })
  expect(Array.from(batch['target']!.data as BigInt64Array, Number)).toEqual(labels)
})

test('an array in the order of Fortran gives the rows that it gives in the order of C, targets too', async () => {
  await using folder = await temporaryFolder()
  await written(folder)
  const rows = async (path: string): Promise<Loaded> =>
    loaded(folder, { data: { kind: 'npz', path, input: 'wide', target: 'y' } }, FEW_BYTES)
  const [plain, packed, straight] = [await rows('plain.npz'), await rows('packed.npz'), await rows('x.npz')]
  expect([plain.batch, packed.batch]).toEqual([straight.batch, straight.batch])
  expect([straight.unpacked, plain.unpacked]).toEqual([0, 0])
  expect(packed.unpacked).toBeGreaterThan(ROWS * (5 * 8 + 8))
})

test.each<[string, (folder: Folder) => Promise<void>, object, string]>([
  [
    'whose target does not have its checksum, though all its labels might be right',
    async (folder) => {
      const [wide, y] = [floats([ROWS, 1], labels), ints([ROWS], labels)]
      await writeNpz(
        folder.at('x.npz'),
        new Map([
          ['wide', wide],
          ['y', y],
        ]),
      )
      const bytes = await readFile(folder.at('x.npz'))
      const last = bytes.indexOf(Buffer.from('PK\u0001\u0002', 'latin1')) - 8
      bytes[last] = 1 - bytes[last]!
      await writeFile(folder.at('x.npz'), bytes)
    },
    { data: { kind: 'npz', path: 'x.npz', input: 'wide', target: 'y' } },
    'WEFT-DAT-001',
  ],
  [
    'with a target that is no label, in its last row',
    (folder) =>
      writeNpz(
        folder.at('x.npz'),
        new Map([
          ['wide', floats([ROWS, 2], Array<number>(2 * ROWS).fill(1))],
          ['y', ints([ROWS], [...labels.slice(1), 2])],
        ]),
      ),
    { data: { kind: 'npz', path: 'x.npz', input: 'wide', target: 'y' } },
    'WEFT-INF-122',
  ],
  [
    'with a number that is not finite, in half precision',
    (folder) =>
      writeNpz(
        folder.at('x.npz'),
        new Map([
          ['wide', { type: 'float16', dims: [ROWS, 1], data: new Uint16Array(ROWS).fill(0x7e00, ROWS - 1) }],
          ['y', ints([ROWS], labels)],
        ]),
      ),
    { data: { kind: 'npz', path: 'x.npz', input: 'wide', target: 'y' } },
    'WEFT-DAT-013',
  ],
  [
    'whose sizes ask for more than its bytes could unpack to',
    (folder) => writeFile(folder.at('images.gz'), gzipSync(idx([2 ** 31, 2 ** 20], pixels))),
    DATA[1]![1],
    'WEFT-DAT-011',
  ],
  [
    'that unpacks to more than its sizes ask for',
    (folder) => writeFile(folder.at('images.gz'), gzipSync(Buffer.concat([idx([ROWS, SIDE, SIDE], pixels), pixels]))),
    DATA[1]![1],
    'WEFT-DAT-011',
  ],
  [
    'whose packing is damaged in its middle',
    (folder) => {
      const bytes = gzipSync(idx([ROWS, SIDE, SIDE], pixels))
      return writeFile(folder.at('images.gz'), bytes.fill(0x55, bytes.length >> 1, (bytes.length >> 1) + 40))
    },
    DATA[1]![1],
    'WEFT-DAT-011',
  ],
  [
    'whose rows have nothing',
    () => Promise.resolve(),
    { data: { kind: 'npz', path: 'x.npz', input: 'empty', target: 'y' } },
    'WEFT-DAT-015',
  ],
])('a file %s is refused, and nothing is left', async (_, damage, changes, code) => {
  await using folder = await temporaryFolder()
  await written(folder)
  await damage(folder)
  await expect(loaded(folder, changes, FEW_BYTES)).rejects.toMatchObject({ code })
  expect(await readdir(folder.at('scratch'))).toEqual([])
})
