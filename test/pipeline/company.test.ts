/** Sessions of several origins in one run: what one of them sends fails that one alone. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest'
import { partSize, sealAdapter } from '../../src/models/index.ts'
import type { LowRankAdapter, ModelManifest } from '../../src/models/index.ts'
import { decodeControl, DTYPE, frame } from '../../src/net/index.ts'
import type { Frame } from '../../src/net/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { Parts } from '../../src/pipeline/host/parts.ts'
import type { HostParts } from '../../src/pipeline/host/parts.ts'
import { HOST, RUN } from '../../src/pipeline/host/protocol.ts'
import type { OpenControl } from '../../src/pipeline/host/protocol.ts'
import { StageRuntime } from '../../src/pipeline/host/runtime.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { ToyParts } from '../simulation/toy/parts.ts'
import { randomModel } from './support/random-model.ts'

const SHAPE = { layers: 2, width: 64, hidden: 64, heads: 1, kv_heads: 1, head_dim: 64, rope_dim: 64, context: 256 }
const within = { timeout: 20_000, interval: 5 }
const [HONEST, HOSTILE, FIRST] = [1, 2, 3]

let directory: string
let manifest: ModelManifest
let parts: Parts

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-company-'))
  const store = await createBlobStore({ directory })
  manifest = await randomModel(store, { type: 'F32', shape: SHAPE })
  const clock = systemClock()
  const folders = { storeDirectory: directory, cacheDirectory: join(directory, 'cache') }
  parts = new Parts({ engine: createOrtEngine(), clock, options: { threads: 1 }, store, ...folders }, manifest)
  await parts.load(1, manifest.blocks.length)
})
afterAll(async () => {
  await parts.release()
  await rm(directory, { recursive: true, force: true })
})

interface Running {
  readonly seen: Frame[]
  open(request: number, change?: Partial<OpenControl>): void
  run(request: number, position: number, dims: readonly number[], fill?: number): void
  /** What came of a session, once something has. */
  end(request: number): Promise<Frame>
}

function runtimeOf(own: HostParts, kvBytes = 1 << 30): Running {
  const seen: Frame[] = []
  const runtime = new StageRuntime({
    clock: systemClock(),
    manifest,
    parts: own,
    kvBytes,
    emit: (each) => seen.push(each),
  })
  const sampler = { sampling: GREEDY, logprobs: -1, history: [] }
  return {
    seen,
    open: (request, change = {}) => {
      const control = { from: 1, to: manifest.blocks.length, positions: 200, sampler, ...change }
      runtime.open(frame({ type: HOST.open, request }), control)
    },
    run: (request, position, dims, fill = 1) => {
      const payload = new Uint8Array(dims.reduce((product, dim) => product * dim, 2)).fill(fill)
      const content = { dtype: DTYPE.f16, dims, payload, flags: RUN.token | RUN.rewind }
      runtime.run(frame({ type: HOST.run, request, position, ...content }))
    },
    end: async (request) => {
      const found = (): Frame | undefined => seen.find((each) => each.request === request && each.type !== HOST.opened)
      await expect.poll(found, within).toBeDefined()
      return found()!
    },
  }
}

const { width } = SHAPE

const lowRank: LowRankAdapter = {
  kind: 'lora',
  rank: 1,
  alpha: 1,
  parts: ['o'],
  value: (_layer, part, factor) =>
    new Float32Array(partSize(manifest.shape, part)[factor === 'a' ? 'inputs' : 'outputs']).fill(0.01),
}

const codeOf = ({ control }: Frame): unknown => (decodeControl(control) as { code: unknown }).code

/** The first occupies the loop, so that what follows waits for one run together. */
async function inCompany(running: Running, position: number, dims: readonly number[]): Promise<readonly Frame[]> {
  running.run(FIRST, 0, [4, width])
  running.run(HONEST, 0, [1, width])
  running.run(HOSTILE, position, dims)
  return [await running.end(HONEST), await running.end(HOSTILE)]
}

