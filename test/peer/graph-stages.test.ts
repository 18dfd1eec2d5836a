/** Stages of graphs as people see them: at the peer that has them and at the others, with the requests that use them. */
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { AnyTensor } from '../../src/onnx/index.ts'
import { MemoryQuotaError } from '../../src/pipeline/index.ts'
import { createPeer, inferModel } from '../../src/peer/index.ts'
import type { LocalPeer, PeerEvent } from '../../src/peer/index.ts'
import { crossing, endless, f32, write } from '../pipeline/graph/support/models.ts'
import { isWhole } from '../whole.ts'

const WIDTH = 32
const WAIT = { timeout: 20_000, interval: 50 }
let folder: string
let a: LocalPeer
let b: LocalPeer
let last: number
const running: LocalPeer[] = []

/** All homes share what Node has compiled: a process that finds it starts in half the time, and dozens are started. */
async function homeOf(name: string): Promise<string> {
  const home = join(folder, name)
  const code = join(folder, 'code')
  for (const each of [code, home, join(home, 'cache')]) await mkdir(each, { recursive: true, mode: 0o700 })
  await symlink(code, join(home, 'cache', 'code'))
  return home
}

async function start(name: string, bootstrap: readonly string[] = []): Promise<LocalPeer> {
  const peer = await createPeer({
    home: await homeOf(name),
    name,
    network: `stages-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap,
    lan: 'off',
    threads: 1,
    logLevel: 'error',
  })
  running.push(peer)
  return peer
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-graph-stages-'))
  a = await start('a')
  b = await start('b', a.status().peer.addresses)
  for (const peer of running) {
    await vi.waitFor(() => expect(peer.status().peers).toMatchObject([{ state: 'connected' }]), WAIT)
  }
  await a.importModel({ source: await write(folder, 'crossing.onnx', crossing(WIDTH)) })
  await a.importModel({ source: await write(folder, 'endless.onnx', endless(true)) })
  last = (await a.manifest('crossing')).blocks.length
}, 60_000)

afterAll(async () => {
  await Promise.all(running.map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

const inputs = (rows: number): ReadonlyMap<string, AnyTensor> =>
  new Map([
    ['x', f32([rows, WIDTH])],
    ['late', f32([rows, WIDTH], 100)],
  ])

describe('a graph in parts at two peers', () => {
  it('is shown at both, with the process and the memory of each part, and serves nobody by itself', async () => {
    const stages = [
      { peer: a.id, from: 0, to: 4 },
      { peer: b.id, from: 4, to: last },
    ]
    const events: PeerEvent[] = []
    const stop = b.onEvent((event) => events.push(event))
    const { route } = await a.infer('crossing', inputs(2), { stages, microBatch: 0 })
    stop()
    const rows = route.map(({ peer, pid, from, to }) => ({ model: 'crossing', peer, pid, from, to, state: 'ready' }))
    for (const peer of [a, b]) {
      await vi.waitFor(() => {
        const shown = peer.status().stages.toSorted((one, other) => one.from - other.from)
        expect(shown).toMatchObject(rows)
        for (const { memory } of shown) expect(memory).toBeGreaterThan(1 << 20)
        expect(Object.keys(shown[0]!).toSorted()).toEqual(['from', 'memory', 'model', 'peer', 'pid', 'state', 'to'])
      }, WAIT)
    }
    expect(events.map(({ event }) => event)).toContain('stage.changed')
    expect(a.status().models.find(({ model }) => model === 'crossing')).toMatchObject({ covered: 0 })
    const before = a.status().counters['graph_stages_loaded']
    await a.infer('crossing', inputs(2), { stages, microBatch: 0 })
    expect(a.status().stages.filter(({ peer }) => peer === a.id)).toMatchObject([rows[0]!])
    expect(a.status().counters['graph_stages_loaded']).toBe(before)
  }, 60_000)

  it.runIf(isWhole)(
    'shows a request while it runs, and no longer',
    async () => {
      const blocks = (await a.manifest('endless')).blocks.length
      const x = new Map<string, AnyTensor>([
        ['x', f32([1])],
        ['n', { type: 'int64', dims: [], data: BigInt64Array.of(1n << 50n) }],
      ])
      const caller = new AbortController()
      const asked = a.infer('endless', x, { stages: [{ peer: b.id, from: 0, to: blocks }] }, caller.signal)
      const told = expect(asked).rejects.toThrow('enough')
      expect(a.status().requests).toMatchObject([{ model: 'endless', state: 'running', prompt_tokens: 0, tokens: 0 }])
      await vi.waitFor(() => {
        expect(a.status().stages).toContainEqual(
          expect.objectContaining({ model: 'endless', peer: b.id, state: 'ready' }),
        )
      }, WAIT)
      caller.abort(new Error('enough'))
      await told
      expect(a.status().requests).toEqual([])
      expect(a.status().stages.find(({ model }) => model === 'endless')).toMatchObject({ from: 0, to: blocks })
    },
    60_000,
  )

  it.runIf(isWhole)(
    'is gone from the list when its model is removed',
    async () => {
      expect(a.status().stages.filter(({ model, peer }) => model === 'crossing' && peer === a.id)).toHaveLength(1)
      await a.removeModel('crossing', { last: true })
      expect(a.status().stages.filter(({ model, peer }) => model === 'crossing' && peer === a.id)).toEqual([])
      const path = join(folder, 'crossing.onnx')
      await a.importModel({ source: path })
      const whole = await inferModel({ home: join(folder, 'a'), model: path, inputs: inputs(2), threads: 1 })
      const made = await a.infer('crossing', inputs(2), { microBatch: 0 })
      expect([...made.outputs]).toEqual([...whole.outputs])
    },
    60_000,
  )
})

it('float32 goes from peer to peer as float16 where that is asked for: half the bytes, and rounded values', async () => {
  const rows = 2048
  const stages = [
    { peer: a.id, from: 0, to: 2 },
    { peer: b.id, from: 2, to: last },
  ]
  const bytes = (): number => [a, b].reduce((sum, peer) => sum + (peer.status().counters['boundary_bytes'] ?? 0), 0)
  const before = bytes()
  const exact = await a.infer('crossing', inputs(rows), { stages, microBatch: 0 })
  const between = bytes()
  const half = await a.infer('crossing', inputs(rows), { stages, microBatch: 0, wire: 'f16' })
  const after = bytes()
  expect(half.route.map(({ peer }) => peer)).toEqual([a.id, b.id])
  expect(half.stats.wire).toBe('f16')
  // Of the one value that crosses: out of one host, and into the other.
  expect(between - before - (after - between)).toBe(2 * rows * WIDTH * (4 - 2))
  let differs = false
  for (const [name, tensor] of exact.outputs) {
    const [right, rounded] = [tensor.data as Float32Array, half.outputs.get(name)!.data as Float32Array]
    const largest = right.reduce((most, each) => Math.max(most, Math.abs(each)), 0)
    for (const [index, each] of right.entries()) {
      differs ||= each !== rounded[index]
      expect(Math.abs(each - rounded[index]!)).toBeLessThanOrEqual(largest * 2 ** -6)
    }
  }
  expect(differs).toBe(true)
  const again = await a.infer('crossing', inputs(rows), { stages, microBatch: 0, wire: 'f16' })
  expect([...again.outputs]).toEqual([...half.outputs])
}, 180_000)

describe('a graph that weft places', () => {
  it('is planned with its reasons, deployed where that says, and answers as the whole does', async () => {
    const plan = await a.plan('crossing', { objective: 'spread', explain: true })
    expect(plan).toMatchObject({ unit: 'run', objective: 'spread', verdict: 'split' })
    expect(new Set(plan.stages.map(({ peer }) => peer))).toEqual(new Set([a.id, b.id]))
    expect(plan.terms!.map(({ kind }) => kind)).toContain('hop')
    const deployed = await a.deploy('crossing', 'spread')
    expect(deployed.kind).toBe('chosen')
    expect(new Set(deployed.stages.map(({ peer }) => peer))).toEqual(new Set([a.id, b.id]))
    const whole = await inferModel({ home: join(folder, 'a'), model: 'crossing', inputs: inputs(3), threads: 1 })
    const made = await a.infer('crossing', inputs(3), { microBatch: 0 })
    expect([...made.outputs]).toEqual([...whole.outputs])
    expect(made.route).toMatchObject(deployed.stages)
    // So small a graph is soonest on one peer.
    expect(await a.plan('crossing')).toMatchObject({ verdict: 'do-not-split' })
    const alone = await a.deploy('crossing')
    expect(alone).toMatchObject({ kind: 'chosen', stages: [{ from: 0, to: last }] })
    await a.undeploy('crossing')
  }, 60_000)
})

describe('a graph that is deployed by hand', () => {
  const placement = (cut: number): { model: string; stages: { peer: string; from: number; to: number }[] } => ({
    model: 'crossing',
    stages: [
      { peer: b.id, from: 0, to: cut },
      { peer: a.id, from: cut, to: last },
    ],
  })
  const loaded = (peer: LocalPeer): number => peer.status().counters['graph_stages_loaded'] ?? 0
  const own = (peer: LocalPeer): readonly { from: number; to: number; pid: number }[] =>
    peer
      .status()
      .stages.filter((stage) => stage.model === 'crossing' && stage.peer === peer.id)
      .map(({ from, to, pid }) => ({ from, to, pid }))

  it('is loaded ahead, obeyed by requests that name no stages, moved, and freed', async () => {
    const whole = await inferModel({ home: join(folder, 'a'), model: 'crossing', inputs: inputs(3), threads: 1 })
    const steps: number[] = []
    const deployed = await a.deploy('crossing', placement(6), ({ done }) => steps.push(done))
    expect(deployed).toMatchObject({ schema: 'weft.placement/1', kind: 'hand', stages: placement(6).stages })
    expect(steps).toEqual([0, 1, 2])
    const before = [loaded(a), loaded(b)]
    const made = await a.infer('crossing', inputs(3), { microBatch: 0 })
    expect([...made.outputs]).toEqual([...whole.outputs])
    expect(made.route).toMatchObject(placement(6).stages)
    expect([loaded(a), loaded(b)]).toEqual(before)
    await vi.waitFor(() => {
      for (const peer of [a, b]) {
        expect(peer.status().models.find(({ model }) => model === 'crossing')).toMatchObject({ covered: last })
      }
    }, WAIT)
    // Whoever asks obeys it, and the peers of its parts need not load them again.
    const elsewhere = await b.infer('crossing', inputs(3), { microBatch: 0 })
    expect([...elsewhere.outputs]).toEqual([...whole.outputs])
    expect(elsewhere.route).toEqual(made.route)
    expect((await a.infer('crossing', inputs(3), { microBatch: 0, stages: 'auto' })).route[0]!.peer).toBe(a.id)
    await expect(a.removeModel('crossing', { last: true })).rejects.toMatchObject({ code: 'WEFT-MOD-051' })

    await a.deploy('crossing', placement(4))
    await vi.waitFor(() => {
      expect(own(b).filter(({ from, to }) => from === 0 && to === 6)).toEqual([])
      expect(own(b)).toContainEqual(expect.objectContaining({ from: 0, to: 4 }))
    }, WAIT)
    const moved = await a.infer('crossing', inputs(3), { microBatch: 0 })
    expect([...moved.outputs]).toEqual([...whole.outputs])
    expect(moved.route).toMatchObject(placement(4).stages)

    await b.undeploy('crossing')
    await vi.waitFor(() => {
      expect(own(a).filter(({ from }) => from === 4)).toEqual([])
      expect(own(b).filter(({ to }) => to === 4)).toEqual([])
      for (const peer of [a, b]) {
        expect(peer.status().models.find(({ model }) => model === 'crossing')).toMatchObject({ covered: 0 })
      }
    }, WAIT)
  }, 60_000)

  it('is not deployed where it cannot be, and what stood before still stands', async () => {
    await a.deploy('crossing', placement(4))
    const route = async (): Promise<unknown> => (await a.infer('crossing', inputs(1), { microBatch: 0 })).route
    const before = await route()
    expect(before).toMatchObject(placement(4).stages)
    const [first] = placement(4).stages
    await expect(a.deploy('crossing', { model: 'crossing', stages: [first!] })).rejects.toMatchObject({
      info: { exit: 2 },
    })
    const stranger = { model: 'crossing', stages: [{ peer: 'nobody', from: 0, to: last }] }
    await expect(a.deploy('crossing', stranger)).rejects.toMatchObject({ code: expect.stringMatching(/^WEFT-/) })
    const ended = new AbortController()
    ended.abort(new Error('enough'))
    await expect(a.deploy('crossing', placement(3), undefined, ended.signal)).rejects.toThrow('enough')
    expect(await route()).toEqual(before)
    await a.undeploy('crossing')
  }, 60_000)
})

describe('a peer with little memory', () => {
  it.runIf(isWhole)(
    'ends a host that is only kept when another needs its room, and none that is deployed',
    async () => {
      const home = await homeOf('little')
      // Weights and skeleton of one, and not of two.
      const little = await createPeer({
        home,
        offline: true,
        lan: 'off',
        memory: 60_000,
        threads: 1,
        logLevel: 'error',
      })
      running.push(little)
      await little.importModel({ source: join(folder, 'crossing.onnx') })
      const pids = (): readonly number[] => little.status().stages.map(({ pid }) => pid)
      const first = await little.infer('crossing', inputs(1), { optimization: 'off' })
      expect(pids()).toEqual([first.route[0]!.pid])
      const second = await little.infer('crossing', inputs(1), { optimization: 'basic' })
      expect(pids()).toEqual([second.route[0]!.pid])
      await little.deploy('crossing', { model: 'crossing', stages: [{ peer: little.id, from: 0, to: last }] })
      const kept = pids()
      await expect(little.infer('crossing', inputs(1), { optimization: 'off' })).rejects.toMatchObject({
        code: MemoryQuotaError.info.code,
      })
      expect(pids()).toEqual(kept)
      expect((await little.infer('crossing', inputs(1))).route).toMatchObject([{ pid: kept[0], from: 0, to: last }])
      await little.undeploy('crossing')
      expect(pids()).toEqual([])
      await little.stop({ drain: 0 })
      running.pop()
    },
    60_000,
  )
})
