/** Prompts that a slow stage runs in pieces: others go between them, and not a bit is another. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ModelManifest } from '../../src/models/index.ts'
import { DTYPE, frame } from '../../src/net/index.ts'
import type { Frame } from '../../src/net/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { Parts } from '../../src/pipeline/host/parts.ts'
import { HOST, RUN } from '../../src/pipeline/host/protocol.ts'
import { StageRuntime } from '../../src/pipeline/host/runtime.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import type { Clock } from '../../src/util/index.ts'
import { randomModel } from './support/random-model.ts'

const SHAPE = { layers: 3, width: 64, hidden: 64, heads: 1, kv_heads: 1, head_dim: 64, rope_dim: 64, context: 512 }
const ROWS = 100
const within = { timeout: 20_000, interval: 5 }

/** Every look at it takes so long: runs are as slow as it says, whatever the machine. */
function slowClock(ms: number): Clock {
  let now = 0
  return { ...systemClock(), now: () => (now += ms) }
}

describe.each(['F32', 'Q4_0', 'Q8_0'] as const)('a stage of %s', (type) => {
  let directory: string
  let manifest: ModelManifest
  let parts: Parts

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'weft-pieces-'))
    const store = await createBlobStore({ directory })
    manifest = await randomModel(store, { type, shape: SHAPE })
    const folders = { storeDirectory: directory, cacheDirectory: join(directory, 'cache') }
    const needs = { engine: createOrtEngine(), clock: systemClock(), options: { threads: 1 }, store, ...folders }
    parts = new Parts(needs, manifest)
    await parts.load(1, manifest.blocks.length)
  })
  afterAll(async () => {
    await parts.release()
    await rm(directory, { recursive: true, force: true })
  })

  const begin = (clock: Clock) => {
    const seen: Frame[] = []
    const runtime = new StageRuntime({ clock, manifest, parts, kvBytes: 1 << 30, emit: (each) => seen.push(each) })
    const sampler = { sampling: GREEDY, logprobs: -1, history: [] }
    /** @param to block that the session's segment ends before */
    const open = (request: number, to = manifest.blocks.length - 1): void =>
      runtime.open(frame({ type: HOST.open, request }), { from: 1, to, positions: 400, sampler })
    const run = (request: number, position: number, count: number): void => {
      const values = Uint16Array.from(
        { length: count * SHAPE.width },
        (_, at) => 0x3000 + ((request * 977 + position + at * 31) % 2_048),
      )
      const content = { dtype: DTYPE.f16, dims: [count, SHAPE.width], payload: new Uint8Array(values.buffer) }
      runtime.run(frame({ type: HOST.run, request, position, flags: RUN.token, ...content }))
    }
    const answers = async (count: number): Promise<readonly Frame[]> => {
      const found = (): Frame[] => seen.filter(({ type: kind }) => kind !== HOST.opened)
      await expect.poll(() => found().length, within).toBe(count)
      return found()
    }
    return { open, run, answers, runtime, seen }
  }

  const alone = async (request: number, chunks: readonly (readonly [number, number])[]): Promise<readonly Frame[]> => {
    const { open, run, answers } = begin(systemClock())
    open(request)
    for (const [position, count] of chunks) run(request, position, count)
    return answers(chunks.length)
  }

  it('gives long prompts, what goes on behind them, and steps between them the bits that each has alone', async () => {
    const { open, run, answers, seen } = begin(slowClock(500))
    for (const request of [1, 2, 3]) open(request)
    // The first is measured; of the next ones no more than 16 rows go at a time.
    run(1, 0, ROWS)
    await answers(1)
    run(1, ROWS, ROWS)
    run(1, 2 * ROWS, ROWS)
    run(2, 0, ROWS)
    run(3, 0, 1)
    const all = await answers(5)
    expect(all.map(({ request }) => request).slice(0, 2)).toEqual([1, 3])
    // In turn: the second prompt is not behind all chunks of the first.
    expect(all.map(({ request, position }) => [request, position]).at(-1)).toEqual([1, 2 * ROWS])
    for (const { request, position, flags } of all)
      expect([request, position, (flags & RUN.pieces) !== 0]).toEqual([
        request,
        position,
        request !== 3 && !(request === 1 && position === 0),
      ])
    const chunks = [0, ROWS, 2 * ROWS].map((position) => [position, ROWS] as const)
    const expected = [
      ...(await alone(1, chunks)),
      ...(await alone(2, chunks.slice(0, 1))),
      ...(await alone(3, [[0, 1]])),
    ]
    expect(all).toHaveLength(expected.length)
    for (const { request, position, payload } of expected) {
      const own = all.find((each) => each.request === request && each.position === position)
      expect(Buffer.from(own!.payload).equals(Buffer.from(payload))).toBe(true)
    }
    expect(seen.every(({ type: kind }) => kind !== HOST.error)).toBe(true)
  })

  it('ends a session in the middle of its pieces, and the others go on', async () => {
    const { open, run, answers, runtime } = begin(slowClock(500))
    for (const request of [1, 2]) open(request, manifest.blocks.length)
    run(1, 0, ROWS)
    await answers(1)
    run(1, ROWS, ROWS)
    run(2, 0, ROWS)
    runtime.close(frame({ type: HOST.close, request: 1 }))
    const all = await answers(2)
    expect(all.map(({ request, type: kind }) => [request, kind])).toEqual([
      [1, HOST.token],
      [2, HOST.token],
    ])
    expect(runtime.stats().sessions).toBe(1)
  })

  it('runs whole what is alone and quick enough', async () => {
    const { open, run, answers } = begin(systemClock())
    open(1)
    run(1, 0, ROWS)
    run(1, ROWS, ROWS)
    for (const { flags } of await answers(2)) expect(flags & RUN.pieces).toBe(0)
  })
})
