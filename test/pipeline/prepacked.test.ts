/** Pre-packed stages give the bits of plain ones, for every kind of kernel; and all graph variants share one file. */
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SourceType, WeightFormat } from '../../src/models/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { randomModel, SMALL } from './support/random-model.ts'
import { someIds, testModel, through } from './support/stages.ts'

const END = SMALL.layers + 1
const ROWS = 24

let root: string
let store: BlobStore

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'weft-prepacked-stage-'))
  store = await createBlobStore({ directory: join(root, 'store') })
})
afterAll(() => rm(root, { recursive: true, force: true }))

describe.each<[SourceType, WeightFormat]>([
  ['F32', 'auto'],
  ['Q4_0', 'auto'],
  ['Q4_1', 'auto'],
  ['Q3_K', 'auto'],
  ['Q8_0', 'auto'],
  ['Q6_K', 'int8'],
  ['Q4_K', 'f32'],
])('weights %s as %s, pre-packed', (type, weights) => {
  it('give the same bits as plain: whole, cut, row by row, in company, on two threads, and in the head', async () => {
    const manifest = await randomModel(store, { type, weights })
    const plain = testModel(store, join(root, 'plain'), manifest)
    const packed = testModel(store, join(root, 'packed'), manifest, createOrtEngine())
    const ids = someIds(ROWS, SMALL.vocabulary)
    const whole = await plain.stage(1, END)
    const expected = await through(plain, [whole], ids, [ROWS])
    const stages = [await packed.stage(1, 2), await packed.stage(2, END, 2)]
    const all = await packed.stage(1, END)
    expect(Buffer.compare(await through(packed, [all], ids, [ROWS]), expected)).toBe(0)
    expect(Buffer.compare(await through(packed, stages, ids, [5, 1, 1, 17]), expected)).toBe(0)
    const jobs = [1, 2, 3].map((count) => ({ cache: all.newCache(0), rows: packed.embed(ids.slice(0, count)), count }))
    for (const [index, rows] of (await all.run(jobs)).entries())
      expect(Buffer.compare(rows, expected.subarray(0, (index + 1) * packed.rowBytes))).toBe(0)
    const heads = [await plain.head(), await packed.head()] as const
    const last = expected.subarray(-packed.rowBytes)
    const logits = [(await heads[0].run([last]))[0]!, (await heads[1].run([last]))[0]!] as const
    expect(logits[1]).toEqual(logits[0])
    for (const part of [whole, ...stages, all, ...heads]) await part.release()
  })
})

describe('the cache', () => {
  it('has every block for this machine, and one file of it for all ranges and slots', async () => {
    const folders = await readdir(join(root, 'packed'))
    expect(folders.length).toBeGreaterThan(0)
    for (const folder of folders) {
      const names = await readdir(join(root, 'packed', folder))
      const blocks = names.filter((name) => /^block-\d+\.weights$/.test(name))
      expect(blocks).toHaveLength(SMALL.layers + 1)
      for (const name of blocks) {
        const path = join(root, 'packed', folder, name.replace('weights', 'json'))
        const description = JSON.parse(await readFile(path, 'utf8')) as { kernel: string }
        expect(description.kernel).toBe(createOrtEngine().kernelId)
      }
    }
  })
})
