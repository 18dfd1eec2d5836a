/** Adapters that are served: beside the matrices as in them, and the same bits whatever company a row has. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSeeded } from '../../src/data/index.ts'
import {
  ADAPTER_FILES,
  mergeAdapter,
  openSealed,
  partSize,
  readAdapter,
  sealAdapter,
  writeAdapter,
} from '../../src/models/index.ts'
import type { AdaptedPart, DecoderShape, LowRankAdapter, ModelManifest } from '../../src/models/index.ts'
import type { HostAdapter } from '../../src/pipeline/host/adapter-stacks.ts'
import type { DecoderJob, DecoderStage } from '../../src/pipeline/host/decoder-stage.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { randomModel } from './support/random-model.ts'
import { someIds, testModel } from './support/stages.ts'
import type { TestModel } from './support/stages.ts'

let directory: string
let store: BlobStore

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-adapters-'))
  store = await createBlobStore({ directory: join(directory, 'store') })
})

afterAll(() => rm(directory, { recursive: true, force: true }))

/** As kernels have it: zeros where heads are filled up. */
async function adapterOf(
  shape: DecoderShape,
  seed: number,
  rank: number,
  parts: readonly AdaptedPart[],
): Promise<LowRankAdapter> {
  const values = new Map<string, Float32Array>()
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const part of parts) {
      const { inputs, outputs } = partSize(shape, part)
      const seeded = createSeeded(seed, layer, part)
      const random = (count: number): Float32Array => Float32Array.from({ length: count }, () => 0.05 * seeded.normal())
      values.set(`${layer}/${part}/a`, random(rank * inputs))
      values.set(`${layer}/${part}/b`, random(outputs * rank))
    }
  }
  const adapter: LowRankAdapter = {
    kind: 'lora',
    rank,
    alpha: 2 * rank,
    parts,
    value: (layer, part, factor) => values.get(`${layer}/${part}/${factor}`)!,
  }
  // What a file has no place for is gone then.
  return (await openSealed(sealAdapter(shape, adapter), shape, 'test')) as LowRankAdapter
}

/** Everything here is about places, not sizes. */
const SHAPE = { layers: 2, width: 64, hidden: 128, heads: 2, kv_heads: 1, head_dim: 32, rope_dim: 32 }

const ALL: readonly AdaptedPart[] = ['q', 'k', 'v', 'o', 'gate', 'up', 'down']
const ROWS = 6

interface Asked {
  readonly adapter?: HostAdapter
  readonly seed: number
}

/** Each session's rows through one stage, in one run. */
async function rowsOf(model: TestModel, stage: DecoderStage, sessions: readonly Asked[]): Promise<Buffer[]> {
  const jobs = sessions.map(({ adapter, seed }): DecoderJob => {
    const rows = model.embed(someIds(ROWS, model.manifest.shape.vocabulary, seed))
    return { cache: stage.newCache(0), rows, count: ROWS, ...(adapter === undefined ? {} : { adapter }) }
  })
  return (await stage.run(jobs)).map((rows) => Buffer.from(rows))
}

async function served(manifest: ModelManifest): Promise<{ model: TestModel; stage: DecoderStage }> {
  const model = testModel(store, join(directory, manifest.digest), manifest)
  return { model, stage: await model.stage(1, manifest.shape.layers + 1) }
}

