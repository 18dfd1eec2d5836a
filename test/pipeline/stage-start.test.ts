/** Real stage hosts: what they find in the cache, what their peer counts, and whose memory the weights are in. */
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { isWhole } from '../whole.ts'
import { makeBlock } from '../../src/models/blocks.ts'
import { manifestDigest } from '../../src/models/index.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { startStageHost } from '../../src/pipeline/host/stage-host.ts'
import type { StageHost } from '../../src/pipeline/host/stage-host.ts'
import { MemoryQuotaError } from '../../src/pipeline/index.ts'
import { Stages } from '../../src/pipeline/stages.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { randomModel, SMALL } from './support/random-model.ts'

const clock = systemClock()
/** Two layers of 14.5 million weights each. */
const WIDE = { layers: 2, width: 1024, hidden: 4096, heads: 16 }
const WIDE_WEIGHTS = 2 * (2 * 1024 * 1024 + 2 * 1024 * 128 + 3 * 1024 * 4096)

let root: string
let store: BlobStore

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'weft-stage-start-'))
  store = await createBlobStore({ directory: join(root, 'store') })
})
afterAll(() => rm(root, { recursive: true, force: true }))

/** A model whose blocks say what they really cost, as a host demands, and the file of its manifest. */
async function saved(random: ModelManifest): Promise<{ readonly manifest: ModelManifest; readonly path: string }> {
  const blocks = random.blocks.map((block) => makeBlock(block.kind, block.tensors, block.weights, random.shape))
  const manifest = { ...random, blocks, digest: manifestDigest({ ...random, blocks }) }
  const path = join(root, `${manifest.digest}.json`)
  await writeFile(path, JSON.stringify(manifest))
  return { manifest, path }
}

function stagesOf(
  saving: { readonly manifest: ModelManifest; readonly path: string },
  counted: Record<string, number> = {},
  memory = 2 ** 30,
  others?: (most: number) => number,
): Stages {
  return new Stages({
    clock,
    model: () => Promise.resolve(saving),
    fetch: () => Promise.resolve(),
    storeDirectory: join(root, 'store'),
    cacheDirectory: join(root, 'cache'),
    threads: 1,
    memory,
    count: (name, by = 1) => void (counted[name] = (counted[name] ?? 0) + by),
    changed: () => undefined,
    ...(others === undefined ? {} : { others }),
  })
}

