import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SourceType, WeightFormat } from '../../src/models/index.ts'
import type { DecoderStage } from '../../src/pipeline/host/decoder-stage.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { isWhole } from '../whole.ts'
import { randomModel, SMALL } from './support/random-model.ts'
import { someIds, testModel, through } from './support/stages.ts'
import type { TestModel } from './support/stages.ts'

const ROWS = 40
const END = SMALL.layers + 1
const TYPES: readonly SourceType[] = [
  'F32',
  'F16',
  'BF16',
  'Q4_0',
  'Q4_1',
  'Q5_0',
  'Q5_1',
  'Q8_0',
  'Q2_K',
  'Q3_K',
  'Q4_K',
  'Q5_K',
  'Q6_K',
]
/** Those that meet kernels of their own; with `WEFT_TEST_ALL=1` all. */
const SAMPLED = isWhole ? TYPES : TYPES.filter((type) => !/^(BF16|Q5_|Q[3456]_K|Q4_1)/.test(type))
const FORMATS: readonly WeightFormat[] = ['q4', 'int8', 'f16', 'f32']
/** Weights that are held to company: what counts is the kernel, and F16 has another than Q4_1. */
const COMPANY: readonly (readonly [SourceType, WeightFormat])[] = [
  ['Q4_1', 'auto'],
  ['Q4_1', 'int8'],
  ['F16', 'auto'],
  ...(isWhole ? TYPES.filter((type) => !/^(Q4_1|F16)$/.test(type)).map((type) => [type, 'auto'] as const) : []),
  ...(isWhole ? FORMATS.map((weights) => ['Q4_K', weights] as const) : []),
]

let directory: string
let store: BlobStore

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-exact-'))
  store = await createBlobStore({ directory: join(directory, 'store') })
})

afterAll(() => rm(directory, { recursive: true, force: true }))

async function modelOf(
  type: SourceType,
  weights: WeightFormat = 'auto',
  boundary: 'f16' | 'f32' = 'f16',
): Promise<TestModel> {
  return testModel(store, join(directory, 'cache'), await randomModel(store, { type, weights, boundary }))
}

/** Real numbers, and not all the same: equal NaNs would prove nothing. */
function expectNumbers(rows: Uint8Array, boundary: 'f16' | 'f32'): void {
  const bytes = Uint8Array.from(rows)
  const values = boundary === 'f16' ? Float32Array.from(new Float16Array(bytes.buffer)) : new Float32Array(bytes.buffer)
  expect(values.every(Number.isFinite)).toBe(true)
  expect(new Set(values).size).toBeGreaterThan(100)
}

async function release(stages: readonly DecoderStage[]): Promise<void> {
  for (const stage of stages) await stage.release()
}

describe.each([
  ...SAMPLED.map((type) => ({ type, weights: 'auto' as WeightFormat, boundary: 'f16' as const })),
  ...FORMATS.map((weights) => ({ type: 'Q4_K' as SourceType, weights, boundary: 'f16' as const })),
  { type: 'Q4_0' as SourceType, weights: 'auto' as WeightFormat, boundary: 'f32' as const },
  { type: 'F32' as SourceType, weights: 'int8' as WeightFormat, boundary: 'f16' as const },
])('weights $type as $weights with $boundary boundaries', ({ type, weights, boundary }) => {
  it('gives the same bits whole and at every cut, in one piece and row by row', async () => {
    const model = await modelOf(type, weights, boundary)
    const ids = someIds(ROWS, SMALL.vocabulary)
    const whole = await model.stage(1, END)
    const expected = await through(model, [whole], ids, [ROWS])
    expectNumbers(expected, boundary)
    const singles = Array.from({ length: ROWS }, () => 1)
    expect(Buffer.compare(await through(model, [whole], ids, singles), expected)).toBe(0)
    for (let cut = 2; cut < END; cut++) {
      const parts = [await model.stage(1, cut), await model.stage(cut, END)]
      expect(Buffer.compare(await through(model, parts, ids, [ROWS]), expected)).toBe(0)
      expect(Buffer.compare(await through(model, parts, ids, [7, 1, 1, 31]), expected)).toBe(0)
      await release(parts)
    }
    await release([whole])
  })

  it('gives the same bits on two threads', async () => {
    const model = await modelOf(type, weights, boundary)
    const ids = someIds(ROWS, SMALL.vocabulary, 3)
    const stages = [await model.stage(1, END, 1), await model.stage(1, END, 2)] as const
    const one = await through(model, [stages[0]], ids, [ROWS])
    expect(Buffer.compare(await through(model, [stages[1]], ids, [ROWS]), one)).toBe(0)
    expect(Buffer.compare(await through(model, [stages[1]], ids, [1, 38, 1]), one)).toBe(0)
    await release(stages)
  })
})

