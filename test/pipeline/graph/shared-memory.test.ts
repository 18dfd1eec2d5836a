/** Values between processes of one machine: in shared memory, and over sockets where there is none. */
import { closeSync, fstatSync, readdirSync, readSync, writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GraphPipeline } from '../../../src/pipeline/index.ts'
import type { Inference } from '../../../src/pipeline/index.ts'
import { TensorTableError } from '../../../src/pipeline/graph/errors.ts'
import { startGraphHost } from '../../../src/pipeline/graph/host/graph-host.ts'
import { Blocks } from '../../../src/pipeline/graph/shared/blocks.ts'
import { GroupMemory } from '../../../src/pipeline/graph/shared/group-memory.ts'
import { openSegment, readSegment, SegmentWriter, SHARED_FOLDER } from '../../../src/pipeline/graph/shared/segment.ts'
import { checkSharedRows } from '../../../src/pipeline/graph/shared/shared-tensor.ts'
import { systemClock } from '../../../src/util/index.ts'
import { crossing, endless, f32, write } from './support/models.ts'

const trial = openSegment(SHARED_FOLDER)
const isThere = trial !== null
if (trial !== null) for (const each of [trial.read, trial.write]) closeSync(each)

let folder: string
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'weft-shared-'))))
afterAll(() => rm(folder, { recursive: true }))

const needs = (): Parameters<typeof GraphPipeline.open>[0] => ({
  clock: systemClock(),
  cache: join(folder, 'cache'),
  codeCache: join(folder, 'code'),
})

describe('blocks of a segment', () => {
  it('are the lowest that are free, share no page, and end with the segment', () => {
    const blocks = new Blocks(4 * 4096)
    expect([blocks.take(1), blocks.take(4097), blocks.take(1)]).toEqual([0, 4096, 3 * 4096])
    expect(blocks.take(1)).toBeNull()
    blocks.free(4096)
    blocks.free(5)
    expect(blocks.take(3 * 4096)).toBeNull()
    expect(blocks.take(2 * 4096)).toBe(4096)
    expect(blocks.held).toBe(3)
  })
})

describe.skipIf(!isThere)('a segment (needs a tmpfs)', () => {
  it('has no name, is for its user, and only its maker writes', () => {
    const before = readdirSync(SHARED_FOLDER).filter((name) => name.startsWith('weft-'))
    const { read, write: own } = openSegment(SHARED_FOLDER)!
    expect(readdirSync(SHARED_FOLDER).filter((name) => name.startsWith('weft-'))).toEqual(before)
    expect(fstatSync(own)).toMatchObject({ nlink: 0 })
    expect(fstatSync(own).mode & 0o777).toBe(0o600)
    expect(() => writeSync(read, Buffer.alloc(1))).toThrow('EBADF')
    const writer = new SegmentWriter(own)
    const parts = [Uint8Array.of(1, 2, 3), Uint8Array.of(4, 5)]
    expect([writer.put(parts, 5), writer.put(parts, 5)]).toEqual([0, 4096])
    const into = new Uint8Array(5)
    expect(readSegment(read, 4096, into)).toBe(true)
    expect([...into]).toEqual([1, 2, 3, 4, 5])
    expect(readSegment(read, 4100, into)).toBe(false)
    expect(readSync(read, into, 0, 5, 1 << 20)).toBe(0)
    for (const each of [read, own]) closeSync(each)
  })

  it('of one host is not taken for that of another', () => {
    const memory = GroupMemory.open(SHARED_FOLDER, 2)!
    const row = (segment: number): unknown => ['x', 'float32', [1], 4, segment, 0, 0]
    expect(memory.check(0, [row(1)])).toEqual([row(1)])
    for (const segment of [0, 2, 3]) expect(() => memory.check(0, [row(segment)])).toThrow(TensorTableError)
    expect(() => memory.read(['x', 'float32', [1], 4, 1, 0, 0])).toThrow('beyond its segment')
    memory.started()
    memory.ended()
    memory.ended()
  })
})

it('openSegment says no where the folder is on a disk or is none', () => {
  expect(openSegment(join(folder, 'nothing'))).toBeNull()
  expect(openSegment(new URL('.', import.meta.url).pathname)).toBeNull()
})

