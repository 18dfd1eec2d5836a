/** Soft prompts that are served: rows in the place of the first tokens', whatever company a session has and however it is cut. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openEmbedding, openSealed, partSize, readAdapter, sealAdapter, writeAdapter } from '../../src/models/index.ts'
import type { Adapter, LowRankAdapter, ModelManifest } from '../../src/models/index.ts'
import { DTYPE, frame } from '../../src/net/index.ts'
import type { Frame } from '../../src/net/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { Parts } from '../../src/pipeline/host/parts.ts'
import { HOST, RUN } from '../../src/pipeline/host/protocol.ts'
import { StageRuntime } from '../../src/pipeline/host/runtime.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { randomModel } from './support/random-model.ts'

const SHAPE = { layers: 2, width: 64, hidden: 64, heads: 1, kv_heads: 1, head_dim: 64, rope_dim: 64, context: 64 }
const TEXT = [11, 12, 13]
const [ONE, TWO] = [
  [1, 2, 3, 4],
  [9, 8, 7],
]

let directory: string
let manifest: ModelManifest
let parts: Parts
/** The rows of the tokens as a soft prompt. */
let promptOf: (ids: readonly number[]) => Adapter

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-soft-prompt-'))
  const store = await createBlobStore({ directory })
  manifest = await randomModel(store, { type: 'Q8_0', boundary: 'f16', shape: SHAPE })
  const folders = { storeDirectory: directory, cacheDirectory: join(directory, 'cache') }
  const needs = { engine: createOrtEngine(), clock: systemClock(), options: { threads: 1 }, store, ...folders }
  parts = new Parts(needs, manifest)
  await parts.load(0, manifest.blocks.length)
  await parts.load(0, 2)
  await parts.load(2, manifest.blocks.length)
  const ref = manifest.blocks[0]!.tensors[0]!
  const embedding = openEmbedding(store.path(ref.address), manifest.shape, ref, 'f32')
  promptOf = (ids) => {
    const rows = new Float32Array(embedding.rows(Int32Array.from(ids)).buffer)
    return { kind: 'prompt', tokens: ids.length, rows }
  }
  for (const [name, ids] of [
    ['one', ONE],
    ['two', TWO],
  ] as const)
    await writeFile(join(directory, name), sealAdapter(manifest.shape, promptOf(ids)))
  await writeFile(join(directory, 'lora'), sealAdapter(manifest.shape, lora))
})
afterAll(async () => {
  await parts.release()
  await rm(directory, { recursive: true, force: true })
})

const lora: LowRankAdapter = {
  kind: 'lora',
  rank: 1,
  alpha: 1,
  parts: ['o'],
  value: (_layer, part, factor) =>
    new Float32Array(partSize(manifest.shape, part)[factor === 'a' ? 'inputs' : 'outputs']).fill(0.01),
}

interface Asked {
  readonly ids: readonly number[]
  readonly adapter?: string
}

const none = (ids: readonly number[]): number[] => ids.map(() => 0)

/** Each in two chunks, all together. @returns what the head said, with likelihoods */
async function answers(asked: readonly Asked[], from = 0, to = manifest.blocks.length): Promise<Buffer[]> {
  const seen: Frame[] = []
  const runtime = new StageRuntime({
    clock: systemClock(),
    manifest,
    parts,
    kvBytes: 1 << 30,
    emit: (each) => seen.push(each),
  })
  for (const [request, { adapter }] of asked.entries()) {
    const sampler = { sampling: GREEDY, logprobs: 5, history: [] }
    const own = adapter === undefined ? {} : { adapter: join(directory, adapter) }
    runtime.open(frame({ type: HOST.open, request }), { from, to, positions: 32, sampler, ...own })
  }
  for (const [request, { ids }] of asked.entries()) {
    for (const [start, end] of [
      [0, 2],
      [2, ids.length],
    ] as const) {
      const payload = new Uint8Array(Int32Array.from(ids.slice(start, end)).buffer)
      const flags = end === ids.length ? RUN.token : 0
      const content = { dtype: DTYPE.i32, dims: [end - start], payload, flags, position: start }
      runtime.run(frame({ type: HOST.run, request, ...content }))
    }
  }
  const ends = (): Frame[] => seen.filter(({ type }) => type === HOST.token || type === HOST.error)
  const rows = (): Frame[] => seen.filter(({ type, position }) => type === HOST.rows && position > 0)
  await expect.poll(() => ends().length + rows().length, { timeout: 20_000, interval: 5 }).toBe(asked.length)
  return asked.map((_, request) => {
    const { type, payload, control } = [...ends(), ...rows()].find((each) => each.request === request)!
    expect(type).not.toBe(HOST.error)
    return Buffer.concat([payload, control ?? new Uint8Array(0)])
  })
}

describe('a soft prompt', () => {
  it('of the rows that tokens have says what these tokens say, bit for bit', async () => {
    const [soft] = await answers([{ ids: [...none(ONE), ...TEXT], adapter: 'one' }])
    const [hard] = await answers([{ ids: [...ONE, ...TEXT] }])
    const [without] = await answers([{ ids: [...none(ONE), ...TEXT] }])
    expect(soft).toEqual(hard)
    expect(soft).not.toEqual(without)
  })

  it('is one of several in a run, beside a low-rank adapter and none, and each says what it says alone', async () => {
    const asked: Asked[] = [
      { ids: [...none(ONE), ...TEXT], adapter: 'one' },
      { ids: [...none(TWO), ...TEXT], adapter: 'two' },
      { ids: TEXT, adapter: 'lora' },
      { ids: TEXT },
    ]
    const alone: Buffer[] = []
    for (const one of asked) alone.push(...(await answers([one])))
    expect(new Set(alone.map((said) => said.toString('hex'))).size).toBe(asked.length)
    expect(await answers(asked)).toEqual(alone)
  })

  it('is in the rows that leave a stage with the embedding, and in no other stage', async () => {
    const soft = { ids: [...none(ONE), ...TEXT], adapter: 'one' }
    expect(await answers([soft], 0, 2)).toEqual(await answers([{ ids: [...ONE, ...TEXT] }], 0, 2))
    const segment = parts.segment(2, manifest.blocks.length)
    expect(await parts.adapter(join(directory, 'one'), segment)).toEqual({})
  })
})

describe('its file', () => {
  it("gives back what was written, in PEFT's layout and sealed", async () => {
    const folder = await mkdtemp(join(directory, 'peft-'))
    await writeAdapter(folder, manifest.shape, 'base', promptOf(ONE))
    expect(await readAdapter(folder, manifest.shape)).toEqual(promptOf(ONE))
    expect(await openSealed(sealAdapter(manifest.shape, promptOf(ONE)), manifest.shape, 'x')).toEqual(promptOf(ONE))
  })

  it.each([
    ['rows of another width', () => sealAdapter({ ...manifest.shape, width: 32 }, short(32)), /rows of 64/],
    ['a value that is no number', () => sealAdapter(manifest.shape, short(64, NaN)), /no finite number/],
  ])('with %s is refused', async (_, bytes, why) => {
    await expect(openSealed(bytes(), manifest.shape, 'x')).rejects.toMatchObject({
      code: 'WEFT-MOD-110',
      why: expect.stringMatching(why) as string,
    })
  })
})

const short = (width: number, value = 0): Adapter => ({
  kind: 'prompt',
  tokens: 1,
  rows: new Float32Array(width).fill(value),
})
