/** A decoder export over two peers (`WEFT_TEST_ALL=1`): the tokens of one, caches that stay, and a peer that is lost. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateEvent, GenerateRequest } from '../../src/pipeline/index.ts'
import { llamaLike, writeDecoderFolder } from '../pipeline/graph/support/decoders.ts'

const all = process.env['WEFT_TEST_ALL'] === '1'
const WAIT = { timeout: 60_000, interval: 50 }
let folder: string
let a: LocalPeer
let b: LocalPeer

async function start(name: string, bootstrap: readonly string[]): Promise<LocalPeer> {
  return createPeer({
    home: join(folder, name),
    name,
    network: `decoder-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap,
    lan: 'off',
    threads: 1,
    logLevel: 'error',
  })
}

beforeAll(async () => {
  if (!all) return
  folder = await mkdtemp(join(tmpdir(), 'weft-decoder-mesh-'))
  a = await start('a', [])
  b = await start('b', a.status().peer.addresses)
  await vi.waitFor(() => expect(a.status().peers).toMatchObject([{ state: 'connected' }]), WAIT)
  await a.importModel({ source: await writeDecoderFolder(join(folder, 'llama'), llamaLike()), name: 'llama' })
}, 300_000)

afterAll(async () => {
  if (!all) return
  await Promise.all([a, b].map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

function request(more: Partial<GenerateRequest> = {}): GenerateRequest {
  const input = { kind: 'ids', ids: [1, 20, 33, 47, 5, 260, 281] } as const
  return { model: 'llama', input, sampling: GREEDY, maxTokens: 16, ignoreEnd: true, ...more }
}

async function over(count: number): Promise<GenerateRequest> {
  const { length } = (await a.manifest('llama')).blocks
  const half = Math.floor(length / 2)
  const stages = [
    { peer: b.id, from: 0, to: half },
    { peer: a.id, from: half, to: length },
  ]
  return request({ placement: { model: 'llama', stages }, maxTokens: count })
}

describe.skipIf(!all)('a decoder export over two peers', () => {
  it('gives the tokens of one process, and keeps its caches where they are made', async () => {
    const ends: (GenerateEvent & { readonly type: 'end' })[] = []
    for (const asked of [request(), await over(16), await over(16)]) {
      for await (const event of a.generate(asked)) if (event.type === 'end') ends.push(event)
    }
    expect(ends.map(({ ids }) => ids)).toEqual([ends[0]!.ids, ends[0]!.ids, ends[0]!.ids])
    expect(b.status().counters).toMatchObject({ parts_opened: 2, graph_stages_loaded: 1, graph_runs: 32 })
    expect(b.status().counters['state_kept']).toBeGreaterThan(0)
    await vi.waitFor(() => expect(b.status().counters['parts_freed']).toBe(2), WAIT)
  }, 300_000)

  it('ends with the peer that computes a part of it, and frees what it had here', async () => {
    const run = async (): Promise<void> => {
      for await (const event of a.generate(await over(80))) if (event.type === 'token') await b.stop({ drain: 0 })
    }
    await expect(run()).rejects.toMatchObject({ code: expect.stringMatching(/^WEFT-/) })
    await vi.waitFor(() => {
      const { parts_opened: opened, parts_freed: freed } = a.status().counters
      expect(freed).toBe(opened)
    }, WAIT)
    const told: GenerateEvent[] = []
    for await (const event of a.generate(request())) told.push(event)
    expect(told.at(-1)).toMatchObject({ type: 'end', finish: 'length' })
  }, 300_000)
})
