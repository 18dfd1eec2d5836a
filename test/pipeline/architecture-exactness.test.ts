/** The laws of exactness (exactness.test.ts) for what other architectures than Llama put into a graph. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sampled } from '../whole.ts'
import type { DecoderShape, SourceType, WeightFormat } from '../../src/models/index.ts'
import type { DecoderStage } from '../../src/pipeline/host/decoder-stage.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { randomModel, SMALL } from './support/random-model.ts'
import { someIds, testModel, through } from './support/stages.ts'
import type { TestModel } from './support/stages.ts'

const ROWS = 40
const END = SMALL.layers + 1

let directory: string
let store: BlobStore

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-architectures-'))
  store = await createBlobStore({ directory: join(directory, 'store') })
})

afterAll(() => rm(directory, { recursive: true, force: true }))

const QKV = ['attn_q', 'attn_k', 'attn_v'] as const
/** Windows that rows of a run, and rows alone, begin to leave; hidden sizes that leave a rest in every vector register. */
const SHAPES: Readonly<Record<string, Partial<DecoderShape>>> = {
  'biases of q, k and v, halves rotated': { biases: QKV, rope_interleaved: false },
  'biases everywhere, one window for all': {
    biases: [...QKV, 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'],
    window: { size: 7, layers: [0, 1, 2] },
  },
  'norms of q and k': { qk_norm: true, rope_interleaved: false },
  'norms of q and k in padded heads': { qk_norm: true, heads: 4, kv_heads: 2, head_dim: 24, rope_dim: 24, width: 96 },
  'Gemma 2': {
    hidden: 172,
    norm_offset: 1,
    post_norms: true,
    activation: 'gelu_tanh',
    embedding_scale: 16,
    attention_scale: 0.1,
    attention_softcap: 2,
    logit_softcap: 3,
    window: { size: 8, layers: [0, 2] },
    rope_interleaved: false,
  },
  'Gemma 3': {
    norm_offset: 1,
    post_norms: true,
    qk_norm: true,
    activation: 'gelu_tanh',
    embedding_scale: 16,
    rope_base: 1_000_000,
    rope_factors: Array.from({ length: 32 }, () => 8),
    window: { size: 16, layers: [0, 1], rope_base: 10_000 },
    rope_interleaved: false,
  },
  'layer norms, a quarter rotated': { norm: 'layer', rope_dim: 16, rope_interleaved: false },
  'a layer without positions, an amplitude': { unrotated_layers: [1], rope_amplitude: 1.19 },
}

type Form = readonly [type: SourceType, weights: WeightFormat, boundary: 'f16' | 'f32']

const FORMS = [
  ['F32', 'f32', 'f32'],
  ['Q4_K', 'auto', 'f16'],
  ['Q8_0', 'int8', 'f16'],
] as const satisfies readonly Form[]

/** Shapes whose matrices are tried in row int8 too: with biases, and with norms behind them. */
const EVERY_FORM: ReadonlySet<string> = new Set(['biases everywhere, one window for all', 'Gemma 3'])
/** Shapes whose head is not a Llama's. */
const OWN_HEAD: ReadonlySet<string> = new Set(['Gemma 2', 'layer norms, a quarter rotated'])

async function modelOf(name: string, [type, weights, boundary]: Form): Promise<TestModel> {
  // K-quants come in blocks of 256 elements a row.
  const narrow = type === 'Q4_K' ? { width: 256, hidden: 512, heads: 4, kv_heads: 2, head_dim: 64 } : {}
  const shape = { context: 256, ...SHAPES[name], ...(SHAPES[name]!.head_dim === undefined ? narrow : {}) }
  const source = type === 'Q4_K' && shape.head_dim === 24 ? 'Q8_0' : type
  return testModel(
    store,
    join(directory, 'cache'),
    await randomModel(store, { type: source, weights, boundary, shape }),
  )
}

async function release(stages: readonly DecoderStage[]): Promise<void> {
  for (const stage of stages) await stage.release()
}

describe.each(sampled(Object.keys(SHAPES), 4))('%s', (name) => {
  const forms = EVERY_FORM.has(name) ? FORMS : FORMS.slice(0, 2)
  it.each(forms)('gives the same bits at every cut, in any chunks and in company (%s as %s, %s)', async (...form) => {
    const model = await modelOf(name, form)
    const ids = someIds(ROWS, SMALL.vocabulary)
    const whole = await model.stage(1, END)
    const expected = await through(model, [whole], ids, [ROWS])
    const values = form[2] === 'f16' ? new Float16Array(Uint8Array.from(expected).buffer) : floats(expected)
    expect(values.every(Number.isFinite)).toBe(true)
    expect(new Set(values).size).toBeGreaterThan(100)
    const singles = Array.from({ length: ROWS }, () => 1)
    expect(Buffer.compare(await through(model, [whole], ids, singles), expected)).toBe(0)
    for (let cut = 2; cut < END; cut++) {
      const parts = [await model.stage(1, cut), await model.stage(cut, END, 2)]
      expect(Buffer.compare(await through(model, parts, ids, [7, 1, 1, 31]), expected)).toBe(0)
      await release(parts)
    }
    expect(Buffer.compare(await inCompany(model, whole, ids), expected)).toBe(0)
    await release([whole])
  })
})

describe("a head that is not a Llama's", () => {
  it.each([...OWN_HEAD])('gives a row the same logits alone and among others (%s)', async (name) => {
    const model = await modelOf(name, FORMS[0])
    const head = await model.head()
    const rows = Array.from({ length: 5 }, (_, index) => model.embed([index * 3]))
    const together = (await head.run(rows)).map((row) => Buffer.from(row.slice().buffer))
    for (const [index, row] of rows.entries()) {
      expect(Buffer.compare(Buffer.from((await head.run([row]))[0]!.slice().buffer), together[index]!)).toBe(0)
    }
    await head.release()
  })
})

function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(Uint8Array.from(bytes).buffer)
}

/** The rows of one session, in three runs beside four others that are elsewhere in their texts. */
async function inCompany(model: TestModel, stage: DecoderStage, ids: readonly number[]): Promise<Uint8Array> {
  const own = stage.newCache(0)
  const others = [1, 5, 30, 64].map((past) => ({ past, cache: stage.newCache(0) }))
  for (const { past, cache } of others) {
    await stage.run([{ cache, rows: model.embed(someIds(past, SMALL.vocabulary, past)), count: past }])
  }
  const out: Uint8Array[] = []
  for (const [from, to] of [
    [0, 13],
    [13, 14],
    [14, ROWS],
  ] as const) {
    const job = { cache: own, rows: model.embed(ids.slice(from, to)), count: to - from }
    const beside = others.map(({ cache, past }) => ({
      cache,
      rows: model.embed(someIds((past % 3) + 1, SMALL.vocabulary, from + past)),
      count: (past % 3) + 1,
    }))
    out.push((await stage.run([...beside.slice(0, 2), job, ...beside.slice(2)]))[2]!)
  }
  return Buffer.concat(out)
}
