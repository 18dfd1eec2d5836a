/** Parts at peers with little memory: each gets what it has room for, those without room nothing, and all know why. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createPeer, inferModel } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { crossing, f32, write } from '../pipeline/graph/support/models.ts'

const WIDTH = 32
/** One of the eight products has 4 KiB of weights. */
const ONE_PRODUCT = 6 * 1024
let folder: string
const peers: LocalPeer[] = []

async function start(name: string, memory: number, bootstrap: readonly string[]): Promise<LocalPeer> {
  const peer = await createPeer({
    home: join(folder, name),
    name,
    network: `memory-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap,
    lan: 'off',
    threads: 1,
    memory,
    logLevel: 'error',
  })
  peers.push(peer)
  return peer
}

let [ample, little]: LocalPeer[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-infer-memory-'))
  ample = await start('ample', 2 ** 30, [])
  const addresses = ample.status().peer.addresses
  little = await start('little', ONE_PRODUCT, addresses)
  await start('none', 1, addresses)
  await vi.waitFor(
    () => {
      const seen = ample!.status().peers.filter(({ state, profile }) => state === 'connected' && profile !== null)
      expect(seen).toHaveLength(2)
    },
    { timeout: 20_000, interval: 50 },
  )
  await ample.importModel({ source: await write(folder, 'crossing.onnx', crossing(WIDTH)) })
}, 60_000)

afterAll(async () => {
  await Promise.all(peers.map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

describe('auto parts', () => {
  it('fit the memory that each peer tells, and leave out who has none', async () => {
    const inputs = new Map([
      ['x', f32([3, WIDTH])],
      ['late', f32([3, WIDTH], 100)],
    ])
    const whole = await inferModel({ home: join(folder, 'ample'), model: 'crossing', inputs, threads: 1 })
    const made = await ample!.infer('crossing', inputs, { microBatch: 0 })
    expect([...made.outputs]).toEqual([...whole.outputs])
    expect(made.route.map(({ peer }) => peer)).toEqual([ample!.id, little!.id])
    const [more, less] = made.stats.balance!.memory
    expect(less).toBeLessThanOrEqual(ONE_PRODUCT)
    expect(more).toBeGreaterThan(6 * 4096)
  }, 60_000)

  it('under a limit that no cut keeps are refused with what is needed', async () => {
    const inputs = new Map([
      ['x', f32([1, WIDTH])],
      ['late', f32([1, WIDTH], 100)],
    ])
    const refused = await ample!.infer('crossing', inputs, { memory: 1000 }).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'WEFT-INF-097', details: { parts: 3, limit: 1000 } })
  }, 60_000)
})