describe('several adapters in one run', () => {
  it('a row has the bits that it has alone, with adapters of other ranks and parts beside it', async () => {
    const manifest = await randomModel(store, { type: 'Q4_0', boundary: 'f32', shape: SHAPE })
    const { shape } = manifest
    const { model, stage } = await served(manifest)
    const adapters = [
      { id: 'a', adapter: await adapterOf(shape, 1, 4, ALL) },
      { id: 'b', adapter: await adapterOf(shape, 2, 16, ['q', 'v']) },
      { id: 'c', adapter: await adapterOf(shape, 3, 8, ['down', 'k']) },
    ]
    const alone = await Promise.all(adapters.map((adapter) => rowsOf(model, stage, [{ adapter, seed: 1 }])))
    expect(new Set(alone.map(([rows]) => rows!.toString('hex'))).size).toBe(3)
    const together = await rowsOf(model, stage, [
      ...adapters.map((adapter) => ({ adapter, seed: 1 })),
      { adapter: adapters[0]!, seed: 9 },
    ])
    for (const [index, [rows]] of alone.entries()) expect(together[index]!.equals(rows!)).toBe(true)
    await stage.release()
  })

  it.each([
    ['llama', {}],
    ['halves that are rotated, heads of 24', { rope_interleaved: false, head_dim: 24, rope_dim: 24 }],
  ])('is what the merged model computes: %s', async (_, shape) => {
    const manifest = await randomModel(store, { type: 'F32', boundary: 'f32', shape: { ...SHAPE, ...shape } })
    const adapter = await adapterOf(manifest.shape, 4, 4, ALL)
    const merged = await mergeAdapter(store, manifest, adapter, 'merged')
    const [own, other] = [await served(manifest), await served({ ...merged, blocks: asFloats(merged) })]
    const [beside] = await rowsOf(own.model, own.stage, [{ adapter: { id: 'x', adapter }, seed: 2 }])
    const [within] = await rowsOf(other.model, other.stage, [{ seed: 2 }])
    const [plain] = await rowsOf(own.model, own.stage, [{ seed: 2 }])
    // Half precision of the merged weights is what is left of the difference.
    expect(distance(beside!, within!)).toBeLessThan(0.02 * distance(beside!, plain!))
    await own.stage.release()
    await other.stage.release()
  })
})

/** Half precision would be rounded to blocks otherwise. */
function asFloats({ blocks }: ModelManifest): ModelManifest['blocks'] {
  return blocks.map((block) => ({ ...block, weights: 'f32' as const }))
}

function distance(a: Buffer, b: Buffer): number {
  const [x, y] = [a, b].map((each) => new Float32Array(Uint8Array.from(each).buffer)) as [Float32Array, Float32Array]
  return Math.sqrt(x.reduce((sum, value, at) => sum + (value - y[at]!) ** 2, 0))
}

describe("a folder in PEFT's layout", () => {
  it('gives back what was written, and names its tensors as PEFT does', async () => {
    const { shape } = await randomModel(store, { type: 'F32', shape: { ...SHAPE, rope_interleaved: false } })
    const adapter = await adapterOf(shape, 5, 4, ['q', 'o'])
    const folder = await mkdtemp(join(directory, 'peft-'))
    await writeAdapter(folder, shape, 'base', adapter)
    const read = (await readAdapter(folder, shape)) as LowRankAdapter
    expect([read.rank, read.alpha, read.parts]).toEqual([4, 4, ['q', 'o']])
    for (const factor of ['a', 'b'] as const) {
      for (const part of ['q', 'o'] as const)
        expect(read.value(1, part, factor)).toEqual(adapter.value(1, part, factor))
    }
    const bytes = await readFile(join(folder, ADAPTER_FILES.weights))
    expect(bytes.toString('latin1')).toContain('"base_model.model.model.layers.1.self_attn.o_proj.lora_B.weight"')
  })

  it.each([
    ['another model', { r: 8 }, /is \[4, 64\], and the model takes \[8, 64\]/],
    ['a kind that is not known', { peft_type: 'IA3' }, /peft_type/],
    ['an adapter with trained biases', { bias: 'all' }, /bias/],
  ])('of %s is refused', async (_, change, why) => {
    const { shape } = await randomModel(store, { type: 'F32', shape: SHAPE })
    const folder = await mkdtemp(join(directory, 'odd-'))
    await writeAdapter(folder, shape, 'base', await adapterOf(shape, 6, 4, ['q']))
    const path = join(folder, ADAPTER_FILES.config)
    const config = JSON.parse(await readFile(path, 'utf8')) as object
    await writeFile(path, JSON.stringify({ ...config, ...change }))
    await expect(readAdapter(folder, shape)).rejects.toMatchObject({
      code: 'WEFT-MOD-110',
      why: expect.stringMatching(why) as string,
    })
  })
})
