/** A model in parts at three peers, over real connections: the bits of the whole, who fetched what, and who is lost. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { GraphManifest } from '../../src/models/index.ts'
import type { AnyTensor } from '../../src/onnx/index.ts'
import { createPeer, inferModel } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { crossing, endless, f32, recurrent, write } from '../pipeline/graph/support/models.ts'
import { isWhole } from '../whole.ts'

const WIDTH = 32
let folder: string
const peers: LocalPeer[] = []
const counters = (peer: LocalPeer): Readonly<Record<string, number>> => peer.status().counters

async function join_(name: string, bootstrap: readonly string[]): Promise<LocalPeer> {
  const peer = await createPeer({
    home: join(folder, name),
    name,
    network: `infer-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap,
    lan: 'off',
    threads: 1,
    logLevel: 'error',
  })
  peers.push(peer)
  return peer
}

let [a, b, c]: LocalPeer[] = []
let crossings: GraphManifest

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-infer-mesh-'))
  a = await join_('a', [])
  const addresses = a.status().peer.addresses
  b = await join_('b', addresses)
  c = await join_('c', addresses)
  await vi.waitFor(
    () => {
      for (const peer of peers) expect(peer.status().peers.filter(({ state }) => state === 'connected')).toHaveLength(2)
    },
    { timeout: 20_000, interval: 50 },
  )
  await a.importModel({ source: await write(folder, 'crossing.onnx', crossing(WIDTH)) })
  await a.importModel({ source: await write(folder, 'recurrent.onnx', recurrent()) })
  await a.importModel({ source: await write(folder, 'endless.onnx', endless(true)) })
  crossings = (await a.manifest('crossing')) as GraphManifest
}, 60_000)

afterAll(async () => {
  await Promise.all(peers.map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

const inputs = (rows: number): ReadonlyMap<string, AnyTensor> =>
  new Map([
    ['x', f32([rows, WIDTH])],
    ['late', f32([rows, WIDTH], 100)],
  ])

function forEver(): ReadonlyMap<string, AnyTensor> {
  return new Map<string, AnyTensor>([
    ['x', f32([1])],
    ['n', { type: 'int64', dims: [], data: BigInt64Array.of(1n << 50n) }],
  ])
}

describe('a model in parts at three peers', () => {
  it('gives the bits of the whole, each peer with the weights of its own part and no more', async () => {
    const whole = await inferModel({ home: join(folder, 'a'), model: 'crossing', inputs: inputs(3), threads: 1 })
    const made = await a!.infer('crossing', inputs(3), { microBatch: 0 })
    expect([...made.outputs]).toEqual([...whole.outputs])
    expect(new Set(made.route.map(({ peer }) => peer))).toEqual(new Set(peers.map(({ id }) => id)))
    expect(made.route.map(({ from }) => from)).toEqual([0, ...made.route.slice(0, -1).map(({ to }) => to)])
    expect(new Set(made.route.map(({ pid }) => pid)).size).toBe(3)
    expect(made.stats.counters['bytes_sent']).toBeGreaterThan(0)
    for (const peer of [b!, c!]) {
      expect(counters(peer)).toMatchObject({ parts_opened: 1, graph_stages_loaded: 1, graph_runs: 1 })
    }
    for (const peer of [b!, c!]) {
      const [, { from, to }] = made.route.map((hop) => [hop.peer, hop] as const).find(([id]) => id === peer.id)!
      const own = new Set(
        crossings.blocks.slice(from, to).flatMap(({ tensors }) => tensors.map(({ address }) => address)),
      )
      const store = await createBlobStore({ directory: join(peer.home, 'store'), readOnly: true })
      const held: string[] = []
      for await (const { address } of store.list()) held.push(address)
      expect(held.length).toBeGreaterThan(0)
      expect(held.filter((address) => !own.has(address))).toEqual([])
    }
    const again = await a!.infer('crossing', inputs(3), { microBatch: 0 })
    expect([...again.outputs]).toEqual([...whole.outputs])
    expect(again.route.map(({ pid }) => pid)).toEqual(made.route.map(({ pid }) => pid))
    expect(counters(b!)).toMatchObject({ parts_opened: 2, graph_stages_loaded: 1, graph_runs: 2 })
    await vi.waitFor(() => expect(counters(b!)['parts_freed']).toBe(2))
  }, 60_000)

  it.runIf(isWhole)(
    'obeys a placement by hand, and fills the parts with micro-batches',
    async () => {
      const last = crossings.blocks.length
      const stages = [
        { peer: c!.id, from: 0, to: 4 },
        { peer: b!.id, from: 4, to: last },
      ]
      const whole = await inferModel({ home: join(folder, 'a'), model: 'crossing', inputs: inputs(40), threads: 1 })
      const made = await a!.infer('crossing', inputs(40), { stages })
      expect([...made.outputs]).toEqual([...whole.outputs])
      expect(made.route).toMatchObject([
        { peer: c!.id, from: 0, to: 4 },
        { peer: b!.id, from: 4, to: last },
      ])
      expect(made.stats).toMatchObject({ kind: 'micro-batches', batch_equal: true, units: 8 })
      await expect(a!.infer('crossing', inputs(1), { stages: [stages[0]!] })).rejects.toMatchObject({
        info: { exit: 2 },
      })
    },
    60_000,
  )

  it.runIf(isWhole)(
    'carries state across peers, frame by frame',
    async () => {
      const request = {
        carries: [
          ['p_out', 'p_in'],
          ['q_out', 'q_in'],
        ] as const,
        parts: 2,
      }
      const x = new Map([['x', f32([6, 1, 8])]])
      const whole = await inferModel({
        home: join(folder, 'a'),
        model: 'recurrent',
        inputs: x,
        carries: request.carries,
        threads: 1,
      })
      const made = await a!.infer('recurrent', x, request)
      expect([...made.outputs]).toEqual([...whole.outputs])
      expect(made.stats).toMatchObject({ kind: 'frames', units: 6, parts: 2 })
    },
    60_000,
  )

  it('tells mistakes and failures under their own codes', async () => {
    await expect(a!.infer('crossing', new Map())).rejects.toMatchObject({ code: 'WEFT-INF-100' })
    await expect(a!.infer('nothing', new Map())).rejects.toMatchObject({ code: 'WEFT-MOD-050' })
    const late = new Map([
      ['x', f32([3, WIDTH])],
      ['late', f32([4, WIDTH])],
    ])
    await expect(a!.infer('crossing', late, { microBatch: 0 })).rejects.toMatchObject({
      code: expect.stringMatching(/^WEFT-INF-/),
    })
    const x = forEver()
    const stages = [{ peer: b!.id, from: 0, to: ((await a!.manifest('endless')) as GraphManifest).blocks.length }]
    await expect(a!.infer('endless', x, { stages, deadline: 1_500 })).rejects.toMatchObject({ code: 'WEFT-INF-032' })
    const caller = new AbortController()
    const running = a!.infer('endless', x, { stages }, caller.signal)
    caller.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
  }, 60_000)

  it('a peer that goes away in the middle is replaced by the one that asks', async () => {
    const stages = [{ peer: c!.id, from: 0, to: ((await a!.manifest('endless')) as GraphManifest).blocks.length }]
    const before = counters(c!)['parts_opened']!
    const own = counters(a!)
    const enough = new AbortController()
    const running = a!.infer('endless', forEver(), { stages }, enough.signal)
    const told = expect(running).rejects.toThrow('enough')
    await vi.waitFor(() => expect(counters(c!)['parts_opened']).toBe(before + 1), { timeout: 20_000, interval: 20 })
    await c!.stop({ drain: 0 })
    await vi.waitFor(() => expect(counters(a!)['parts_opened']).toBe((own['parts_opened'] ?? 0) + 1), {
      timeout: 20_000,
    })
    expect(counters(a!)['failovers']).toBe((own['failovers'] ?? 0) + 1)
    enough.abort(new Error('enough'))
    await told
    expect((await a!.infer('crossing', inputs(2))).route).toHaveLength(2)
  }, 60_000)
})
