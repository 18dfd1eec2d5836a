/** Records that go several in a frame, go on together in a large mesh, and are asked of one peer, not of all. */
import { array, assert, integer, property, record, uint8Array } from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { batchFrame, readBatch } from '../../src/mesh/gossip-batch.ts'
import type { GossipLink } from '../../src/mesh/gossip-link.ts'
import { GOSSIP, MESH_PROTOCOL } from '../../src/mesh/gossip-wire.ts'
import { FULL_MESH, LARGE_FORWARD_FANOUT, MAX_BATCH_BYTES, PASS_ON_MS } from '../../src/mesh/limits.ts'
import { createPassingOn } from '../../src/mesh/passing-on.ts'
import { sealRecord } from '../../src/mesh/records.ts'
import { DTYPE, frame } from '../../src/net/index.ts'
import type { Frame } from '../../src/net/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { createWorld, DIGEST, profile } from './support/make-mesh.ts'
import type { TestPeer, World } from './support/make-mesh.ts'
import { seededRandom } from './support/seeded-random.ts'
import { virtualClock } from './support/virtual-clock.ts'

describe('a frame of several records', () => {
  const records = array(
    record({ bytes: uint8Array({ minLength: 1, maxLength: 200 }), age: integer({ min: 0, max: 1e6 }) }),
  )

  it('is read as it was written, ages in seconds', () => {
    assert(
      property(records, (written) => {
        const ages = written.map(({ bytes, age }) => ({ bytes, age: 1000 * Math.round(age / 1000) }))
        expect(readBatch(batchFrame(written).payload)).toEqual(ages)
      }),
    )
  })

  it('is none when it is cut, claims more than there is, holds nothing, or is too long', () => {
    const { payload } = batchFrame([
      { bytes: new Uint8Array(5), age: 0 },
      { bytes: new Uint8Array(7), age: 0 },
    ])
    for (let length = 1; length < payload.length; length++)
      expect(readBatch(payload.subarray(0, length)) === undefined).toBe(length !== 13)
    const changed = (at: number, value: number): Uint8Array => payload.with(at, value)
    for (const bytes of [changed(0, 0), changed(0, 6), changed(3, 255), new Uint8Array(MAX_BATCH_BYTES + 1)])
      expect(readBatch(bytes)).toBeUndefined()
  })
})

describe('what goes on in a large mesh', () => {
  const named = Array.from({ length: 40 }, (_, index) => `peer ${index}`)

  function passing(): { clock: ReturnType<typeof virtualClock>; add: (id: string) => void; told: [string, number][] } {
    const clock = virtualClock()
    const told: [string, number][] = []
    const links = named.map((peer) => ({ peer, push: (...ids: string[]) => told.push([peer, ids.length]) }))
    const passingOn = createPassingOn({
      clock,
      random: seededRandom(1),
      links: () => links as unknown as GossipLink[],
    })
    return { clock, told, add: (id) => passingOn.add(id, 'peer 0', 'peer 1') }
  }

  it('does not wait after silence; what follows goes together, to the same few', async () => {
    const { clock, told, add } = passing()
    add('first')
    await clock.advance(0)
    const first = told.filter(([, count]) => count > 0)
    expect(first).toHaveLength(LARGE_FORWARD_FANOUT)
    told.length = 0
    for (let each = 0; each < 50; each++) add(`next ${each}`)
    await clock.advance(PASS_ON_MS - 1)
    expect(told).toEqual([])
    await clock.advance(1)
    expect(told.filter(([, count]) => count > 0).map(([, count]) => count)).toEqual([50, 50, 50, 50])
  })

  it('does not go to its author, nor back to who has sent it', async () => {
    const { clock, told, add } = passing()
    for (let each = 0; each < 200; each++) {
      add(`record ${each}`)
      await clock.advance(PASS_ON_MS)
    }
    const reached = new Set(told.filter(([, count]) => count > 0).map(([peer]) => peer))
    expect([...reached].sort()).toEqual(named.slice(2).sort())
  })
})

let world: World
beforeEach(() => {
  world = createWorld()
})
afterEach(() => world.end())

