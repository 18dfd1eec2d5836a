/** weft train of an adapter, on a small model with random weights: to the end, from the middle, and what is refused. */
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Tokenizer } from '../../../src/models/index.ts'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import { evalAdapter, FrozenBlocks, formOf, localLine, trainAdapter } from '../../../src/training/index.ts'
import type { AdapterNeeds, TrainOutcome } from '../../../src/training/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { randomModel } from '../../pipeline/support/random-model.ts'

const SHAPE = { layers: 1, width: 32, hidden: 32, heads: 1, kv_heads: 1, head_dim: 32, rope_dim: 32, vocabulary: 64 }
const PLAN = {
  schema: 'weft.train-plan/1',
  seed: 5,
  task: 'language',
  data: { kind: 'text', path: 'texts.jsonl', length: 8 },
  split: { every: 6, test: 5, validation: 4 },
  model: { kind: 'base', name: 'small' },
  optimizer: { kind: 'adamw', lr: 0.02, clip_norm: 1 },
  epochs: 4,
  batch: 2,
  accumulate: 2,
  checkpoint: { every_steps: 1 },
  threads: 1,
}

let directory: string
let needs: AdapterNeeds

/** A token a character. */
const TOKENIZER = {
  vocabulary: 64,
  bos: null,
  endTokens: new Set([0]),
  encode: (text: string) => Array.from(text, (character) => (character.codePointAt(0) ?? 0) % 64),
} as unknown as Tokenizer

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-adapter-run-'))
  const store = await createBlobStore({ directory: join(directory, 'store') })
  const manifest = await randomModel(store, { type: 'Q8_0', shape: SHAPE })
  const engine = createOrtEngine()
  needs = {
    clock: systemClock(),
    engine,
    base: () =>
      Promise.resolve({
        manifest,
        store,
        tokenizer: TOKENIZER,
        line: async (spec, length, folder, threads, gradients) => {
          const options = { threads, optimization: 'basic' } as const
          const blocks = new FrozenBlocks({ engine, folder, options, store, manifest })
          const session = await blocks.open(0, manifest.blocks.length, length, formOf(spec))
          return localLine(session, () => blocks.close(), gradients)
        },
      }),
  }
  const texts = Array.from({ length: 12 }, (_, index) =>
    JSON.stringify({ text: 'all work and no play '.repeat(1 + (index % 3)) }),
  )
  await writeFile(join(directory, 'texts.jsonl'), `${texts.join('\n')}\n`)
})

afterAll(() => rm(directory, { recursive: true, force: true }))

async function train(out: string, changes: object = {}, resume = false, endAt?: number): Promise<TrainOutcome> {
  const plan = join(directory, `${out}.json`)
  await writeFile(plan, JSON.stringify({ ...PLAN, ...changes }))
  const end = new AbortController()
  const request = { plan, out: join(directory, out), resume }
  return trainAdapter(needs, request, ({ done }) => void (done === endAt && end.abort(new Error('enough'))), end.signal)
}

const adapter = (out: string): Promise<Buffer> => readFile(join(directory, out, 'adapter_model.safetensors'))

