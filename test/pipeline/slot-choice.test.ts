/** Graphs of as many sessions as a run has: loaded when empty slots have cost as much as a load, and the same bits. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { stageFiles } from '../../src/models/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import type { Engine } from '../../src/onnx/index.ts'
import { createDecoderStage } from '../../src/pipeline/host/decoder-stage.ts'
import type { DecoderStage } from '../../src/pipeline/host/decoder-stage.ts'
import { SlotChoice } from '../../src/pipeline/host/slot-choice.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import type { Clock } from '../../src/util/index.ts'
import { randomModel, SMALL } from './support/random-model.ts'
import { someIds, testModel } from './support/stages.ts'
import type { TestModel } from './support/stages.ts'

describe('the choice', () => {
  it('loads a size that fits when empty slots have cost as much as a load, and not before', () => {
    const choice = new SlotChoice()
    choice.loaded(choice.slots(1), 100)
    expect(choice.slots(8)).toBe(16)
    choice.loaded(16, 100)
    // 80 ms, half of whose slots are empty: 20 ms are lost.
    for (let run = 0; run < 5; run++) {
      expect(choice.slots(8)).toBe(16)
      choice.ran(8, 16, 80)
    }
    expect(choice.slots(8)).toBe(8)
    choice.loaded(8, 100)
    // Few go into what is loaded at first, not into what happens to be there.
    expect([1, 2, 5, 8, 9].map((jobs) => choice.slots(jobs))).toEqual([1, 4, 8, 8, 16])
  })

  it('stays with what there is when another size cannot be loaded, or nobody measures', () => {
    const choice = new SlotChoice()
    for (const size of [1, 4]) choice.loaded(size, 10)
    choice.ran(2, 4, 1000)
    expect(choice.slots(2)).toBe(2)
    expect(choice.failed(2)).toBe(4)
    expect(choice.slots(2)).toBe(4)
    expect(choice.failed(9)).toBeUndefined()
    const still = new SlotChoice()
    for (const size of [1, 4]) still.loaded(size, undefined)
    still.ran(2, 4, 1000)
    expect(still.slots(2)).toBe(4)
  })
})

describe('a stage', () => {
  const STEPS = 6
  let directory: string
  let store: BlobStore

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'weft-slots-'))
    store = await createBlobStore({ directory: join(directory, 'store') })
  })

  afterAll(() => rm(directory, { recursive: true, force: true }))

  /** By a clock on which everything takes as long; `sizes` is told of the slots of each run, `fails` of each load. */
  function stageOf({ manifest }: TestModel, sizes: number[], fails: (slots: number) => boolean): Promise<DecoderStage> {
    const { shape, boundary } = manifest
    const files = stageFiles({ store, directory: join(directory, 'cache') }, manifest)
    const real = createOrtEngine()
    const engine: Engine = {
      ...real,
      async load(path, options) {
        const graph = await real.load(path, options)
        const run: typeof graph.run = (feeds, fetches) => {
          sizes.push(Object.keys(feeds).filter((name) => name.startsWith('total.')).length)
          return graph.run(feeds, fetches)
        }
        return { ...graph, run }
      },
    }
    let now = 0
    const clock = { now: () => (now += 10) } as Clock
    return createDecoderStage({
      engine,
      clock,
      shape,
      boundary,
      options: { threads: 1 },
      layers: SMALL.layers,
      graph: (slots) =>
        fails(slots) ? Promise.reject(new Error('no memory')) : files.decoder(1, SMALL.layers + 1, slots),
    })
  }

  /** Rows of two sessions, step by step in one run; whether the last one fitted. */
  async function together(model: TestModel, stage: DecoderStage): Promise<Buffer> {
    const texts = [1, 2].map((seed) => ({ ids: someIds(STEPS, SMALL.vocabulary, seed), cache: stage.newCache(0) }))
    const out: Uint8Array[] = []
    for (let step = 0; step < STEPS; step++) {
      const jobs = texts.map(({ ids, cache }) => ({ cache, rows: model.embed(ids.slice(step, step + 1)), count: 1 }))
      out.push(...(await stage.run(jobs)))
    }
    return Buffer.concat(out)
  }

  it('takes graphs of its runs’ sizes, with the same bits', async () => {
    const model = testModel(store, join(directory, 'cache'), await randomModel(store, { type: 'Q8_0' }))
    const sizes: number[] = []
    const stage = await stageOf(model, sizes, () => false)
    sizes.length = 0
    const first = await together(model, stage)
    expect(sizes[0]).toBe(4)
    expect(sizes.at(-1)).toBe(2)
    expect(stage.fitted).toBe(true)
    sizes.length = 0
    expect(await together(model, stage)).toEqual(first)
    expect(new Set(sizes)).toEqual(new Set([2]))
    await stage.run([{ cache: stage.newCache(0), rows: model.embed([1]), count: 1 }])
    expect(stage.fitted).toBe(false)
    await stage.release()
  })

  it('serves on where a size that fits cannot be loaded', async () => {
    const model = testModel(store, join(directory, 'cache'), await randomModel(store, { type: 'Q8_0' }))
    const sizes: number[] = []
    const stage = await stageOf(model, sizes, (slots) => slots === 2)
    sizes.length = 0
    await together(model, stage)
    expect(new Set(sizes)).toEqual(new Set([4]))
    expect(stage.fitted).toBe(false)
    await stage.release()
  })
})
