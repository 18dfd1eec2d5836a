/** Examples out of arrays, row by row: the same whether memory holds them or a file does. */
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { createSeeded, encodePng, writeNpz } from '../../../src/data/index.ts'
import type { Batch } from '../../../src/data/index.ts'
import { checkPlan, loadExamples } from '../../../src/training/index.ts'
import { floats, ints, temporaryFolder } from './support.ts'
import type { Folder } from './support.ts'

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

/** All rows, and whether a file holds them. */
async function loaded(
  folder: Folder,
  changes: object,
  memory: number,
): Promise<{ readonly batch: Batch; readonly files: number }> {
  const scratch = folder.at('scratch')
  await mkdir(scratch, { recursive: true })
  const plan = checkPlan({ ...PLAN, ...changes }, 'plan')
  const examples = await loadExamples(plan, { folder: folder.path, scratch, memory, seed: 1, planPath: 'plan' })
  const { rows, index } = examples.parts.train
  const batch = await rows.take(index)
  const files = (await readdir(scratch)).length
  await examples.close()
  expect(await readdir(scratch)).toEqual([])
  return { batch, files }
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
    expect([inMemory.files, inFile.files > 0]).toEqual([0, true])
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

test.each<[string, (folder: Folder) => Promise<void>, object, string]>([
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
