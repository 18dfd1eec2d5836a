/** Who is taken for there: in a mesh in which all are connected to all, and in one where others tell of most. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLiveness } from '../../src/mesh/liveness.ts'
import type { Liveness } from '../../src/mesh/liveness.ts'
import type { Network } from '../../src/net/index.ts'
import { heartbeatMs } from '../../src/mesh/index.ts'
import { drawn } from '../../src/mesh/shuffle.ts'
import { createWorld, profile } from './support/make-mesh.ts'
import { seededRandom } from './support/seeded-random.ts'
import type { TestPeer, World } from './support/make-mesh.ts'

let world: World
beforeEach(() => {
  world = createWorld()
})
afterEach(() => world.end())

describe('a mesh of some', () => {
  it('is connected each to each, whoever knew whom', async () => {
    const peers: TestPeer[] = []
    for (let index = 0; index < 20; index++) {
      const peer = await world.peer()
      await peer.mesh.publishProfile(profile(`peer ${index}`))
      for (const other of [peers[0], peers[index - 1]]) if (other !== undefined) world.hub.connect(peer.id, other.id)
      peers.push(peer)
    }
    await world.clock.advance(5_000)
    expect(new Set(peers.map(({ network }) => network.connected().length))).toEqual(new Set([19]))
  })
})

interface Scene {
  readonly other: string
  readonly liveness: Liveness
  /** Others tell of it now. */
  readonly hear: () => void
  readonly goes: () => void
  readonly comes: () => void
}

describe('of a peer that is not connected', () => {
  /** A peer of the same mesh that is told of by others: when it was heard of last. */
  const scene = async (): Promise<Scene> => {
    const [own, other] = [world.hub.network('own'), world.hub.network('other')]
    let heardAt = -Infinity
    const liveness = createLiveness(
      {
        network: own,
        clock: world.clock,
        isDraining: () => false,
        isToldOf: (_peer, after) => heardAt > after && world.clock.now() - heardAt < 60_000,
      },
      { joined: () => undefined, left: () => undefined },
    )
    liveness.start()
    return {
      other: other.id,
      liveness,
      hear: () => void (heardAt = world.clock.now()),
      goes: () => world.hub.disconnect('own', 'other'),
      comes: () => world.hub.connect('own', 'other'),
    }
  }

  it('a dial that was begun before it was removed makes it connecting no more', async () => {
    const own = world.hub.network('own')
    const removed = new Set<string>()
    const told: ((peer: string) => void)[] = []
    const network = {
      ...own,
      connected: () => [],
      on: (listeners: { connecting?: (peer: string) => void }) => {
        told.push(listeners.connecting!)
        return () => undefined
      },
    } as Network
    const needs = { network, clock: world.clock, isDraining: () => false, isToldOf: () => false }
    const liveness = createLiveness(
      { ...needs, isRemoved: (peer) => removed.has(peer) },
      { joined: () => undefined, left: () => undefined },
    )
    liveness.start()
    for (const tell of told) tell('somebody')
    expect([liveness.state('somebody'), liveness.known()]).toEqual(['connecting', ['somebody']])
    removed.add('somebody')
    expect([liveness.state('somebody'), liveness.known()]).toEqual(['away', []])
  })

  it('what others tell counts, as long as they do', async () => {
    const { liveness, other, hear } = await scene()
    expect([liveness.state(other), liveness.isThere(other)]).toEqual(['away', false])
    hear()
    expect([liveness.state(other), liveness.isThere(other), liveness.isConnected(other)]).toEqual([
      'connected',
      true,
      false,
    ])
    await world.clock.advance(60_000)
    expect(liveness.state(other)).toBe('away')
  })

  it('and was, nothing that was told before counts: it is away until it is heard of again', async () => {
    const { liveness, other, hear, goes, comes } = await scene()
    comes()
    hear()
    expect(liveness.isConnected(other)).toBe(true)
    goes()
    expect(liveness.state(other)).toBe('away')
    await world.clock.advance(1_000)
    hear()
    expect(liveness.state(other)).toBe('connected')
    liveness.stop()
  })
})

describe('a large mesh', () => {
  it('says as often that it lives as one of 200, whatever its size', () => {
    const rates = [200, 500, 1000].map((peers) => peers / heartbeatMs(peers))
    for (const rate of rates) expect(rate).toBeCloseTo(200 / 30_000, 10)
    expect([1, 64, 200].map(heartbeatMs)).toEqual([30_000, 30_000, 30_000])
  })

  it('draws whom it tells: each once, and all alike', () => {
    const random = seededRandom(1)
    const items = Array.from({ length: 40 }, (_, index) => index)
    const counts = new Map<number, number>()
    for (let round = 0; round < 2_000; round++) {
      const lots = drawn(items, 4, random)
      expect(new Set(lots).size).toBe(4)
      for (const lot of lots) counts.set(lot, (counts.get(lot) ?? 0) + 1)
    }
    // 200 each, give or take what chance gives.
    for (const item of items) expect(Math.abs((counts.get(item) ?? 0) - 200)).toBeLessThan(80)
    expect(new Set(drawn(items, 30, random)).size).toBe(30)
    expect(drawn(items, 50, random).toSorted((one, other) => one - other)).toEqual(items)
  })
})
