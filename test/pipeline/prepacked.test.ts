/** Pre-packed stages give the bits of plain ones, or almost, where offsets are folded; and all graph variants share one file. */
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

/** Affine: their offsets go into what the kernels pack, and meet the sums of rounded rows, where nodes of their own meet exact ones. */
const FOLDED: ReadonlySet<SourceType> = process.arch === 'x64' ? new Set(['Q4_1', 'Q4_K', 'Q5_1', 'Q2_K']) : new Set()

/** Mean difference of rows in float16, as a share of their size. */
function distance(one: Uint8Array, other: Uint8Array): number {
  const [a, b] = [one, other].map((rows) => Float32Array.from(new Float16Array(Uint8Array.from(rows).buffer))) as [
    Float32Array,
    Float32Array,
  ]
  const sum = (values: Float32Array): number => values.reduce((total, value) => total + Math.abs(value), 0)
  return sum(a.map((value, at) => value - b[at]!)) / sum(b)
}

/** Bytes of the graphs of a model's stages, as text. */
async function graphsOf(cache: string, digest: string): Promise<readonly string[]> {
  const folder = (await readdir(cache)).find((name) => name.startsWith(digest.slice(0, 32)))!
  const names = (await readdir(join(cache, folder))).filter((name) => name.endsWith('.onnx'))
  return Promise.all(names.map((name) => readFile(join(cache, folder, name), 'latin1')))
}

describe.each<[SourceType, WeightFormat]>([
  ['F32', 'auto'],
  ['Q4_0', 'auto'],
  ['Q4_1', 'auto'],
  ['Q4_K', 'auto'],
  ['Q5_1', 'auto'],
  ['Q2_K', 'auto'],
  ['Q3_K', 'auto'],
  ['Q8_0', 'auto'],
  ['Q6_K', 'int8'],
  ['Q4_K', 'f32'],
])('weights %s as %s, pre-packed', (type, weights) => {
  it('give the bits of plain, or with folded offsets almost, and the same: whole, cut, row by row, in company, in the head', async () => {
    const manifest = await randomModel(store, { type, weights })
    const plain = testModel(store, join(root, 'plain'), manifest)
    const packed = testModel(store, join(root, 'packed'), manifest, createOrtEngine())
    const ids = someIds(ROWS, SMALL.vocabulary)
    const whole = await plain.stage(1, END)
    const stages = [await packed.stage(1, 2), await packed.stage(2, END, 2)]
    const all = await packed.stage(1, END)
    const expected = await through(packed, [all], ids, [ROWS])
    const isFolded = FOLDED.has(type) && weights === 'auto'
    const unpacked = await through(plain, [whole], ids, [ROWS])
    if (isFolded) expect(distance(expected, unpacked)).toBeLessThan(0.1)
    else expect(Buffer.compare(expected, unpacked)).toBe(0)
    expect(Buffer.compare(await through(packed, stages, ids, [5, 1, 1, 17]), expected)).toBe(0)
    const jobs = [1, 2, 3].map((count) => ({ cache: all.newCache(0), rows: packed.embed(ids.slice(0, count)), count }))
    for (const [index, rows] of (await all.run(jobs)).entries())
      expect(Buffer.compare(rows, expected.subarray(0, (index + 1) * packed.rowBytes))).toBe(0)
    const heads = [await plain.head(), await packed.head()] as const
    const last = expected.subarray(-packed.rowBytes)
    const logits = [(await heads[0].run([last]))[0]!, (await heads[1].run([last]))[0]!] as const
    if (!isFolded) expect(logits[1]).toEqual(logits[0])
    else expect(logits[1].every((value, at) => Math.abs(value - logits[0][at]!) < 0.2)).toBe(true)
    const graphs = await graphsOf(join(root, 'packed'), manifest.digest)
    expect(graphs.some((graph) => graph.includes('Gemm'))).toBe(false)
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