describe('rows that no run takes', () => {
  let running: Running
  beforeEach(() => {
    running = runtimeOf(parts)
    running.open(FIRST)
    running.open(HONEST)
  })

  it('for having one dimension more end their own session', async () => {
    running.open(HOSTILE)
    const [honest, hostile] = await inCompany(running, 0, [1, width, 3])
    expect(honest!.type).toBe(HOST.token)
    expect(codeOf(hostile!)).toBe('WEFT-INF-012')
  })

  it('for being beyond the model’s context end their own session, however many positions that asked for', async () => {
    running.open(HOSTILE, { positions: 5_000 })
    running.run(HOSTILE, 0, [SHAPE.context, width])
    expect((await running.end(HOSTILE)).type).toBe(HOST.token)
    running.seen.length = 0
    const [honest, hostile] = await inCompany(running, SHAPE.context, [1, width])
    expect(honest!.type).toBe(HOST.token)
    expect(codeOf(hostile!)).toBe('WEFT-INF-012')
  })
})

describe('rows that go back again and again', () => {
  const positions = 100
  let running: Running
  beforeEach(() => {
    running = runtimeOf(parts)
    running.open(HOSTILE, { positions })
  })

  it('are dropped where they wait, all but the last, and answered as such', async () => {
    for (let frames = 0; frames < 20; frames++) running.run(HOSTILE, 0, [positions, width])
    const tokens = (): readonly Frame[] => running.seen.filter(({ type }) => type === HOST.token)
    await expect.poll(() => tokens().length, within).toBe(2)
    const dropped = running.seen.filter(({ type }) => type === HOST.void)
    expect(dropped).toHaveLength(18)
    expect(dropped.every(({ flags, rows }) => (flags & RUN.dropped) !== 0 && rows === positions)).toBe(true)
  })

  it('are dropped as well while the adapter of their session is being loaded, and come to life no more', async () => {
    const adapter = join(directory, 'beside')
    await writeFile(adapter, sealAdapter(manifest.shape, lowRank))
    running.open(FIRST, { positions, adapter })
    const rows = positions - 1
    for (let frames = 0; frames < 20; frames++) running.run(FIRST, 0, [rows, width])
    const all = (type: number): readonly Frame[] =>
      running.seen.filter((each) => each.request === FIRST && each.type === type)
    await expect.poll(() => all(HOST.token).length, within).toBe(1)
    running.run(FIRST, rows, [1, width])
    await expect.poll(() => all(HOST.token).length, within).toBe(2)
    expect(all(HOST.void)).toHaveLength(19)
    expect(all(HOST.void).every((each) => (each.flags & RUN.dropped) !== 0 && each.rows === rows)).toBe(true)
  })

  it('a little less each time do not fill the memory of a host', async () => {
    for (let position = 0; position < 20; position++) running.run(HOSTILE, position, [positions - position, width])
    const end = await running.end(HOSTILE)
    expect(end.type).toBe(HOST.error)
    expect(decodeControl(end.control)).toMatchObject({ code: 'WEFT-INF-012', details: { waiting: 679 } })
  })
})

describe('an adapter', () => {
  it('that is none ends its own session, and the other goes on with what it has', async () => {
    const [right, wrong] = [join(directory, 'right'), join(directory, 'wrong')]
    await writeFile(right, sealAdapter(manifest.shape, lowRank))
    await writeFile(wrong, 'no adapter')
    const running = runtimeOf(parts)
    running.open(FIRST, { adapter: right })
    running.open(HONEST, { adapter: right })
    running.open(HOSTILE, { adapter: wrong })
    const [honest, hostile] = await inCompany(running, 0, [1, width])
    expect(honest!.type).toBe(HOST.token)
    expect(hostile!.type).toBe(HOST.error)
  })

  it('of values too large for a product changes nothing for the others in its run', async () => {
    const [right, wide] = [join(directory, 'right'), join(directory, 'wide')]
    const value: LowRankAdapter['value'] = (...at) => lowRank.value(...at).fill(3e38)
    await writeFile(right, sealAdapter(manifest.shape, lowRank))
    await writeFile(wide, sealAdapter(manifest.shape, { ...lowRank, value }))
    // Loaded before, so that nobody waits and all run together.
    for (const path of [right, wide]) await parts.adapter(path, parts.segment(1, manifest.blocks.length))
    const honestOf = async (adapter: string): Promise<Frame> => {
      const running = runtimeOf(parts)
      running.open(FIRST, { adapter: right })
      running.open(HONEST, { adapter: right, sampler: { sampling: GREEDY, logprobs: 3, history: [] } })
      running.open(HOSTILE, { adapter })
      const [honest] = await inCompany(running, 0, [1, width])
      return honest!
    }
    const beside = await honestOf(wide)
    expect(beside.flags & RUN.batched).toBe(RUN.batched)
    expect(beside.control).toEqual((await honestOf(right)).control)
  })
})

