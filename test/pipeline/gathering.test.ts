/** Steps of several sessions: those that ran together wait a moment for one another, and a stage takes its share of them. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { ModelManifest } from '../../src/models/index.ts'
import { DTYPE, frame } from '../../src/net/index.ts'
import type { Frame } from '../../src/net/index.ts'
import { HOST, RUN } from '../../src/pipeline/host/protocol.ts'
import { StageRuntime } from '../../src/pipeline/host/runtime.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'
import { ToyParts } from '../simulation/toy/parts.ts'
import { randomModel } from './support/random-model.ts'

/** Of a layer for a row that is alone, in milliseconds. */
const LAYER_MS = 8
const SHAPE = { layers: 4, width: 64, hidden: 64, heads: 1, kv_heads: 1, head_dim: 64, rope_dim: 64, context: 256 }

let directory: string
let manifest: ModelManifest
let clock: VirtualClock
let runtime: StageRuntime
let seen: Frame[]
/** Sessions in each run. */
let sizes: number[]
/** Milliseconds of a layer for so many rows. */
let layerMs: (rows: number) => number
const positions = new Map<number, number>()

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-gathering-'))
  manifest = await randomModel(await createBlobStore({ directory }), { type: 'F32', shape: SHAPE })
  clock = virtualClock()
  seen = []
  sizes = []
  layerMs = () => LAYER_MS
  positions.clear()
})
afterEach(() => rm(directory, { recursive: true, force: true }))

/** A stage of so many of the model's four layers. */
async function begin(layers: number, sessions: readonly number[]): Promise<void> {
  const toy = new ToyParts({ clock, manifest, speed: () => ({ layerMs: 0, headMs: 0 }) })
  const loading = toy.load(1, 1 + layers)
  await clock.advance(1_000)
  await loading
  const { stage } = toy.segment(1, 1 + layers).decoders[0]!
  const run = stage.run.bind(stage)
  stage.run = async (jobs) => {
    sizes.push(jobs.length)
    await clock.sleep(layers * layerMs(jobs.length))
    return run(jobs)
  }
  runtime = new StageRuntime({ clock, manifest, parts: toy, kvBytes: 1 << 30, emit: (each) => seen.push(each) })
  for (const request of sessions) open(request, layers)
}

function open(request: number, layers: number): void {
  const control = { from: 1, to: 1 + layers, positions: 200, sampler: { sampling: GREEDY, logprobs: -1, history: [] } }
  runtime.open(frame({ type: HOST.open, request }), control)
}

function step(request: number, rows = 1): void {
  const position = positions.get(request) ?? 0
  positions.set(request, position + rows)
  const payload = new Uint8Array(2 * rows * SHAPE.width)
  runtime.run(frame({ type: HOST.run, request, position, dtype: DTYPE.f16, dims: [rows, SHAPE.width], payload }))
}

const answered = (request: number): Frame[] =>
  seen.filter((each) => each.request === request && each.type === HOST.rows)

const gathered = (request: number): boolean => (answered(request).at(-1)!.flags & RUN.gathered) !== 0

/** All of them, so that the first runs and the others run together behind it. */
async function together(sessions: readonly number[]): Promise<void> {
  for (const request of sessions) step(request)
  await clock.advance(120)
  sizes.length = 0
}

it('those that ran together run together again, though they come one after another', async () => {
  await begin(2, [1, 2, 3, 4])
  await together([1, 2, 3, 4])
  for (const request of [2, 3, 4]) {
    step(request)
    await clock.advance(1)
  }
  await clock.advance(100)
  expect(sizes).toEqual([3])
  expect([2, 3].map(gathered)).toEqual([true, true])
})

it('and begin at once when the last of them is here', async () => {
  await begin(2, [1, 2, 3])
  await together([1, 2, 3])
  step(2)
  step(3)
  await clock.advance(2 * LAYER_MS)
  expect(sizes).toEqual([2])
  expect([2, 3].map((request) => answered(request).length)).toEqual([2, 2])
})

it('one that does not come is waited for a quarter of a run, and not again', async () => {
  await begin(2, [1, 2, 3, 4])
  await together([1, 2, 3, 4])
  step(2)
  step(3)
  await clock.advance(LAYER_MS / 2 - 0.1)
  expect(sizes).toEqual([])
  await clock.advance(0.2)
  expect(sizes).toEqual([2])
  await clock.advance(100)
  step(2)
  step(3)
  await clock.advance(0)
  expect(sizes).toEqual([2, 2])
})

it.each(['closed', 'silent for long'])('nobody waits for one that is %s', async (what) => {
  await begin(2, [1, 2, 3])
  await together([1, 2, 3])
  if (what === 'closed') runtime.close(frame({ type: HOST.close, request: 3 }))
  else await clock.advance(300)
  step(2)
  await clock.advance(0)
  expect(sizes).toEqual([1])
})

it('who is alone never waits, nor does anybody beside a prompt', async () => {
  await begin(2, [1, 2, 3])
  await together([1, 2, 3])
  step(1)
  await clock.advance(0)
  expect(sizes).toEqual([1])
  await clock.advance(100)
  step(2)
  await clock.advance(1)
  expect(sizes).toEqual([1])
  step(1, 40)
  await clock.advance(0)
  expect(sizes).toEqual([1, 2])
})

/** All four come at once while a prompt occupies the stage, round after round. @returns sessions in each run of the last round */
async function rounds(layers: number): Promise<readonly number[]> {
  await begin(layers, [1, 2, 3, 4, 5])
  for (let round = 0; round < 8; round++) {
    sizes.length = 0
    step(5, 20)
    for (const request of [1, 2, 3, 4]) step(request)
    await clock.advance(180)
    // Alone, so that the time of one row is known.
    if (round < 6) {
      step(1)
      await clock.advance(60)
    }
  }
  return sizes.slice(1)
}

it('where rows cost their share, a stage of half of the layers takes half of the steps, and the next stage has work', async () => {
  layerMs = (rows) => 4 * rows
  expect(await rounds(2)).toEqual([2, 2])
})

it.each([
  ['rows cost nearly nothing', 2, () => LAYER_MS],
  ['all layers are here', 4, (rows: number) => 4 * rows],
] as const)('where %s all go together', async (_, layers, ms) => {
  layerMs = ms
  expect(await rounds(layers)).toEqual([4])
})

it('a prompt runs without the steps that wait where each of these takes time of its own', async () => {
  layerMs = (rows) => 4 * rows
  await rounds(4)
  sizes.length = 0
  step(5, 20)
  for (const request of [1, 2, 3, 4]) step(request)
  step(5, 20)
  await clock.advance(180)
  expect(sizes).toEqual([1, 4, 1])
})

it('and with them where they take hardly any', async () => {
  await rounds(4)
  sizes.length = 0
  step(5, 20)
  for (const request of [1, 2, 3, 4]) step(request)
  step(5, 20)
  await clock.advance(180)
  expect(sizes).toEqual([1, 5])
})
