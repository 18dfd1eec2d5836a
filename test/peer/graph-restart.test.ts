/** A peer that was started again, and one whose graph host died, have what a placement gives to them by themselves. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { AnyTensor } from '../../src/onnx/index.ts'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { crossing, f32, write } from '../pipeline/graph/support/models.ts'

const WIDTH = 32
const CUT = 4
const WAIT = { timeout: 20_000, interval: 25 }
let folder: string
let a: LocalPeer
let b: LocalPeer
let last: number

async function start(name: string, bootstrap: readonly string[] = []): Promise<LocalPeer> {
  return createPeer({
    home: join(folder, name),
    name,
    network: `restart-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap,
    lan: 'off',
    threads: 1,
    logLevel: 'silent',
  })
}

async function startB(): Promise<LocalPeer> {
  const peer = await start('b', a.status().peer.addresses)
  await vi.waitFor(() => {
    for (const each of [a, peer]) expect(each.status().peers).toMatchObject([{ state: 'connected' }])
  }, WAIT)
  return peer
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-graph-restart-'))
  a = await start('a')
  b = await startB()
  await a.importModel({ source: await write(folder, 'crossing.onnx', crossing(WIDTH)) })
  last = (await a.manifest('crossing')).blocks.length
}, 60_000)

afterAll(async () => {
  await Promise.all([a, b].map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

const inputs: ReadonlyMap<string, AnyTensor> = new Map([
  ['x', f32([2, WIDTH])],
  ['late', f32([2, WIDTH], 100)],
])

const own = (peer: LocalPeer): { from: number; to: number; state: string; pid: number }[] =>
  peer
    .status()
    .stages.filter((stage) => stage.peer === peer.id)
    .map(({ from, to, state, pid }) => ({ from, to, state, pid }))
const counter = (peer: LocalPeer, name: string): number => peer.status().counters[name] ?? 0
const remembered = (): Promise<string[]> => readdir(join(folder, 'b', 'state', 'graph-parts')).catch(() => [])

describe('a peer that has a part of a deployed graph', () => {
  it('loads it by itself: started again, and again, and after its host was killed', async () => {
    const stages = [
      { peer: b.id, from: 0, to: CUT },
      { peer: a.id, from: CUT, to: last },
    ]
    await a.deploy('crossing', { model: 'crossing', stages })
    const expected = await a.infer('crossing', inputs, { microBatch: 0 })
    await vi.waitFor(async () => expect(await remembered()).toHaveLength(2), WAIT)

    for (let round = 0; round < 2; round++) {
      await b.stop({ drain: 0 })
      b = await startB()
      await vi.waitFor(() => expect(own(b)).toMatchObject([{ from: 0, to: CUT, state: 'ready' }]), WAIT)
      expect(counter(b, 'graph_stages_loaded')).toBe(1)
      expect(counter(b, 'parts_opened')).toBe(0)
    }

    const { pid } = own(b)[0]!
    process.kill(pid, 'SIGKILL')
    await vi.waitFor(() => {
      expect(own(b)).toMatchObject([{ from: 0, to: CUT, state: 'ready' }])
      expect(own(b)[0]!.pid).not.toBe(pid)
    }, WAIT)
    expect(counter(b, 'stage_restarts')).toBe(1)

    // The request finds it loaded, and it is what was deployed.
    const again = await a.infer('crossing', inputs, { microBatch: 0 })
    expect([...again.outputs]).toEqual([...expected.outputs])
    expect(again.route).toMatchObject(stages)
    expect(counter(b, 'graph_stages_loaded')).toBe(2)
  }, 60_000)

  it('passes over a record that was damaged, and forgets what is not its own any more', async () => {
    const parts = join(folder, 'b', 'state', 'graph-parts')
    await b.stop({ drain: 0 })
    for (const name of await readdir(parts)) if (name.endsWith('.onnx')) await writeFile(join(parts, name), 'no graph')
    b = await startB()
    await vi.waitFor(async () => expect(await remembered()).toEqual([]), WAIT)
    expect(own(b)).toEqual([])
    await a.infer('crossing', inputs, { microBatch: 0 })
    await vi.waitFor(async () => expect(await remembered()).toHaveLength(2), WAIT)

    await a.undeploy('crossing')
    await vi.waitFor(async () => {
      expect(own(b)).toEqual([])
      expect(await remembered()).toEqual([])
    }, WAIT)
  }, 60_000)
})