describe('a run', () => {
  it('lowers its loss, and one that was ended goes on to the same bits, a second time too', async () => {
    const { result, curve } = await train('whole')
    expect(curve.at(-1)!.loss).toBeLessThan(0.8 * curve[0]!.loss)
    expect(result.metrics.test?.perplexity).toBeGreaterThan(1)
    expect(result.files).toContain('adapter_config.json')
    const model = join(directory, 'whole')
    expect(await evalAdapter(needs, { model })).toMatchObject({ part: 'test', metrics: result.metrics.test })
    expect((await evalAdapter(needs, { model, part: 'train' })).metrics).toEqual(result.metrics.train)
    const other = await evalAdapter(needs, { model, data: [join(directory, 'texts.jsonl')] })
    expect(other.part).toBe(null)
    expect(other.examples).toBe(Object.values(result.examples).reduce((sum, count) => sum + count, 0))
    await expect(train('parts', {}, false, 3)).rejects.toThrow('enough')
    await expect(train('parts', {}, true, 7)).rejects.toThrow('enough')
    expect((await train('parts', {}, true)).resumed).toBe(7)
    expect(await adapter('parts')).toEqual(await adapter('whole'))
  })

  it('whose gradients are rounded goes on to the same bits, though what was left of them stands in no checkpoint', async () => {
    const rounded = { gradients: 'int8', checkpoint: { every_steps: 3 } }
    const { curve } = await train('rounded', rounded)
    expect(curve.at(-1)!.loss).toBeLessThan(0.8 * curve[0]!.loss)
    await expect(train('rounded-parts', rounded, false, 5)).rejects.toThrow('enough')
    expect((await train('rounded-parts', rounded, true)).resumed).toBe(3)
    expect(await adapter('rounded-parts')).toEqual(await adapter('rounded'))
    await train('exact', { checkpoint: rounded.checkpoint })
    expect(await adapter('rounded')).not.toEqual(await adapter('exact'))
  })

  it('trains soft prompts, and writes them as PEFT does', async () => {
    const { curve, result } = await train('prompt', { adapter: { kind: 'prompt', tokens: 3 }, epochs: 6 })
    expect(curve.at(-1)!.loss).toBeLessThan(curve[0]!.loss)
    const soft = await evalAdapter(needs, { model: join(directory, 'prompt') })
    expect(soft.metrics.loss).toBeCloseTo(result.metrics.test!.loss!, 6)
    expect((await adapter('prompt')).toString('latin1')).toContain('"prompt_embeddings":{"dtype":"F32","shape":[3,32]')
  })
})

it('is refused in a folder in which this process trains already, and the one there is left alone', async () => {
  const epochs = 6
  const first = train('twice', { epochs })
  // From here on it has the folder.
  await expect.poll(() => existsSync(join(directory, 'twice')), { timeout: 60_000, interval: 1 }).toBe(true)
  for (const other of await Promise.allSettled([train('twice', { epochs }), train('twice', { epochs }, true)])) {
    expect(other).toMatchObject({
      reason: { code: 'WEFT-INF-125', message: expect.stringMatching(/being trained in/) as string },
    })
  }
  const { result } = await first
  // The folder is free again.
  await expect(train('twice', { epochs })).rejects.toThrow('holds a run already')
  expect((await train('twice', { epochs }, true)).result.steps).toBe(result.steps)
})

it.each([
  ['other tasks', { task: 'binary' }, 'task'],
  ['a loss', { loss: { kind: 'cross-entropy' } }, 'loss'],
  ['a loss of another task', { loss: { kind: 'mse' } }, 'loss.kind'],
  ['rounded gradients of a soft prompt', { adapter: { kind: 'prompt', tokens: 3 }, gradients: 'int8' }, 'gradients'],
  ['windows beyond the context', { data: { ...PLAN.data, length: 4096 } }, 'data.length'],
  ['a split that leaves nothing', { split: { share: { test: 0.5, validation: 0.5 } } }, 'split'],
  ['a split that names one part twice', { split: { every: 6, test: 5, validation: 5 } }, 'split'],
  ['data without texts', { data: { kind: 'csv', path: 'texts.jsonl' } }, 'data.kind'],
])('refuses %s, and leaves no folder', async (name, changes, field) => {
  await expect(train(name, changes)).rejects.toMatchObject({ code: 'WEFT-INF-121', details: { field } })
  await expect(readFile(join(directory, name, 'plan.json'))).rejects.toMatchObject({ code: 'ENOENT' })
})

it('a budget that an adapter does not fit into is refused before a step', async () => {
  await expect(train('small-budget', { memory: 1000 })).rejects.toMatchObject({
    code: 'WEFT-INF-126',
    details: { budget: 1000 },
  })
})

it('refuses a checkpoint over another model', async () => {
  await expect(train('moved', {}, false, 2)).rejects.toThrow('enough')
  const other = async (name: string): ReturnType<AdapterNeeds['base']> => {
    const found = await needs.base(name)
    return { ...found, manifest: { ...found.manifest, digest: 'f'.repeat(64) } }
  }
  const request = { plan: join(directory, 'moved.json'), out: join(directory, 'moved'), resume: true }
  await expect(trainAdapter({ ...needs, base: other }, request, () => undefined)).rejects.toMatchObject({
    code: 'WEFT-INF-124',
  })
})
