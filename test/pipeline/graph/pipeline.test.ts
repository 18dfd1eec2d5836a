/** Models in real processes: whole and in parts, batches, frames with state, failures. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AnyTensor } from '../../../src/onnx/index.ts'
import { GraphPipeline } from '../../../src/pipeline/index.ts'
import type { GraphRequest, Inference, OpenGraph } from '../../../src/pipeline/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { crossing, endless, f32, mixing, recurrent, words, write } from './support/models.ts'
import { isWhole } from '../../whole.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-graph-'))
})

afterAll(() => rm(folder, { recursive: true }))

const needs = (): Parameters<typeof GraphPipeline.open>[0] => ({
  clock: systemClock(),
  cache: join(folder, 'cache'),
  codeCache: join(folder, 'code'),
})

type Inputs = Readonly<Record<string, AnyTensor>>

async function infer(open: OpenGraph, inputs: Inputs, request: GraphRequest = {}): Promise<Inference> {
  const pipeline = await GraphPipeline.open(needs(), { threads: 1, ...open })
  try {
    return await pipeline.infer(new Map(Object.entries(inputs)), request)
  } finally {
    await pipeline.close()
  }
}

const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('a model in several processes', () => {
  it('gives the bits of one: skip connections, a late input, an output in the middle; the second run cuts nothing', async () => {
    const path = await write(folder, 'crossing.onnx', crossing())
    const inputs = { x: f32([3, 8]), late: f32([3, 8], 100) }
    const whole = await infer({ path }, inputs, { microBatch: 0 })
    const split = await infer({ path, parts: 3 }, inputs, { microBatch: 0 })
    expect([...split.outputs]).toEqual([...whole.outputs])
    expect([...split.outputs.keys()]).toEqual(['y', 'early'])
    expect(split.route).toHaveLength(3)
    expect(new Set(split.route.map(({ pid }) => pid)).size).toBe(3)
    expect(split.stats).toMatchObject({ parts: 3, whole_because: 'asked for', counters: { runs: 3, preparations: 1 } })
    const again = await infer({ path, parts: 3 }, inputs, { microBatch: 0 })
    expect(again.stats.counters).toMatchObject({ preparations: 0, preparations_reused: 1 })
    expect([...again.outputs]).toEqual([...whole.outputs])
    expect(split.route.some(({ pid }) => alive(pid))).toBe(false)
  })

  it('cuts a batch into micro-batches that fill the parts, proven on a sample once', async () => {
    const path = await write(folder, 'crossing.onnx', crossing())
    const inputs = { x: f32([50, 8]), late: f32([50, 8], 100) }
    const whole = await infer({ path }, inputs)
    const split = await infer({ path, parts: 2 }, inputs)
    expect(split.stats).toMatchObject({ kind: 'micro-batches', micro_batch: 7, units: 8, batch_equal: true })
    expect(split.stats.counters).toMatchObject({ runs: 2 * (8 + 1), stages_at_once: 2, batch_proofs_reused: 0 })
    expect([...split.outputs]).toEqual([...whole.outputs])
    const again = await infer({ path, parts: 2 }, inputs)
    expect(again.stats.counters).toMatchObject({ runs: 2 * 8, batch_proofs_reused: 1 })
    expect([...again.outputs]).toEqual([...whole.outputs])
  })

  it.runIf(isWhole)('runs a batch whole where rows depend on each other, though the shapes do not tell', async () => {
    const path = await write(folder, 'mixing.onnx', mixing())
    const inputs = { x: f32([40, 8]) }
    const whole = await infer({ path }, inputs)
    for (const _ of ['proves', 'knows']) {
      const split = await infer({ path, parts: 2 }, inputs)
      expect(split.stats).toMatchObject({ kind: 'whole', batch_equal: false, micro_batch: null })
      expect([...split.outputs]).toEqual([...whole.outputs])
    }
    const asked = await infer({ path, parts: 2 }, inputs, { microBatch: 5 })
    expect(asked.stats).toMatchObject({ kind: 'micro-batches', micro_batch: 5, batch_equal: false })
  })
})

describe('a stream of frames with state', () => {
  const carries = [
    ['p_out', 'p_in'],
    ['q_out', 'q_in'],
  ] as const

  it('gives the same whole and in parts, and state stays where it is made and used', async () => {
    const path = await write(folder, 'recurrent.onnx', recurrent())
    const x = f32([12, 1, 8])
    const whole = await infer({ path }, { x }, { carries })
    expect(whole.stats).toMatchObject({ kind: 'frames', units: 12, counters: { frames: 12, state_kept: 22 } })
    expect(whole.outputs.get('y')!.dims).toEqual([12, 1, 8])
    expect(whole.outputs.get('q_out')!.dims).toEqual([1, 8])
    const split = await infer({ path, parts: 2 }, { x }, { carries })
    expect([...split.outputs]).toEqual([...whole.outputs])
    expect(split.stats.counters['state_kept']).toBeGreaterThanOrEqual(11)
    expect(split.stats.counters['runs']).toBe(24)
  })

  it('goes on where it was left, one frame after another by hand, and along an axis', async () => {
    const path = await write(folder, 'recurrent.onnx', recurrent())
    const x = f32([12, 1, 8])
    const whole = await infer({ path }, { x }, { carries })
    const pipeline = await GraphPipeline.open(needs(), { path, parts: 2, threads: 1 })
    try {
      let state: Inputs = { p_in: { ...f32([1, 8]), data: new Float32Array(8) } as AnyTensor }
      const rows: number[] = []
      for (let at = 0; at < 12; at += 4) {
        const part: AnyTensor = {
          type: 'float32',
          dims: [4, 8],
          data: (x.data as Float32Array).slice(at * 8, (at + 4) * 8),
        }
        const { outputs } = await pipeline.infer(new Map(Object.entries({ ...state, x: part })), { carries, frames: 0 })
        rows.push(...(outputs.get('y')!.data as Float32Array))
        expect(outputs.get('y')!.dims).toEqual([4, 8])
        state = { p_in: outputs.get('p_out')!, q_in: outputs.get('q_out')! }
      }
      expect(Float32Array.from(rows)).toEqual(whole.outputs.get('y')!.data)
    } finally {
      await pipeline.close()
    }
  })

  it('refuses pairs and axes that are not there', async () => {
    const path = await write(folder, 'recurrent.onnx', recurrent())
    const inputs = new Map(['x', 'p_in', 'q_in'].map((name) => [name, f32([1, 8])]))
    const bad: readonly GraphRequest[] = [
      { carries: [['nothing', 'q_in']] },
      { carries: [['q_out', 'x_in']] },
      {
        carries: [
          ['q_out', 'q_in'],
          ['q_out', 'p_in'],
        ],
      },
      { frames: 7 },
    ]
    const pipeline = await GraphPipeline.open(needs(), { path, threads: 1 })
    try {
      for (const request of bad) {
        await expect(pipeline.infer(inputs, request)).rejects.toMatchObject({ code: 'WEFT-INF-101' })
      }
    } finally {
      await pipeline.close()
    }
  })
})

describe('inputs and failures', () => {
  it('texts, scalars and no elements go through', async () => {
    const path = await write(folder, 'words.onnx', words())
    const n: AnyTensor = { type: 'float32', dims: [], data: Float32Array.of(4) }
    for (const data of [['weft', '織', ''], []]) {
      const { outputs } = await infer({ path }, { texts: { type: 'string', dims: [data.length], data }, n })
      expect(outputs.get('same')).toEqual({ type: 'string', dims: [data.length], data })
      expect(outputs.get('minus')).toEqual({ ...n, data: Float32Array.of(-4) })
    }
  })

  it('what does not fit is told in one line with what the model takes', async () => {
    const path = await write(folder, 'crossing.onnx', crossing())
    const [x, late] = [f32([2, 8]), f32([2, 8])]
    const takes = 'the model takes "x" float32[batch, 8], "late" float32[batch, 8]'
    const half: AnyTensor = { type: 'float64', dims: [2, 8], data: new Float64Array(16) }
    const cases: readonly (readonly [Inputs, string])[] = [
      [{ x }, 'the input "late" is missing'],
      [{ x, late, more: x }, '"more" is no input of the model'],
      [{ x: half, late }, 'the input "x" is float64, not float32'],
      [{ x: f32([2, 9]), late }, 'the input "x" has shape [2, 9]'],
      [{ x: f32([8]), late }, 'the input "x" has shape [8]'],
      [{ x, late: f32([3, 8]) }, 'the input "late" has shape [3, 8], and another input has 2 rows'],
    ]
    const pipeline = await GraphPipeline.open(needs(), { path, threads: 1 })
    try {
      for (const [inputs, words] of cases) {
        const failure = pipeline.infer(new Map(Object.entries(inputs)))
        await expect(failure).rejects.toMatchObject({ code: 'WEFT-INF-100', message: `${words}; ${takes}` })
      }
      expect((await pipeline.infer(new Map(Object.entries({ x, late })))).outputs.size).toBe(2)
    } finally {
      await pipeline.close()
    }
  })

  it('an error of the engine ends that run alone', async () => {
    const path = await write(folder, 'words.onnx', words())
    const pipeline = await GraphPipeline.open(needs(), { path, threads: 1 })
    try {
      const [host] = pipeline.hosts
      const run = { session: 1, feeds: new Map(), fetch: ['same'], kept: [] } as const
      await expect(host!.run(run)).rejects.toMatchObject({ code: 'WEFT-INF-001' })
      const feeds = new Map(
        Object.entries({ texts: { type: 'string', dims: [0], data: [] }, n: { ...f32([]) } } as const),
      )
      const good = await Promise.all([1, 2, 3].map(() => host!.run({ ...run, feeds })))
      expect(good.map(({ outputs }) => outputs.get('same')!.dims)).toEqual([[0], [0], [0]])
      expect(await host!.stats()).toMatchObject({ runs: 4, sessions: 0 })
      expect((await host!.stats()).rss).toBeGreaterThan(1 << 20)
    } finally {
      await pipeline.close()
    }
  })

  it('a model that never ends is cut off by its caller, and a process that is killed is told of', async () => {
    const path = await write(folder, 'endless.onnx', endless())
    const pipeline = await GraphPipeline.open(needs(), { path, threads: 1 })
    const inputs = new Map([['x', f32([1])]])
    const { pid } = pipeline.hosts[0]!
    const caller = new AbortController()
    const running = pipeline.infer(inputs, {}, caller.signal)
    caller.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
    const other = pipeline.infer(inputs)
    process.kill(pid, 'SIGKILL')
    await expect(other).rejects.toMatchObject({ code: 'WEFT-INF-021' })
    await expect(pipeline.infer(inputs)).rejects.toMatchObject({ code: 'WEFT-INF-021' })
    await pipeline.close()
    expect(alive(pid)).toBe(false)
  })
})
