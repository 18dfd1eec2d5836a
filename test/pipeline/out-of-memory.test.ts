/** What tells that a stage host ended for lack of memory, and that a kill does not: real processes, a real group of the kernel's. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TrainHosts } from '../../src/pipeline/adapters/hosts.ts'
import type { TrainHostsNeeds } from '../../src/pipeline/adapters/hosts.ts'
import type { FlowOpen } from '../../src/pipeline/graph/mesh/protocol.ts'
import { partKey } from '../../src/pipeline/graph/mesh/remembered.ts'
import { GraphStages } from '../../src/pipeline/graph/mesh/stages.ts'
import type { GraphStagesNeeds } from '../../src/pipeline/graph/mesh/stages.ts'
import { startHostProcess } from '../../src/pipeline/host/host-process.ts'
import type { RunHostProcess } from '../../src/pipeline/host/host-process.ts'
import { memoryWords } from '../../src/pipeline/host/out-of-memory.ts'
import { MemoryEnds } from '../../src/pipeline/memory-ends.ts'
import { Stages } from '../../src/pipeline/stages.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import { randomModel } from './support/random-model.ts'

const HOST = fileURLToPath(new URL('support/ending-host.ts', import.meta.url))
const PARENT = fileURLToPath(new URL('support/oom-parent.ts', import.meta.url))
const clock = systemClock()

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-oom-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const ending = (how: string): RunHostProcess => {
  return (needs, program) =>
    startHostProcess(needs, { ...program, path: HOST, args: [how], env: { NODE_OPTIONS: '--max-old-space-size=30' } })
}

function end(how: string): ReturnType<typeof startHostProcess>['ended'] {
  return ending(how)({ clock, codeCache: join(folder, 'code') }, { name: 'test host', path: '' }).ended
}

describe('that a stage host ended for lack of memory', () => {
  it('is said by V8 where its heap was full, and by Node where it had no room for a buffer', async () => {
    expect((await end('heap')).memory).toMatch(/^FATAL ERROR: .*(heap limit|out of memory)/)
    expect((await end('buffer')).memory).toContain('Array buffer allocation failed')
  })

  it('is said by no kill', async () => {
    const killed = await end('killed')
    expect(killed.memory).toBeUndefined()
    expect(killed.details).toMatchObject({ signal: 'SIGKILL' })
  })

  it('is read from the words of V8, Node, C++ and the engine, and from no others', () => {
    const heap = 'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory'
    const found = [
      [`<--- Last few GCs --->\n\n${heap}\n----- Native stack trace -----`, heap],
      ['#\n# Fatal process out of memory: Zone\n#', '# Fatal process out of memory: Zone'],
      ["terminate called after throwing an instance of 'std::bad_alloc'"],
      ['Non-zero status code returned: Failed to allocate memory for requested buffer of size 4096'],
    ] as const
    for (const [said, words = said] of found) expect(memoryWords(said)).toBe(words)
    for (const other of [
      '',
      'Segmentation fault',
      'Error: no memory of this session',
      'FATAL ERROR: v8::ToLocalChecked',
    ])
      expect(memoryWords(other)).toBeUndefined()
  })

  const group = limitedGroup()
  afterAll(() => {
    if (group !== undefined) rmdirSync(group)
  })
  it.skipIf(group === undefined)(
    'is said by the count of its group, and its peer lives on (needs root and a memory group)',
    () => {
      const command = `echo $$ > ${group!}/cgroup.procs && exec "$0" "$@"`
      const args = ['-c', command, process.execPath, '--disable-warning=ExperimentalWarning', PARENT, folder, HOST]
      const said = JSON.parse(execFileSync('sh', args, { encoding: 'utf8', timeout: 60_000 })) as unknown
      expect(said).toEqual(['the kernel ended it for lack of memory', 'SIGKILL', null, 'SIGKILL'])
    },
  )
})

/** A group of processes with 300 MB; undefined where none can be made. */
function limitedGroup(): string | undefined {
  const [first, second] = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup']
  const isFirst = existsSync(join(first, 'memory.limit_in_bytes'))
  const path = join(isFirst ? first : second, `weft-test-${process.pid}`)
  try {
    mkdirSync(path)
    writeFileSync(join(path, isFirst ? 'memory.limit_in_bytes' : 'memory.max'), String(300 * 2 ** 20))
    return path
  } catch {
    if (existsSync(path)) rmdirSync(path)
    return undefined
  }
}