it.each([
  ['no list', {}],
  ['no row', [7]],
  ['a size that is not that of the shape', [['x', 'float32', [2], 4, 0, 0, 0]]],
  ['a segment that is none', [['x', 'float32', [1], 4, 2, 0, 0]]],
  ['a place before the segment', [['x', 'float32', [1], 4, 1, -4096, 0]]],
  ['a place that is no number', [['x', 'float32', [1], 4, 1, 'a', 0]]],
  ['more than a segment has', [['x', 'uint8', [2 ** 31], 2 ** 31, 1, 0, 0]]],
])('%s is refused', (_, rows) => {
  expect(() => checkSharedRows(rows, 2)).toThrow(TensorTableError)
})

describe('a model in three processes', () => {
  const WIDTH = 64
  const inputs = new Map([
    ['x', f32([512, WIDTH])],
    ['late', f32([512, WIDTH], 100)],
  ])
  const UNITS = 8

  async function twice(
    parts: number,
    sharedFolder?: null,
  ): Promise<readonly [Inference, Inference, readonly number[]]> {
    const path = await write(folder, 'crossing.onnx', crossing(WIDTH))
    const pipeline = await GraphPipeline.open({ ...needs(), sharedFolder }, { path, parts, threads: 1 })
    try {
      const first = await pipeline.infer(inputs, { microBatch: 512 / UNITS })
      const second = await pipeline.infer(inputs, { microBatch: 512 / UNITS })
      const stats = await Promise.all(pipeline.hosts.map((host) => host.stats()))
      return [first, second, stats.map(({ sharedBlocks }) => sharedBlocks)]
    } finally {
      await pipeline.close()
    }
  }

  it.skipIf(!isThere)(
    'has values go from one to the next past this one, the second time too, and frees them',
    async () => {
      const [[whole], [first, second, held], [plain, , none]] = [await twice(1), await twice(3), await twice(3, null)]
      for (const { outputs } of [first, second, plain]) expect([...outputs]).toEqual([...whole.outputs])
      // Two boundaries; a value that skips a part goes once.
      const direct = second.stats.counters['values_direct']!
      expect(direct).toBeGreaterThanOrEqual(2 * UNITS)
      expect(first.stats.counters['values_direct']).toBeGreaterThan(direct)
      expect(second.stats.counters['shared_bytes']).toBe(second.stats.counters['boundary_bytes'])
      expect(plain.stats.counters).toMatchObject({ values_direct: 0, shared_bytes: 0 })
      expect(plain.stats.counters['boundary_bytes']).toBe(first.stats.counters['boundary_bytes'])
      expect(none).toEqual([0, 0, 0])
      // What was freed last is told with the next run.
      for (const blocks of held) expect(blocks).toBeLessThanOrEqual(UNITS)
    },
  )

  it('that lose one of them end the request with its code', async () => {
    const path = await write(folder, 'crossing.onnx', crossing(WIDTH))
    const pipeline = await GraphPipeline.open(needs(), { path, parts: 3, threads: 1 })
    try {
      const asked = pipeline.infer(inputs, { microBatch: 16 })
      process.kill(pipeline.hosts[1]!.pid, 'SIGKILL')
      await expect(asked).rejects.toMatchObject({ code: 'WEFT-INF-021' })
    } finally {
      await pipeline.close()
    }
  })
})

it('runs of a session that is closed are told so, and the host goes on', async () => {
  const path = await write(folder, 'endless.onnx', endless(true))
  const host = startGraphHost(needs())
  try {
    await host.load({ path, threads: 1, optimization: 'off' })
    const run = (session: number, count: bigint): ReturnType<typeof host.run> => {
      const n = { type: 'int64', dims: [], data: BigInt64Array.of(count) } as const
      return host.run({
        session,
        feeds: new Map([
          ['x', f32([1])],
          ['n', n],
        ] as const),
        fetch: ['y'],
        kept: [],
      })
    }
    const runs = [run(1, 300_000n), run(1, 1n), run(1, 1n)]
    host.close(1)
    const ends = await Promise.allSettled(runs)
    expect(ends.map(({ status }) => status)).toContain('rejected')
    for (const end of ends) if (end.status === 'rejected') expect(end.reason).toMatchObject({ code: 'WEFT-INF-105' })
    expect([...(await run(2, 1n)).outputs.keys()]).toEqual(['y'])
  } finally {
    await host.stop()
  }
})
