/** How many threads a step has, and when they spin: what is measured to be faster, and with the same bits. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createOrtEngine, GraphBuilder } from '../../src/onnx/index.ts'
import type { Engine } from '../../src/onnx/index.ts'
import { createDecoderStage } from '../../src/pipeline/host/decoder-stage.ts'
import type { DecoderStage } from '../../src/pipeline/host/decoder-stage.ts'
import { loadEager } from '../../src/pipeline/host/eager-graph.ts'
import { WayChoice } from '../../src/pipeline/host/way-choice.ts'
import { stageFiles } from '../../src/models/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { Clock } from '../../src/util/index.ts'
import { randomModel, SMALL } from './support/random-model.ts'
import { someIds, testModel, through } from './support/stages.ts'

/** Runs of which each takes what `cost` says of its way; how many went each way. */
function runs(choice: WayChoice, count: number, cost: readonly number[]): number[] {
  const went = cost.map(() => 0)
  for (let run = 0; run < count; run++) {
    const { way } = choice
    went[way]!++
    choice.ran(cost[way]!)
  }
  return went
}

describe('the choice', () => {
  it('goes the faster way, looks at the other for less than 4 % of the runs, and turns when that has become faster', () => {
    const choice = new WayChoice()
    choice.add(1)
    runs(choice, 20, [17, 13])
    expect(choice.way).toBe(1)
    expect(runs(choice, 1000, [17, 13])[0]).toBeLessThan(40)
    // Something else wants the cores: two slow runs are enough to look at once.
    expect(runs(choice, 1000, [20, 60])[1]).toBeLessThan(40)
    expect(choice.way).toBe(0)
    expect(runs(choice, 1000, [17, 13])[1]).toBeGreaterThan(800)
  })

  it('does not leave its way for one slow run', () => {
    const choice = new WayChoice()
    choice.add(1)
    runs(choice, 10, [10, 20])
    choice.ran(100)
    expect(choice.way).toBe(0)
    choice.ran(100)
    choice.ran(100)
    expect(choice.way).toBe(1)
  })

  it('stays where it is while there is no other, and looks at one that comes at once', () => {
    const choice = new WayChoice()
    expect(runs(choice, 500, [10])).toEqual([500])
    choice.add(2)
    expect(runs(choice, 20, [10, 99, 8])[2]).toBeGreaterThan(10)
  })

  it('among several finds the fastest, looks at them in turn, and at all of them when all of a sudden it is slow', () => {
    const choice = new WayChoice()
    for (const way of [1, 2, 3]) choice.add(way)
    const cost = [20, 15, 18, 12]
    runs(choice, 40, cost)
    expect(choice.way).toBe(3)
    const went = runs(choice, 2_000, cost)
    expect(went.slice(0, 3).every((count) => count > 0 && count < 40)).toBe(true)
    expect(went[0]! + went[1]! + went[2]!).toBeLessThan(80)
    expect(runs(choice, 40, [20, 60, 60, 60])[0]).toBeGreaterThan(10)
  })

  it('tells what has lost, and never comes back to what was dropped', () => {
    const choice = new WayChoice()
    choice.add(1)
    choice.add(2)
    expect(choice.hasLost(1)).toBe(false)
    runs(choice, 40, [10, 12, 30])
    expect([0, 1, 2].map((way) => choice.hasLost(way))).toEqual([false, true, true])
    choice.drop(2)
    expect(runs(choice, 1_000, [10, 12, 30])[2]).toBe(0)
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

  interface Costs {
    readonly threads?: number
    readonly loadMs: number
    /** Milliseconds of a run by the name of its way; 10 where nothing is said. */
    readonly run?: Readonly<Record<string, number>>
    /** A way that cannot be loaded. */
    readonly failing?: string
  }

  /** Ways as `2` and `2 spinning`: which are loaded and given up, by a clock on which loads and runs take what is given. */
  async function loaded({ threads = 2, loadMs, run: costs = {}, failing }: Costs) {
    const [loads, released]: string[][] = [[], []]
    let now = 0
    const engine = createOrtEngine()
    const counting: Engine = {
      ...engine,
      load: async (path, options) => {
        const name = `${options.threads}${options.spin === true ? ' spinning' : ''}`
        loads!.push(name)
        if (name === failing) throw new Error('no memory')
        now += loadMs
        const graph = await engine.load(path, options)
        return {
          ...graph,
          run: (...args) => {
            now += costs[name] ?? 10
            return graph.run(...args)
          },
          release: () => {
            released!.push(name)
            return graph.release()
          },
        }
      },
    }
    const clock = { now: () => now } as Clock
    const graph = await loadEager(counting, clock, join(directory, 'g.onnx'), { threads })
    /** @returns of how many runs threads spun, and how many had fewer threads */
    const run = async (count: number, rows = 1): Promise<{ spun: number; narrow: number }> => {
      const went = { spun: 0, narrow: 0 }
      for (let at = 0; at < count; at++) {
        const x = { type: 'float32', dims: [rows, 1], data: new Float32Array(rows).fill(3) } as const
        expect((await graph.run({ x }, ['y']))['y']!.data).toEqual(new Float32Array(rows).fill(-3))
        if (graph.spun) went.spun++
        if (graph.narrow) went.narrow++
      }
      return went
    }
    return { loads: loads!, released: released!, run, release: () => graph.release() }
  }

  it('that is loaded quickly is loaded with threads that sleep and that spin at once, and with one when that was earned', async () => {
    const { loads, released, run, release } = await loaded({ loadMs: 50 })
    expect(loads).toEqual(['2', '2 spinning'])
    await run(90)
    expect(loads).toHaveLength(2)
    await run(40)
    expect(loads).toEqual(['2', '2 spinning', '1'])
    // It was tried, and was not faster.
    expect(released).toEqual(['1'])
    await release()
    expect(released.toSorted()).toEqual(['1', '2', '2 spinning'])
  })

  it('that takes long is loaded once, and again when runs have taken twenty times as long', async () => {
    const { loads, run, release } = await loaded({ loadMs: 400, run: { '2 spinning': 8 } })
    expect(await run(800)).toEqual({ spun: 0, narrow: 0 })
    expect(loads).toEqual(['2'])
    expect((await run(20)).spun).toBeGreaterThan(5)
    expect(loads).toEqual(['2', '2 spinning'])
    await release()
  })

  it('whose second load fails runs as it is, and is not loaded again and again', async () => {
    const { loads, run, release } = await loaded({ loadMs: 400, failing: '2 spinning' })
    expect(await run(900)).toEqual({ spun: 0, narrow: 0 })
    expect(loads).toEqual(['2', '2 spinning'])
    await release()
  })

  it('that is faster with fewer threads has these for few rows, and all for many', async () => {
    const costs = { '6': 10, '6 spinning': 9, '3 spinning': 4, '1': 6 }
    const { loads, released, run, release } = await loaded({ threads: 6, loadMs: 20, run: costs })
    await run(200)
    expect(loads).toEqual(['6', '6 spinning', '3 spinning', '1'])
    expect(released).toEqual(['1'])
    expect((await run(100)).narrow).toBeGreaterThan(90)
    expect(await run(10, 16)).toEqual({ spun: 0, narrow: 0 })
    await release()
  })
})

describe('a stage with two threads', () => {
  it('gives a session the same bits whether its threads sleep, spin, are fewer or change over in the middle', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'weft-spinning-'))
    try {
      const store = await createBlobStore({ directory: join(directory, 'store') })
      const manifest = await randomModel(store, { type: 'Q4_1', weights: 'auto', boundary: 'f16' })
      const model = testModel(store, join(directory, 'cache'), manifest)
      const files = stageFiles({ store, directory: join(directory, 'cache') }, manifest)
      const [spun, narrow]: boolean[][] = [[], []]
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
          spun!.push(own.spun)
          narrow!.push(own.narrow)
          return rows
        },
      }
      const ids = someIds(24, SMALL.vocabulary)
      const steps = ids.map(() => 1)
      const plain = await model.stage(1, SMALL.layers + 1)
      expect(await through(model, [watched], ids, steps)).toEqual(await through(model, [plain], ids, steps))
      expect(spun).toContain(true)
      expect(spun).toContain(false)
      expect(narrow).toContain(true)
      expect(narrow).toContain(false)
      await plain.release()
      await own.release()
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})