describe('a host that ends for lack of memory', () => {
  const digest = 'a'.repeat(64)

  it('is started again after a pause, and not for ten minutes after three ends within one', async () => {
    const virtual = virtualClock()
    const ends = new MemoryEnds(virtual)
    const pauses: number[] = []
    for (let count = 0; count < 3; count++) {
      ends.ended(digest, 'no room')
      const before = virtual.now()
      const paused = ends.pause(digest, 'm').then(
        () => pauses.push(virtual.now() - before),
        (error: unknown) => error,
      )
      await virtual.advance(5_000)
      if (count === 2)
        expect(await paused).toMatchObject({ code: 'WEFT-INF-052', why: 'no room', details: { ends: 3 } })
    }
    expect(pauses).toEqual([1_000, 4_000])
    await virtual.advance(580_000)
    await expect(ends.pause(digest, 'm')).rejects.toMatchObject({ code: 'WEFT-INF-052' })
    await virtual.advance(20_000)
    await ends.pause(digest, 'm')
  })

  it('is tried at once where another placement wants other blocks', async () => {
    const ends = new MemoryEnds(virtualClock())
    ends.wanted(digest, [[0, 4]])
    for (let count = 0; count < 3; count++) ends.ended(digest, 'no room')
    ends.wanted(digest, [[0, 4]])
    await expect(ends.pause(digest, 'm')).rejects.toMatchObject({ code: 'WEFT-INF-052' })
    ends.wanted(digest, [[0, 2]])
    await ends.pause(digest, 'm')
  })

  it('is started for as long as such ends are far between', async () => {
    const virtual = virtualClock()
    const ends = new MemoryEnds(virtual)
    for (let count = 0; count < 10; count++) {
      ends.ended(digest, 'no room')
      await virtual.advance(31_000)
      await ends.pause(digest, 'm')
    }
  })

  it('stops those of a peer, and any number of kills does not', async () => {
    const store = await createBlobStore({ directory: join(folder, 'store') })
    const manifest = await randomModel(store, { type: 'Q8_0' })
    const stages = (how: string): Stages =>
      new Stages({
        clock,
        model: () => Promise.resolve({ manifest, path: '' }),
        fetch: () => Promise.resolve(),
        storeDirectory: join(folder, 'store'),
        cacheDirectory: join(folder, 'cache'),
        threads: 1,
        memory: 2 ** 30,
        runHost: ending(how),
        count: () => undefined,
        changed: () => undefined,
      })
    const codes = async (how: string, count: number): Promise<string[]> => {
      const of = stages(how)
      const seen: string[] = []
      for (let each = 0; each < count; each++)
        seen.push(
          await of.prepare(manifest.digest, [[1, 2]]).then(
            () => '',
            (error: { code: string }) => error.code,
          ),
        )
      await of.stop()
      return seen
    }
    expect(await codes('buffer', 4)).toEqual(['WEFT-INF-021', 'WEFT-INF-021', 'WEFT-INF-021', 'WEFT-INF-052'])
    expect(await codes('killed', 8)).toEqual(Array.from({ length: 8 }, () => 'WEFT-INF-021'))
  }, 120_000)

  const shared = (): Pick<
    TrainHostsNeeds & GraphStagesNeeds,
    'clock' | 'codeCache' | 'storeDirectory' | 'threads' | 'memory'
  > & {
    readonly taken: () => number
    readonly count: () => undefined
  } => ({
    clock,
    codeCache: join(folder, 'code'),
    storeDirectory: join(folder, 'store'),
    threads: 1,
    memory: 2 ** 30,
    taken: () => 0,
    count: () => undefined,
  })
  const failing = async (times: number, once: () => Promise<unknown>): Promise<string[]> => {
    const codes: string[] = []
    for (let time = 0; time < times; time++)
      await once().then(
        () => codes.push(''),
        (error: { readonly code: string }) => codes.push(error.code),
      )
    return codes
  }
  const LOST = 'WEFT-INF-021'

  it('stops those that train, and any number of kills does not', async () => {
    const manifest = await randomModel(await createBlobStore({ directory: join(folder, 'store') }), { type: 'Q8_0' })
    const lending = async (how: string, times: number): Promise<string[]> => {
      const model = (): Promise<{ manifest: typeof manifest; path: string }> => Promise.resolve({ manifest, path: '' })
      const fetch = (): Promise<void> => Promise.resolve()
      const hosts = new TrainHosts({ ...shared(), model, fetch, runHost: ending(how) })
      const codes = await failing(times, () => hosts.lend(manifest.digest, 1, 2))
      await hosts.stop()
      return codes
    }
    expect(await lending('buffer', 4)).toEqual([LOST, LOST, LOST, 'WEFT-INF-052'])
    expect(await lending('killed', 5)).toEqual(Array.from({ length: 5 }, () => LOST))
  }, 120_000)

  it('stops those of a part of a graph, and not those of another part', async () => {
    const cache = join(folder, 'graph-cache')
    const opening = (blocks: [number, number]): FlowOpen => ({
      digest,
      blocks,
      route: ['here'],
      routes: { first: [], later: [], sends: [], last: [], kept: [] },
      sources: [],
      weights: [],
      optimization: 'off',
      units: 1,
      deadline: 1_000,
    })
    const skeleton = new Uint8Array(1)
    const opened = async (how: string, times: number): Promise<string[]> => {
      const none = {
        model: () => undefined,
        placedBy: () => undefined,
        changed: () => undefined,
        failed: () => undefined,
      }
      const fetch = (): Promise<void> => Promise.resolve()
      const parts = join(folder, 'parts')
      const stages = new GraphStages({ ...shared(), ...none, cache, parts, fetch, runHost: ending(how) })
      const once = async (blocks: [number, number]): Promise<unknown> => {
        const open = opening(blocks)
        const made = join(cache, 'graphs', 'stages', partKey(open, skeleton))
        await mkdir(made, { recursive: true })
        await writeFile(join(made, 'partition.onnx'), '')
        return stages.open(open, skeleton, 'origin')
      }
      const codes = await failing(times, () => once([0, 1]))
      codes.push(...(await failing(1, () => once([1, 2]))))
      await stages.stop()
      return codes
    }
    expect(await opened('buffer', 4)).toEqual([LOST, LOST, LOST, 'WEFT-INF-052', LOST])
    expect(await opened('killed', 5)).toEqual(Array.from({ length: 6 }, () => LOST))
  }, 120_000)

  it('is forgotten after a while: whoever names parts cannot fill the memory with them', async () => {
    const virtual = virtualClock()
    const ends = new MemoryEnds(virtual)
    for (let count = 0; count < 3; count++) ends.ended('part', 'no room')
    await virtual.advance(600_001)
    ends.ended('another', 'no room')
    await ends.pause('part', 'm')
  })
})
