/** When threads of a step spin: as long as that is measured to be faster, and with the same bits. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createOrtEngine, GraphBuilder } from '../../src/onnx/index.ts'
import type { Engine } from '../../src/onnx/index.ts'
import { createDecoderStage } from '../../src/pipeline/host/decoder-stage.ts'
import type { DecoderStage } from '../../src/pipeline/host/decoder-stage.ts'
import { loadEager } from '../../src/pipeline/host/eager-graph.ts'
import { SpinChoice } from '../../src/pipeline/host/spin-choice.ts'
import { stageFiles } from '../../src/models/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { Clock } from '../../src/util/index.ts'
import { randomModel, SMALL } from './support/random-model.ts'
import { someIds, testModel, through } from './support/stages.ts'

/** Runs of which each takes what `cost` says of its way; how many went each way. */
function runs(choice: SpinChoice, count: number, cost: { readonly still: number; readonly spinning: number }) {
  const went = { still: 0, spinning: 0 }
  for (let run = 0; run < count; run++) {
    const { way } = choice
    went[way]++
    choice.ran(cost[way])
  }
  return went
}

describe('the choice', () => {
  it('goes the faster way, looks at the other for less than 4 % of the runs, and turns when that has become faster', () => {
    const choice = new SpinChoice()
    runs(choice, 20, { still: 17, spinning: 13 })
    expect(choice.way).toBe('spinning')
    expect(runs(choice, 1000, { still: 17, spinning: 13 }).still).toBeLessThan(40)
    // Something else wants the cores: two slow runs are enough to look at once.
    expect(runs(choice, 1000, { still: 20, spinning: 60 }).spinning).toBeLessThan(40)
    expect(choice.way).toBe('still')
    expect(runs(choice, 1000, { still: 17, spinning: 13 }).spinning).toBeGreaterThan(800)
  })

  it('does not leave its way for one slow run', () => {
    const choice = new SpinChoice()
    runs(choice, 10, { still: 10, spinning: 20 })
    choice.ran(100)
    expect(choice.way).toBe('still')
    choice.ran(100)
    choice.ran(100)
    expect(choice.way).toBe('spinning')
  })
})

describe('a graph', () => {
  let directory: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'weft-eager-'))
    const graph = new GraphBuilder()
    graph.node('Neg', [graph.input('x', 'f32', ['rows', 1])], {}, { outputs: ['y'] })
    graph.output('y', 'f32', ['rows', 1])
    await writeFile(join(directory, 'g.onnx'), graph.finish('g'))
  })

  afterAll(() => rm(directory, { recursive: true, force: true }))

  /** Which ways it is loaded, by a clock on which a load takes as long as given and a run 10 ms. */
  async function loaded(loadMs: number, failing = false) {
    const loads: boolean[] = []
    let [now, step] = [0, loadMs]
    const engine = createOrtEngine()
    const counting: Engine = {
      ...engine,
      load: (path, options) => {
        loads.push(options.spin === true)
        if (failing && options.spin === true) return Promise.reject(new Error('no memory'))
        return engine.load(path, options)
      },
    }
    const clock = { now: () => (now += step) } as Clock
    const graph = await loadEager(counting, clock, join(directory, 'g.onnx'), { threads: 2 })
    step = 10
    const run = async (): Promise<boolean> => {
      const x = { type: 'float32', dims: [1, 1], data: Float32Array.of(3) } as const
      expect((await graph.run({ x }, ['y']))['y']!.data).toEqual(Float32Array.of(-3))
      return graph.spun
    }
    return { loads, run, release: () => graph.release() }
  }

  it('that is loaded quickly is loaded both ways at once', async () => {
    const { loads, release } = await loaded(100)
    expect(loads).toEqual([false, true])
    await release()
  })

  it('that takes long is loaded once, and a second time when runs have taken twenty times as long', async () => {
    const { loads, run, release } = await loaded(400)
    for (let count = 0; count < 800; count++) expect(await run()).toBe(false)
    expect(loads).toEqual([false])
    const spun: boolean[] = []
    for (let count = 0; count < 20; count++) spun.push(await run())
    expect(loads).toEqual([false, true])
    expect(spun).toContain(true)
    await release()
  })

  it('whose second load fails runs as it is, and is not loaded again and again', async () => {
    const { loads, run, release } = await loaded(400, true)
    for (let count = 0; count < 900; count++) expect(await run()).toBe(false)
    expect(loads).toEqual([false, true])
    await release()
  })
})

describe('a stage with two threads', () => {
  it('gives a session the same bits whether its threads sleep, spin or change over in the middle', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'weft-spinning-'))
    try {
      const store = await createBlobStore({ directory: join(directory, 'store') })
      const manifest = await randomModel(store, { type: 'Q4_1', weights: 'auto', boundary: 'f16' })
      const model = testModel(store, join(directory, 'cache'), manifest)
      const files = stageFiles({ store, directory: join(directory, 'cache') }, manifest)
      const spun: boolean[] = []
      // Runs take less and less time, so that spinning, tried second, is found to be faster; then suddenly long.
      let [now, calls] = [0, 0]
      const clock = { now: () => (now += ++calls < 24 ? 24 - calls : 1000) } as Clock
      const { shape, boundary } = manifest
      const own = await createDecoderStage({
        engine: createOrtEngine(),
        clock,
        options: { threads: 2 },
        shape,
        boundary,
        layers: SMALL.layers,
        graph: (slots) => files.decoder(1, SMALL.layers + 1, slots),
      })
      const watched: DecoderStage = {
        ...own,
        run: async (jobs) => {
          const rows = await own.run(jobs)
          spun.push(own.spun)
          return rows
        },
      }
      const ids = someIds(24, SMALL.vocabulary)
      const steps = ids.map(() => 1)
      const plain = await model.stage(1, SMALL.layers + 1)
      expect(await through(model, [watched], ids, steps)).toEqual(await through(model, [plain], ids, steps))
      expect(spun).toContain(true)
      expect(spun).toContain(false)
      await plain.release()
      await own.release()
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})