describe('the stages of a peer', () => {
  it('share the memory with others, who give back what they only keep', async () => {
    const saving = await saved(await randomModel(store, { type: 'Q5_0' }))
    const { digest, blocks } = saving.manifest
    const need = blocks.slice(1, 2).reduce((sum, block) => sum + block.memory, 0)
    const asked: number[] = []
    let held = 8
    const others = (most: number): number => {
      asked.push(most)
      return held
    }
    const stages = stagesOf(saving, {}, need + 7, others)
    await expect(stages.prepare(digest, [[1, 2]])).rejects.toMatchObject({ code: MemoryQuotaError.info.code })
    held = 7
    await stages.prepare(digest, [[1, 2]])
    expect(asked).toEqual([7, 7])
    expect(stages.digests()).toEqual([digest])
    await stages.stop()
  }, 60_000)

  it('count a block that stands in several ranges once: its weights are mapped, and graphs share them', async () => {
    const saving = await saved(await randomModel(store, { type: 'Q5_0' }))
    const { digest, blocks } = saving.manifest
    const memory = (from: number, to: number): number =>
      blocks.slice(from, to).reduce((sum, block) => sum + block.memory, 0)
    const stages = stagesOf(saving, {}, memory(0, 5))
    await stages.prepare(digest, [
      [1, 3],
      [2, 4],
      [1, 3],
    ])
    expect(stages.weights).toBe(memory(1, 4))
    // Would not fit if what is there already were counted again.
    await stages.prepare(digest, [[0, 5]])
    expect(stages.weights).toBe(memory(0, 5))
    expect(stages.weightsBeside(digest)).toBe(0)
    await stages.retain(digest, [[3, 5]])
    expect(stages.weights).toBe(memory(3, 5))
    await stages.stop()
    const small = stagesOf(saving, {}, memory(1, 4) - 1)
    const ranges = [
      [1, 3],
      [2, 4],
    ] as const
    await expect(small.prepare(digest, ranges)).rejects.toMatchObject({ code: 'WEFT-INF-050' })
    await small.stop()
  })

  it('count what was loaded, from the cache, and pre-packed: the first time and the second', async () => {
    const { manifest, path } = await saved(await randomModel(store, { type: 'Q4_1' }))
    const counted: Record<string, number> = {}
    const stages = (): Stages => stagesOf({ manifest, path }, counted)
    const rest = (): Record<string, number> =>
      Object.fromEntries(Object.entries(counted).filter(([name]) => name !== 'weights_verified'))
    const first = stages()
    await first.prepare(manifest.digest, [[0, 3]])
    expect(counted).toEqual({ stages_loaded: 1, stages_prepacked: 1 })
    await first.prepare(manifest.digest, [[3, SMALL.layers + 2]])
    expect(rest()).toEqual({ stages_loaded: 2, stages_prepacked: 2 })
    await first.stop()
    const second = stages()
    await second.prepare(manifest.digest, [
      [0, 3],
      [3, SMALL.layers + 2],
    ])
    expect(rest()).toEqual({ stages_loaded: 3, stages_prepacked: 3, stages_from_cache: 1 })
    // Whoever makes a file reads it through: where that is remembered, nobody does a second time.
    if (process.platform === 'linux') expect(counted['weights_verified']).toBeUndefined()
    await second.stop()
  })

  it('keep what Node compiles of their program beside what they loaded', async () => {
    const { manifest, path } = await saved(await randomModel(store, { type: 'Q4_1' }))
    vi.stubEnv('NODE_COMPILE_CACHE', undefined)
    try {
      const stages = stagesOf({ manifest, path })
      await stages.prepare(manifest.digest, [[0, 3]])
      await stages.stop()
    } finally {
      vi.unstubAllEnvs()
    }
    const kept = await readdir(join(root, 'cache', 'code'), { recursive: true })
    expect(kept.length).toBeGreaterThan(5)
  })
})

describe.skipIf(!existsSync('/proc/self/smaps_rollup'))('the memory of a stage host (read from /proc: Linux)', () => {
  it.runIf(isWhole)('has no copy of its weights, however many graphs they are in', async () => {
    const { path: manifestPath } = await saved(await randomModel(store, { type: 'Q8_0', shape: WIDE }))
    const start = (): StageHost => startStageHost({ clock, codeCache: join(root, 'code') })
    const load = (host: StageHost, ranges: readonly (readonly [number, number])[]): ReturnType<StageHost['load']> =>
      host.load({
        manifestPath,
        storeDirectory: join(root, 'store'),
        cacheDirectory: join(root, 'wide'),
        ranges,
        threads: 1,
        kvBytes: 2 ** 28,
      })
    const packs = start()
    expect(await load(packs, [[1, 3]])).toMatchObject({ packed: 2, prepacked: true })
    await packs.stop()
    const host = start()
    const before = await anonymous(host, () => load(host, [[0, 1]]))
    expect(await load(host, [[1, 3]])).toMatchObject({ packed: 0, prepacked: true })
    // The same weights in two more cuts: three graphs of each layer by now.
    await load(host, [[1, 2]])
    await load(host, [[2, 3]])
    await load(host, [
      [0, 2],
      [2, 4],
    ])
    // A graph shares no copy with another, so copies would be three times the weights and what is left over besides: the
    // allocator's and the collector's, of packing one matrix at a time (18 to 46 MB seen).
    expect((await anonymous(host)) - before).toBeLessThan(2.5 * WIDE_WEIGHTS)
    await host.stop()
  })
})

/** Bytes of memory that are the host's own, not a file's. */
async function anonymous(host: StageHost, after: () => Promise<unknown> = () => Promise.resolve()): Promise<number> {
  await after()
  const text = await readFile(`/proc/${host.pid}/smaps_rollup`, 'utf8')
  return Number(/^Anonymous:\s+(\d+) kB/m.exec(text)![1]) * 1024
}
