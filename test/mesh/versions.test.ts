import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MESH_PROTOCOL, recordFrame } from '../../src/mesh/gossip-wire.ts'
import { sealRecord } from '../../src/mesh/records.ts'
import { createWorld, DIGEST, profile } from './support/make-mesh.ts'
import type { World } from './support/make-mesh.ts'

let world: World

beforeEach(() => {
  world = createWorld()
})

afterEach(() => world.end())

describe('versions', () => {
  it('rise across a restart, also when the clock has gone back', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    await a.mesh.publishProfile(profile('before'))
    await world.clock.advance(0)
    await a.mesh.stop()
    await a.network.stop()
    world.hub.disconnect(a.id, b.id)
    world.clock.setWall(Date.UTC(2026, 5, 1))
    const again = await world.peer({ identity: a.identity, files: a.files })
    await again.mesh.publishProfile(profile('after'))
    world.hub.connectAll()
    await world.clock.advance(100)
    expect(b.mesh.profiles().get(a.id)).toMatchObject({ name: 'after', state: 'running' })
  })

  it('are learnt again from others when the home was lost', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    await a.mesh.publishProfile(profile('before'))
    await a.mesh.announceManifest(MANIFEST)
    await world.clock.advance(0)
    expect(b.mesh.manifests()).toMatchObject([{ model: 'tiny', holders: [a.id], blocks: 1 }])
    await a.mesh.stop()
    await a.network.stop()
    world.hub.disconnect(a.id, b.id)
    world.clock.setWall(Date.UTC(2026, 5, 1))
    const again = await world.peer({ identity: a.identity })
    await again.mesh.publishProfile(profile('after'))
    world.hub.connectAll()
    await world.clock.advance(1000)
    expect(b.mesh.profiles().get(a.id)?.name).toBe('after')
    // What it no longer holds it takes back.
    expect(b.mesh.manifests()).toEqual([])
  })
})

describe('a second peer with the same identity', () => {
  it('makes no storm: what it says of us is answered now and then', async () => {
    const peers = [await world.peer(), await world.peer(), await world.peer()]
    const [small, other, a] = peers.sort((left, right) => (left.id < right.id ? -1 : 1))
    if (small === undefined || other === undefined || a === undefined) throw new Error('three peers')
    world.hub.connectAll()
    await a.mesh.publishProfile(profile('we'))
    await world.clock.advance(0)
    // The twin speaks through one of the others.
    for (let time = 1; time <= 8; time++) {
      const version = world.clock.wall() + time * 1000
      const body = { ...profile('twin'), addresses: [] }
      const { bytes } = await sealRecord(a.identity, { kind: 'profile', key: '', version, body })
      const channel = await small.network.open(a.id, MESH_PROTOCOL)
      channel.onFrame(() => undefined)
      await channel.send(recordFrame(bytes, 0))
      await world.clock.advance(10)
    }
    // The first word, and one answer.
    expect(a.events.filter((event) => event === `changed profile  ${a.id}`)).toHaveLength(2)
    await world.clock.advance(45_000)
    for (const peer of [small, other]) expect(peer.mesh.profiles().get(a.id)?.name).toBe('we')
  })
})

const MANIFEST = {
  schema: 'weft.manifest/1',
  model: 'tiny',
  digest: DIGEST,
  license: 'MIT',
  source: '',
  boundary: 'f16',
  tokenizer: { address: '', bytes: 0 },
  shape: {} as never,
  blocks: [{ kind: 'decoder', tensors: [], weights: 'auto', bytes: 0, memory: 0, flops: 0, kv_bytes: 0 }],
} as const