describe('a run that fails', () => {
  let toy: ToyParts
  let sizes: number[]
  let running: Running
  beforeEach(async () => {
    sizes = []
    toy = new ToyParts({ clock: systemClock(), manifest, speed: () => ({ layerMs: 1, headMs: 0 }) })
    await toy.load(1, manifest.blocks.length)
    const { stage } = toy.segment(1, manifest.blocks.length).decoders[0]!
    const run = stage.run.bind(stage)
    stage.run = (jobs) => {
      sizes.push(jobs.length)
      const isBad = jobs.some(({ rows }) => rows[0] === 66)
      return isBad ? Promise.reject(new Error('a kernel does not like these rows')) : run(jobs)
    }
    running = runtimeOf(toy)
    for (const request of [FIRST, HONEST, HOSTILE]) running.open(request)
  })
  afterEach(() => expect(sizes).toEqual([1, 2, 1, 1]))

  it('is done again for each alone, once', async () => {
    running.run(FIRST, 0, [4, width])
    running.run(HONEST, 0, [1, width])
    running.run(HOSTILE, 0, [1, width], 66)
    expect((await running.end(HONEST)).type).toBe(HOST.token)
    expect((await running.end(HOSTILE)).type).toBe(HOST.error)
  })
})

describe('the batch lane', () => {
  const [BATCH, PERSON] = [11, 12]

  it('lets rows of others go first, and runs when none wait', async () => {
    const running = runtimeOf(parts)
    running.open(FIRST)
    running.open(BATCH, { lane: 'batch' })
    running.open(PERSON)
    running.run(FIRST, 0, [4, width])
    running.run(BATCH, 0, [1, width])
    running.run(PERSON, 0, [1, width])
    const [batch, person] = [await running.end(BATCH), await running.end(PERSON)]
    expect([batch.type, person.type]).toEqual([HOST.token, HOST.token])
    expect(running.seen.indexOf(person)).toBeLessThan(running.seen.indexOf(batch))
    expect(batch.flags & RUN.yielded).toBe(RUN.yielded)
    expect(batch.flags & RUN.batched).toBe(0)
    expect(person.flags & RUN.yielded).toBe(0)
    expect(batch.payload).toEqual(person.payload)
    running.seen.length = 0
    running.run(BATCH, 1, [1, width])
    expect((await running.end(BATCH)).flags & RUN.yielded).toBe(0)
  })

  it('leaves half of the memory for KV caches to people, and has all of it where nobody is', () => {
    const codes = (lanes: readonly ('batch' | undefined)[], kvBytes: number): unknown[] => {
      const running = runtimeOf(parts, kvBytes)
      for (const [index, lane] of lanes.entries()) running.open(index + 1, lane === undefined ? {} : { lane })
      return running.seen.map((each) => (each.type === HOST.opened ? 'opened' : codeOf(each)))
    }
    const one = parts.kvBytes(parts.segment(1, manifest.blocks.length), 200)
    expect(codes(['batch'], one)).toEqual(['opened'])
    expect(codes(['batch', 'batch', 'batch'], 4 * one)).toEqual(['opened', 'opened', 'WEFT-INF-010'])
    expect(codes(['batch', 'batch', undefined, undefined], 4 * one)).toEqual(['opened', 'opened', 'opened', 'opened'])
    expect(codes([undefined, undefined, 'batch'], 4 * one)).toEqual(['opened', 'opened', 'WEFT-INF-010'])
  })
})