describe('sessions in company', () => {
  it.each(COMPANY)(
    'one run with 16 sessions of 0 to 64 rows equals 16 single runs (%s as %s)',
    async (type, weights) => {
      const model = await modelOf(type, weights)
      const stage = await model.stage(1, END)
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.integer({ min: 0, max: 64 }), fc.integer({ min: 0, max: 80 })), {
            minLength: 16,
            maxLength: 16,
          }),
          async (sessions) => {
            const alone: Uint8Array[] = []
            const jobs: { cache: ReturnType<DecoderStage['newCache']>; rows: Uint8Array; count: number }[] = []
            for (const [index, [count, past]] of sessions.entries()) {
              const before = model.embed(someIds(Math.max(past, 1), SMALL.vocabulary, index + 2))
              const rows = model.embed(someIds(count, SMALL.vocabulary, index + 50))
              if (count === 0) continue
              for (const target of ['alone', 'company'] as const) {
                const cache = stage.newCache(0)
                if (past > 0) await stage.run([{ cache, rows: before, count: past }])
                if (target === 'alone') alone.push((await stage.run([{ cache, rows, count }]))[0]!)
                else jobs.push({ cache, rows, count })
              }
            }
            const together = jobs.length === 0 ? [] : await stage.run(jobs)
            expect(together.map((rows, index) => Buffer.compare(rows, alone[index]!))).toEqual(together.map(() => 0))
          },
        ),
        { numRuns: 4, seed: 20_261_124 },
      )
      await stage.release()
    },
  )

  it('a later run after one in company goes on with the same bits', async () => {
    const model = await modelOf('Q8_0')
    const stage = await model.stage(1, END)
    const ids = someIds(30, SMALL.vocabulary)
    const expected = await through(model, [stage], ids, [30])
    const caches = [stage.newCache(0), stage.newCache(0), stage.newCache(0)]
    const out: Uint8Array[] = []
    for (const [from, to] of [
      [0, 10],
      [10, 11],
      [11, 30],
    ] as const) {
      const rows = model.embed(ids.slice(from, to))
      const results = await stage.run(caches.map((cache) => ({ cache, rows, count: to - from })))
      out.push(results[1]!)
    }
    expect(Buffer.compare(Buffer.concat(out), expected)).toBe(0)
    await stage.release()
  }, 180_000)
})

describe('the KV cache', () => {
  it('rewinds by a smaller position: the same rows again give the same bits', async () => {
    const model = await modelOf('Q4_0')
    const stage = await model.stage(1, END)
    const cache = stage.newCache(0)
    await stage.run([{ cache, rows: model.embed(someIds(20, SMALL.vocabulary)), count: 20 }])
    const rows = model.embed(someIds(5, SMALL.vocabulary, 9))
    const first = (await stage.run([{ cache, rows, count: 5 }]))[0]!
    cache.position = 20
    const second = (await stage.run([{ cache, rows, count: 5 }]))[0]!
    expect(Buffer.compare(first, second)).toBe(0)
    await stage.release()
  })

  it('grows past a capacity step without changing a bit', async () => {
    const model = await modelOf('Q4_0')
    const stage = await model.stage(1, END)
    const ids = someIds(300, SMALL.vocabulary)
    const expected = await through(model, [stage], ids, [300])
    expect(Buffer.compare(await through(model, [stage], ids, [255, 1, 1, 43]), expected)).toBe(0)
    await stage.release()
  })
})

describe('narrow heads', () => {
  it('a head of 8 elements is padded for the kernel and stays exact', async () => {
    const shape = { width: 64, hidden: 172, heads: 8, kv_heads: 4, head_dim: 8, rope_dim: 8 }
    const manifest = await randomModel(store, { type: 'F32', boundary: 'f32', shape })
    const model = testModel(store, join(directory, 'cache'), manifest)
    const whole = await model.stage(1, END)
    const parts = [await model.stage(1, 2), await model.stage(2, END)]
    const ids = someIds(ROWS, SMALL.vocabulary)
    const expected = await through(model, [whole], ids, [ROWS])
    expect(Buffer.compare(await through(model, parts, ids, [1, 1, 38]), expected)).toBe(0)
    await release([whole, ...parts])
  })
})

describe('the head', () => {
  it.each(['auto', 'int8'] as const)('gives a row the same logits alone and among others (%s)', async (weights) => {
    const model = await modelOf('Q6_K', weights)
    const head = await model.head()
    const rows = Array.from({ length: 5 }, (_, index) => model.embed([index * 3]))
    const together = await head.run(rows)
    for (const [index, row] of rows.entries()) {
      expect(
        Buffer.compare(
          Buffer.from((await head.run([row]))[0]!.slice().buffer),
          Buffer.from(together[index]!.slice().buffer),
        ),
      ).toBe(0)
    }
    await head.release()
  })
})
