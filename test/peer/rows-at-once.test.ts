/** What a stage host saw of rows at once, told by its peer, is what the plan of another peer counts with. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { CreatePeerInit, LocalPeer } from '../../src/peer/index.ts'
import { GREEDY } from '../../src/pipeline/index.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const WAIT = { timeout: 60_000, interval: 100 }
const SESSIONS = 4

let folder: string
let a: LocalPeer
let b: LocalPeer

async function start(name: string, more: Partial<CreatePeerInit> = {}): Promise<LocalPeer> {
  return createPeer({
    home: join(folder, name),
    name,
    network: `rows-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    lan: 'off',
    threads: 1,
    logLevel: 'error',
    replan: 'off',
    ...more,
  })
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-rows-'))
  a = await start('a')
  await a.importModel({ source: TINY, name: 'tiny' })
  b = await start('b', { bootstrap: a.status().peer.addresses })
  await vi.waitFor(() => expect(a.status().peers).toMatchObject([{ state: 'connected' }]), WAIT)
  const last = (await a.manifest('tiny')).blocks.length - 1
  await a.deploy('tiny', {
    model: 'tiny',
    stages: [
      { peer: a.id, from: 0, to: 1 },
      { peer: b.id, from: 1, to: last },
      { peer: a.id, from: last, to: last + 1 },
    ],
  })
}, 120_000)

afterAll(async () => {
  await Promise.all([a, b].map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

async function answer(seed: number): Promise<void> {
  const input = { kind: 'ids', ids: [12, 300 + seed, 45, 7] } as const
  const request = { model: 'tiny', input, sampling: GREEDY, maxTokens: 60, ignoreEnd: true, speculate: 'off' } as const
  for await (const event of a.generate(request)) if (event.type === 'end') return
}

describe('rows at once that a stage host has seen', () => {
  it('are told by its peer, counted with by another, and kept', async () => {
    const { blocks } = await a.manifest('tiny')
    const ends = blocks[0]!.memory + blocks.at(-1)!.memory
    // Here is room for the ends alone, so that the other has the blocks.
    const whatIf = [`memory:a=${ends + 1}`]
    const asked = { objective: 'throughput', concurrency: SESSIONS, explain: true, whatIf } as const
    const factorAtB = async (): Promise<unknown> =>
      (await a.plan('tiny', asked)).batches!.find(({ peer }) => peer === b.id)
    expect(await factorAtB()).toMatchObject({ measured_factor: null })
    await answer(0)
    await Promise.all(Array.from({ length: SESSIONS }, (_, seed) => answer(seed)))
    const told = await vi.waitFor(() => {
      const [known] = a.status().peers
      const batch = known!.profile!.models?.[0]?.batch
      expect(batch?.length).toBeGreaterThan(0)
      return batch!
    }, WAIT)
    expect(told.every(({ rows, factor }) => rows > 1 && factor >= 1)).toBe(true)
    expect(await factorAtB()).toMatchObject({ rows: SESSIONS, measured_factor: expect.any(Number) as number })
    await b.stop({ drain: 0 })
    const kept = JSON.parse(await readFile(join(folder, 'b', 'state', 'measures.json'), 'utf8')) as {
      readonly models: readonly { readonly batch: readonly { readonly rows: number }[] }[]
    }
    expect(kept.models).toHaveLength(1)
    expect(kept.models[0]!.batch.map(({ rows }) => rows)).toEqual(expect.arrayContaining(told.map(({ rows }) => rows)))
  }, 120_000)
})
