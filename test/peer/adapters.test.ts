/** Adapters of others brought into a home: read in a child under limits, whole or not at all. */
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createSeeded } from '../../src/data/index.ts'
import {
  ADAPTER_FILES,
  adapterGguf,
  manifestFileName,
  partSize,
  readAdapter,
  saveManifest,
  writeAdapter,
} from '../../src/models/index.ts'
import type { LowRankAdapter, ModelManifest } from '../../src/models/index.ts'
import { addAdapter, listAdapters } from '../../src/peer/index.ts'
import { testBase } from '../federated/support/language.ts'

let home: string
let manifest: ModelManifest
/** Where the adapters of the model are. */
let adapters: string
/** An adapter in PEFT's layout that is not in the home. */
let source: string

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'weft-adapters-'))
  manifest = (await testBase(home)).manifest
  await mkdir(join(home, 'partitions'))
  await saveManifest(join(home, 'partitions'), manifest)
  adapters = join(home, 'adapters', manifestFileName(manifest.model).replace('.json', ''))
  source = join(home, 'source')
  await mkdir(source)
  await writeAdapter(source, manifest.shape, manifest.model, lowRank(2))
})
afterAll(() => rm(home, { recursive: true }))

function lowRank(rank: number): LowRankAdapter {
  const value: LowRankAdapter['value'] = (layer, part, factor) => {
    const seeded = createSeeded(rank, layer, part, factor)
    const width = partSize(manifest.shape, part)[factor === 'a' ? 'inputs' : 'outputs']
    return Float32Array.from({ length: rank * width }, () => seeded.normal())
  }
  return { kind: 'lora', rank, alpha: 2 * rank, parts: ['q', 'down'], value }
}

const weights = (name: string): Promise<Buffer> => readFile(join(adapters, name, ADAPTER_FILES.weights))
const add = (from: string, name: string, limits = {}): Promise<unknown> =>
  addAdapter(home, manifest.model, from, name, limits)

test('a folder and a GGUF file become what the model takes of them, under their names', async () => {
  expect(await add(source, 'loud')).toEqual({
    model: manifest.model,
    name: 'loud',
    kind: 'lora',
    rank: 2,
    tokens: null,
    parts: ['q', 'down'],
  })
  expect(await weights('loud')).toEqual(await readFile(join(source, ADAPTER_FILES.weights)))
  const file = join(home, 'other.gguf')
  await writeFile(file, adapterGguf(manifest.model, manifest.shape, lowRank(3)))
  await add(file, 'other')
  const read = (await readAdapter(join(adapters, 'other'), manifest.shape)) as LowRankAdapter
  expect([read.rank, read.alpha]).toEqual([3, 6])
  expect(read.value(0, 'down', 'b')).toEqual(lowRank(3).value(0, 'down', 'b'))
  expect((await listAdapters(home)).map(({ name }) => name)).toEqual(['loud', 'other'])
})

test('one of that name is replaced whole, a second time too, from its own folder too', async () => {
  await add(source, 'loud')
  await add(join(adapters, 'loud'), 'loud')
  expect(await weights('loud')).toEqual(await readFile(join(source, ADAPTER_FILES.weights)))
  expect((await readdir(adapters)).toSorted()).toEqual(['loud', 'other'])
})

describe('one that cannot be used leaves the one of that name as it was, and nothing else', () => {
  const table = (json: string, bytes = 0): Buffer => {
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(json.length))
    return Buffer.concat([length, Buffer.from(json), Buffer.alloc(bytes)])
  }
  test.each<[string, Buffer | undefined, object, RegExp]>([
    ['no file of weights', undefined, {}, /^WEFT-/],
    [
      'weights that are cut off',
      table('{"a":{"dtype":"F32","shape":[1000],"data_offsets":[0,4000]}}'),
      {},
      /^WEFT-MOD-/,
    ],
    ['a table that is longer than the file', Buffer.from([255, 255, 255, 255, 255, 255, 255, 0, 1]), {}, /^WEFT-MOD-/],
    ['more memory than it may have', table('{}'), { memory: 1 << 20 }, /^WEFT-MOD-/],
  ])('%s', async (_, bytes, limits, code) => {
    const before = await weights('loud')
    const odd = join(home, 'odd')
    await rm(odd, { recursive: true, force: true })
    await mkdir(odd)
    await writeFile(join(odd, ADAPTER_FILES.config), await readFile(join(source, ADAPTER_FILES.config)))
    if (bytes !== undefined) await writeFile(join(odd, ADAPTER_FILES.weights), bytes)
    await expect(add(odd, 'loud', limits)).rejects.toMatchObject({ code: expect.stringMatching(code) as string })
    expect(await weights('loud')).toEqual(before)
    expect((await readdir(adapters)).toSorted()).toEqual(['loud', 'other'])
  })
})

test('what a killed process left is mended by the next: an adapter that was set aside goes back, half a one is removed', async () => {
  const before = await weights('loud')
  // No process has this number: it is above what Linux gives.
  await rename(join(adapters, 'loud'), join(adapters, '.loud.old-99999999-abcdef'))
  await mkdir(join(adapters, '.loud.new-99999999-abcdef'))
  await writeFile(join(adapters, '.loud.new-99999999-abcdef', ADAPTER_FILES.weights), 'half')
  await add(source, 'third')
  expect(await weights('loud')).toEqual(before)
  expect((await readdir(adapters)).toSorted()).toEqual(['loud', 'other', 'third'])
})

function mountSmall(path: string): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', path], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

describe('on a full disk (skipped where no small tmpfs can be mounted: needs root)', () => {
  test('the old one stays, and the same command again works when there is room', async (context) => {
    if (!mountSmall(adapters)) context.skip()
    try {
      await add(source, 'loud')
      const before = await weights('loud')
      const large = join(home, 'large')
      await mkdir(large)
      await writeAdapter(large, manifest.shape, manifest.model, lowRank(64))
      await expect(add(large, 'loud')).rejects.toMatchObject({ code: 'WEFT-STO-007' })
      expect(await weights('loud')).toEqual(before)
      expect(await readdir(adapters)).toEqual(['loud'])
      await add(source, 'loud')
    } finally {
      execFileSync('umount', [adapters])
    }
  })
})