/** Frames to a peer that carry records, and how many those are. */
function watched(peer: TestPeer): { frames: number; records: number } {
  const seen = { frames: 0, records: 0 }
  const countOf = ({ type, payload }: Frame): number =>
    type === GOSSIP.record ? 1 : type === GOSSIP.records ? readBatch(payload)!.length : 0
  world.hub.tamper((message, _from, to) => {
    const count = to === peer.id ? countOf(message) : 0
    seen.records += count
    seen.frames += Number(count > 0)
    return message
  })
  return seen
}

async function placed(peer: TestPeer, models: number): Promise<void> {
  const stages = [{ peer: peer.id, from: 0, to: 1 }]
  for (let model = 0; model < models; model++)
    await peer.mesh.publishPlacement(`model ${model}`, { digest: DIGEST, kind: 'chosen', stages })
}

describe('two peers of which one knows much', () => {
  it('need few frames for it', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    await placed(a, 100)
    const seen = watched(b)
    world.hub.connectAll()
    await world.clock.advance(1_000)
    expect(b.mesh.placements()).toHaveLength(100)
    expect(seen.records).toBe(100)
    expect(seen.frames).toBeLessThan(10)
  })

  it('need a frame for each record with one of the version before, which says nothing of several', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    await placed(a, 100)
    let records = 0
    world.hub.tamper((message) => {
      if (message.type === GOSSIP.records) return undefined
      records += Number(message.type === GOSSIP.record)
      return message
    })
    world.hub.connectAll()
    // Each frame takes a turn of the real loop.
    while (b.mesh.placements().length < 100) await world.clock.advance(5)
    expect(records).toBeGreaterThanOrEqual(100)
  })
})

describe('a newcomer', () => {
  it.each([
    [FULL_MESH + 40, 1],
    [20, 6],
  ])('asks for %i records so often: %i', async (models, times) => {
    const [a, b, c] = [await world.peer(), await world.peer(), await world.peer()]
    world.hub.connectAll()
    await placed(a, models)
    await world.clock.advance(20_000)
    for (const peer of [b, c]) expect(peer.mesh.placements()).toHaveLength(models)
    const d = await world.peer()
    const seen = watched(d)
    world.hub.connectAll()
    // Each frame takes a turn of the real loop.
    for (let turn = 0; turn < 10; turn++) await world.clock.advance(50)
    expect(d.mesh.placements()).toHaveLength(models)
    expect(seen.records).toBeGreaterThanOrEqual(times * models)
    expect(seen.records).toBeLessThan((times + 0.5) * models)
  })
})

describe('what is hostile in a frame of several', () => {
  it('ends the channel: bytes that are no records, and one forged among good ones', async () => {
    const [small, big] = [await world.peer(), await world.peer()].sort((one, other) => (one.id < other.id ? -1 : 1))
    world.hub.connectAll()
    await world.clock.advance(0)
    const [author, other] = [newIdentity(), newIdentity()]
    const body = { ...profile('a'), addresses: [] }
    const behind = (await sealRecord(other, { kind: 'profile', key: '', version: world.clock.wall(), body })).bytes
    const seal = async (version: number): Promise<Uint8Array> =>
      (await sealRecord(author, { kind: 'profile', key: '', version, body })).bytes
    const bytes = await seal(world.clock.wall())
    const newer = await seal(world.clock.wall() + 1)
    const forged = newer.with(0, newer[0]! ^ 1)
    const junk = Uint8Array.of(1, 2, 3)
    for (const bad of [
      frame({ type: GOSSIP.records, dtype: DTYPE.bytes, dims: [junk.length], payload: junk }),
      batchFrame([
        { bytes, age: 0 },
        { bytes: forged, age: 0 },
        { bytes: behind, age: 0 },
      ]),
    ]) {
      const channel = await small!.network.open(big!.id, MESH_PROTOCOL)
      channel.onFrame(() => undefined)
      await channel.send(bad)
      await world.clock.advance(10)
      await expect(channel.closed).resolves.toBeInstanceOf(Error)
    }
    expect(big!.mesh.profiles().get(author.id)?.name).toBe('a')
    expect(big!.mesh.profiles().has(other.id)).toBe(false)
  })
})
