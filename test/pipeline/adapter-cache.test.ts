/** What a stage host keeps of adapters: those layers that it computes, and no more bytes than it is given. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { partSize, sealAdapter } from '../../src/models/index.ts'
import type { AdaptedPart, LowRankAdapter } from '../../src/models/index.ts'
import { AdapterCache } from '../../src/pipeline/host/adapter-cache.ts'
import { SMALL } from './support/random-model.ts'

const PARTS: readonly AdaptedPart[] = ['q', 'o']
const RANK = 2
const sizeOf = (part: AdaptedPart): number => partSize(SMALL, part).inputs + partSize(SMALL, part).outputs
/** Of one layer. */
const BYTES = 4 * RANK * PARTS.reduce((sum, part) => sum + sizeOf(part), 0)

let directory: string
const path = (name: string): string => join(directory, name)

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-adapter-cache-'))
  for (const [mark, name] of ['a', 'b', 'c'].entries()) {
    const value = (layer: number, part: AdaptedPart, factor: 'a' | 'b'): Float32Array =>
      new Float32Array(RANK * partSize(SMALL, part)[factor === 'a' ? 'inputs' : 'outputs']).fill(mark + layer)
    const adapter = { kind: 'lora', rank: RANK, alpha: RANK, parts: PARTS, value } as const
    await writeFile(path(name), sealAdapter(SMALL, adapter))
  }
  await writeFile(path('none'), 'no adapter')
})
afterAll(() => rm(directory, { recursive: true, force: true }))

/** These files are all low-rank ones. */
async function loaded(cache: AdapterCache, ...at: Parameters<AdapterCache['of']>): Promise<LowRankAdapter> {
  return (await cache.of(...at)).adapter as LowRankAdapter
}

it('loads the layers of a segment and no others', async () => {
  const cache = new AdapterCache(SMALL)
  const { id } = await cache.of(path('a'), 1, 2)
  const adapter = await loaded(cache, path('a'), 1, 2)
  expect(id).toBe(path('a'))
  expect(adapter.value(1, 'q', 'a')[0]).toBe(1)
  expect(adapter.value(0, 'q', 'a')).toBeUndefined()
  expect(cache.bytes).toBe(BYTES)
  const other = await loaded(cache, path('a'), 0, SMALL.layers)
  expect(other.value(2, 'o', 'b')[0]).toBe(2)
  expect(cache.bytes).toBe((1 + SMALL.layers) * BYTES)
})

it('gives sessions of one adapter the same, and forgets what was asked for longest ago when there is no room', async () => {
  const cache = new AdapterCache(SMALL, 2 * BYTES)
  const [a, b] = await Promise.all([cache.of(path('a'), 0, 1), cache.of(path('b'), 0, 1)])
  expect(await cache.of(path('a'), 0, 1)).toBe(a)
  await cache.of(path('c'), 0, 1)
  expect(cache.bytes).toBe(2 * BYTES)
  expect(await cache.of(path('a'), 0, 1)).toBe(a)
  expect(await cache.of(path('b'), 0, 1)).not.toBe(b)
})

it('serves one that is larger than all that is kept, and keeps it not', async () => {
  const cache = new AdapterCache(SMALL, BYTES)
  expect((await loaded(cache, path('a'), 0, SMALL.layers)).rank).toBe(RANK)
  expect(cache.bytes).toBe(0)
})

it('refuses a file that is none each time', async () => {
  const cache = new AdapterCache(SMALL)
  for (let time = 0; time < 2; time++) await expect(cache.of(path('none'), 0, 1)).rejects.toThrow()
  expect(cache.bytes).toBe(0)
})
