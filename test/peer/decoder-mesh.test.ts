/**
 * Graphs that read text, over two peers: a decoder export gives the tokens of one and its caches stay, an encoder's
 * vectors; with `WEFT_TEST_ALL=1` longer, and with a peer that is lost.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateEvent, GenerateRequest, PlacementFile } from '../../src/pipeline/index.ts'
import { writeEncoderFolder } from '../models/support/tiny-encoder.ts'
import { llamaLike, writeDecoderFolder } from '../pipeline/graph/support/decoders.ts'
import { isWhole } from '../whole.ts'

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
  folder = await mkdtemp(join(tmpdir(), 'weft-decoder-mesh-'))
  a = await start('a', [])
  b = await start('b', a.status().peer.addresses)
  await vi.waitFor(() => expect(a.status().peers).toMatchObject([{ state: 'connected' }]), WAIT)
  const source = await writeDecoderFolder(join(folder, 'llama'), llamaLike())
  await a.importModel({ source, name: 'llama' })
}, 300_000)

afterAll(async () => {
  await Promise.all([a, b].map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

function request(more: Partial<GenerateRequest> = {}): GenerateRequest {
  const input = { kind: 'ids', ids: [1, 20, 33, 47, 5, 260, 281] } as const
  return { model: 'llama', input, sampling: GREEDY, maxTokens: 16, ignoreEnd: true, ...more }
}

async function halves(model: string): Promise<PlacementFile> {
  const { length } = (await a.manifest(model)).blocks
  const half = Math.floor(length / 2)
  const stages = [
    { peer: b.id, from: 0, to: half },
    { peer: a.id, from: half, to: length },
  ]
  return { model, stages }
}

async function over(count: number): Promise<GenerateRequest> {
  return request({ placement: await halves('llama'), maxTokens: count })
}

describe('a decoder export over two peers', () => {
  const TOKENS = isWhole ? 16 : 4

  it('gives the tokens of one process, and keeps its caches where they are made', async () => {
    const ends: (GenerateEvent & { readonly type: 'end' })[] = []
    for (const asked of [request({ maxTokens: TOKENS }), await over(TOKENS), await over(TOKENS)]) {
      for await (const event of a.generate(asked)) if (event.type === 'end') ends.push(event)
    }
    expect(ends[0]!.ids).toHaveLength(TOKENS)
    expect(ends.map(({ ids }) => ids)).toEqual([ends[0]!.ids, ends[0]!.ids, ends[0]!.ids])
    expect(b.status().counters).toMatchObject({ parts_opened: 2, graph_stages_loaded: 1, graph_runs: 2 * TOKENS })
    expect(b.status().counters['state_kept']).toBeGreaterThan(0)
    await vi.waitFor(() => expect(b.status().counters['parts_freed']).toBe(2), WAIT)
  }, 300_000)
})

describe('an encoder over two peers', () => {
  it.runIf(isWhole)(
    'gives the vectors of one, the first time and the second, and both have run a part of it',
    async () => {
      await a.importModel({ source: await writeEncoderFolder(join(folder, 'encoder')) })
      const texts = ['the sea is blue', 'dog']
      const one = await a.embed('encoder', texts)
      const { stages } = await halves('encoder')
      const before = b.status().counters['graph_runs']!
      for (let round = 1; round <= 2; round++) {
        const two = await a.embed('encoder', texts, { stages })
        expect(two.route.map(({ peer }) => peer)).toEqual([b.id, a.id])
        for (const [index, vector] of two.vectors.entries()) {
          for (const [at, value] of vector.entries()) expect(value).toBeCloseTo(one.vectors[index]![at]!, 5)
        }
        expect(b.status().counters['graph_runs']! - before).toBe(texts.length * round)
      }
    },
    300_000,
  )
})

describe('a decoder export whose peer is lost', () => {
  it('goes on at home with the same text, each token once, and frees what it had here', async () => {
    const expected: GenerateEvent[] = []
    for await (const event of a.generate(request({ maxTokens: 40 }))) expected.push(event)
    const events: GenerateEvent[] = []
    const before = a.status().counters
    for await (const event of a.generate(await over(40))) {
      events.push(event)
      if (events.filter(({ type }) => type === 'token').length === 8) void b.stop({ drain: 0 })
    }
    const ids = (all: readonly GenerateEvent[]): readonly number[] =>
      all.flatMap((event) => (event.type === 'token' ? [event.id] : []))
    expect(ids(events)).toEqual(ids(expected))
    const [rerouted] = events.filter((event) => event.type === 'reroute')
    expect(rerouted).toMatchObject({ lost: [b.id], exact: true, route: [{ peer: a.id }, { peer: a.id }] })
    expect(a.status().counters['failovers']).toBe((before['failovers'] ?? 0) + 1)
    expect(a.status().counters['replayed_rows']).toBeGreaterThan((before['replayed_rows'] ?? 0) + 8)
    await vi.waitFor(() => {
      const { parts_opened: opened, parts_freed: freed } = a.status().counters
      expect(freed).toBe(opened)
    }, WAIT)
    const told: GenerateEvent[] = []
    for await (const event of a.generate(request())) told.push(event)
    expect(told.at(-1)).toMatchObject({ type: 'end', finish: 'length' })
  }, 300_000)
})
