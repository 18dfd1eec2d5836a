import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createWorld, DIGEST, profile } from './support/make-mesh.ts'
import type { World } from './support/make-mesh.ts'

let world: World

beforeEach(() => {
  world = createWorld()
})

afterEach(() => world.end())

const stagesOn = (peer: string): { peer: string; from: number; to: number }[] => [{ peer, from: 0, to: 4 }]

describe('what peers tell each other', () => {
  it('reaches everyone who is connected, at once', async () => {
    const [a, b, c] = [await world.peer(), await world.peer(), await world.peer()]
    world.hub.connectAll()
    await a.mesh.publishProfile(profile('anna'))
    await world.clock.advance(0)
    for (const peer of [a, b, c]) {
      expect(peer.mesh.profiles().get(a.id)).toMatchObject({ name: 'anna', addresses: [`/memory/${a.id}/p2p/${a.id}`] })
    }
    expect(b.mesh.peers().find(({ id }) => id === a.id)).toMatchObject({ name: 'anna', state: 'connected' })
    expect(b.counters.get('records_accepted')).toBe(1)
  })

  it('is caught up by who comes later, also through a peer in between', async () => {
    const [a, b, c] = [await world.peer(), await world.peer(), await world.peer()]
    await a.mesh.publishProfile(profile('anna'))
    await a.mesh.publishHoldings([{ model: 'm', digest: DIGEST, tensors: [[0, 4]], stages: [] }])
    world.hub.connect(a.id, b.id)
    await world.clock.advance(0)
    world.hub.connect(b.id, c.id)
    await world.clock.advance(0)
    expect(c.mesh.holdings().get(a.id)).toEqual([{ model: 'm', digest: DIGEST, tensors: [[0, 4]], stages: [] }])
    // Who is known only from others is dialled at the addresses that it signed.
    await world.clock.advance(0)
    expect(c.mesh.state(a.id)).toBe('connected')
  })

  it('is the newest, the second and the third time too', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    for (const name of ['one', 'two', 'three']) {
      await a.mesh.publishProfile(profile(name))
      await world.clock.advance(0)
      expect(b.mesh.profiles().get(a.id)?.name).toBe(name)
    }
  })

  it('makes no storm: a record crosses each link a bounded number of times', async () => {
    const peers = []
    for (let index = 0; index < 6; index++) peers.push(await world.peer())
    world.hub.connectAll()
    await world.clock.advance(0)
    const before = world.hub.frames()
    await peers[0]!.mesh.publishProfile(profile('anna'))
    await world.clock.advance(0)
    for (const peer of peers) expect(peer.mesh.profiles().size).toBe(1)
    // The author to five, and each of these at most to the four others.
    expect(world.hub.frames() - before).toBeLessThanOrEqual(5 + 5 * 4)
    const settled = world.hub.frames()
    await world.clock.advance(0)
    expect(world.hub.frames()).toBe(settled)
  })

  it('costs one small frame a link and direction while nothing changes', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    await a.mesh.publishHoldings([])
    await b.mesh.publishHoldings([])
    await world.clock.advance(1000)
    const before = world.hub.frames()
    await world.clock.advance(60_000)
    const rounds = world.hub.frames() - before
    expect(rounds).toBeGreaterThanOrEqual(8)
    expect(rounds).toBeLessThanOrEqual(18)
  })

  it('is made good by anti-entropy when frames were lost', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    await world.clock.advance(0)
    world.hub.tamper((frame) => (frame.type === 3 ? undefined : frame))
    await a.mesh.publishProfile(profile('anna'))
    await world.clock.advance(0)
    expect(b.mesh.profiles().get(a.id)).toBeUndefined()
    world.hub.tamper(undefined)
    await world.clock.advance(15_000)
    expect(b.mesh.profiles().get(a.id)?.name).toBe('anna')
  })

  it('goes on after the channel broke, and after the second time', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    for (const name of ['one', 'two']) {
      world.hub.tamper(() => new Error('broken'))
      await a.mesh.publishProfile(profile('lost'))
      await world.clock.advance(100)
      world.hub.tamper(undefined)
      await a.mesh.publishProfile(profile(name))
      await world.clock.advance(30_000)
      expect(b.mesh.profiles().get(a.id)?.name).toBe(name)
    }
  })

  it('heals after a partition: both sides know everything again', async () => {
    const [a, b, c] = [await world.peer(), await world.peer(), await world.peer()]
    world.hub.connectAll()
    await world.clock.advance(0)
    world.hub.disconnect(a.id, b.id)
    world.hub.disconnect(a.id, c.id)
    await a.mesh.publishPlacement('m', { digest: DIGEST, kind: 'chosen', stages: stagesOn(a.id) })
    await b.mesh.publishPlacement('m', { digest: DIGEST, kind: 'chosen', stages: stagesOn(b.id) })
    await b.mesh.publishPlacement('n', { digest: DIGEST, kind: 'hand', stages: stagesOn(c.id) })
    await world.clock.advance(0)
    world.hub.connectAll()
    await world.clock.advance(1000)
    const winner = a.id > b.id ? a.id : b.id
    for (const peer of [a, b, c]) {
      expect(peer.mesh.placement('m')).toMatchObject({ epoch: 1, author: winner })
      expect(peer.mesh.placement('n')).toMatchObject({ epoch: 1, author: b.id, kind: 'hand' })
    }
  })
})

describe('placements', () => {
  it('take the epoch above the highest that was seen', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    const first = await a.mesh.publishPlacement('m', { digest: DIGEST, kind: 'chosen', stages: stagesOn(a.id) })
    await world.clock.advance(0)
    const second = await b.mesh.publishPlacement('m', { digest: DIGEST, kind: 'hand', stages: stagesOn(b.id) })
    await world.clock.advance(0)
    expect([first.epoch, second.epoch]).toEqual([1, 2])
    expect(a.mesh.placement('m')).toEqual(second)
    expect(a.mesh.placements()).toEqual([second])
    expect(a.counters.get('placements_changed')).toBe(1)
  })

  it('are withdrawn by anybody, and stay withdrawn', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    await a.mesh.publishPlacement('m', { digest: DIGEST, kind: 'chosen', stages: stagesOn(a.id) })
    await world.clock.advance(0)
    await b.mesh.withdrawPlacement('m')
    await world.clock.advance(0)
    expect(a.mesh.placement('m')).toBeUndefined()
    await b.mesh.stop()
    world.hub.disconnect(a.id, b.id)
    await world.clock.advance(3_600_000)
    expect(a.mesh.placement('m')).toBeUndefined()
    expect(
      await a.mesh.publishPlacement('m', { digest: DIGEST, kind: 'chosen', stages: stagesOn(a.id) }),
    ).toMatchObject({ epoch: 3 })
  })

  it('survive a restart of the whole mesh', async () => {
    const a = await world.peer()
    await a.mesh.publishPlacement('m', { digest: DIGEST, kind: 'hand', stages: stagesOn(a.id) })
    await a.mesh.stop()
    await a.network.stop()
    const again = await world.peer({ identity: a.identity, files: a.files })
    expect(again.mesh.placement('m')).toMatchObject({ epoch: 1, author: a.id, kind: 'hand' })
  })

  it('with gaps are refused before they are published', async () => {
    const a = await world.peer()
    const stages = [
      { peer: a.id, from: 0, to: 2 },
      { peer: a.id, from: 3, to: 4 },
    ]
    await expect(a.mesh.publishPlacement('m', { digest: DIGEST, kind: 'hand', stages })).rejects.toMatchObject({
      code: 'WEFT-PLN-004',
    })
    expect(a.mesh.placements()).toEqual([])
  })
})

describe('who is there', () => {
  it('is told once at joining and once at leaving', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    await world.clock.advance(0)
    world.hub.disconnect(a.id, b.id)
    await world.clock.advance(0)
    expect(a.events.filter((event) => !event.startsWith('changed'))).toEqual([`joined ${b.id}`, `left ${b.id} false`])
    expect(a.mesh.state(b.id)).toBe('away')
  })

  it('is known at once when a peer says goodbye, before its connection ends', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    await b.mesh.publishProfile(profile('ben'))
    await world.clock.advance(0)
    await b.mesh.stop()
    await world.clock.advance(0)
    expect(a.events).toContain(`left ${b.id} true`)
    expect(a.mesh.state(b.id)).toBe('away')
    world.hub.disconnect(a.id, b.id)
    expect(a.events.filter((event) => event.startsWith('left'))).toHaveLength(1)
    expect(a.mesh.peers()).toMatchObject([{ id: b.id, name: 'ben', state: 'away' }])
  })

  it('has no stages while it is away: its disk is as it was, its processes nobody can reach', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    const stages = [{ from: 0, to: 4, pid: 1, memory: 1, state: 'ready' }] as const
    await b.mesh.publishHoldings([{ model: 'm', digest: DIGEST, tensors: [[0, 4]], stages }])
    world.hub.connectAll()
    await world.clock.advance(0)
    expect(a.mesh.holdings().get(b.id)).toMatchObject([{ tensors: [[0, 4]], stages }])
    world.hub.disconnect(a.id, b.id)
    expect(a.mesh.holdings().get(b.id)).toMatchObject([{ tensors: [[0, 4]], stages: [] }])
    expect(b.mesh.holdings().get(b.id)).toMatchObject([{ stages }])
  })

  it('is draining when the profile says so', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    await b.mesh.publishProfile(profile('ben', { state: 'draining' }))
    await world.clock.advance(0)
    expect(a.mesh.state(b.id)).toBe('draining')
    expect(a.mesh.peers()[0]?.state).toBe('draining')
  })

  it('is forgotten after a quarter of an hour, and not told again by those who forget later', async () => {
    const [a, b, c] = [await world.peer(), await world.peer(), await world.peer()]
    world.hub.connectAll()
    await c.mesh.publishProfile(profile('cleo'))
    await world.clock.advance(0)
    world.hub.disconnect(a.id, c.id)
    await world.clock.advance(60_000)
    world.hub.disconnect(b.id, c.id)
    await c.network.stop()
    await world.clock.advance(5 * 60_000)
    expect(a.mesh.peers().map(({ id }) => id)).toContain(c.id)
    await world.clock.advance(12 * 60_000)
    for (const peer of [a, b]) expect(peer.mesh.peers().map(({ id }) => id)).not.toContain(c.id)
    await world.clock.advance(10 * 60_000)
    for (const peer of [a, b]) expect(peer.mesh.profiles().has(c.id)).toBe(false)
  })

  it('is remembered while a peer lives, however long nothing else changes', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    await b.mesh.publishProfile(profile('ben'))
    await b.mesh.publishHoldings([])
    await world.clock.advance(3_600_000)
    expect(a.mesh.profiles().has(b.id)).toBe(true)
    expect(a.mesh.holdings().has(b.id)).toBe(true)
  })

  it('comes back with all that it says, also the second time', async () => {
    const [a, b] = [await world.peer(), await world.peer()]
    await b.mesh.publishProfile(profile('ben'))
    // Said once: unlike the profile it is not said again as a heartbeat.
    await b.mesh.publishHoldings([])
    for (let time = 0; time < 2; time++) {
      world.hub.connectAll()
      await world.clock.advance(100)
      expect(a.mesh.profiles().get(b.id)?.name).toBe('ben')
      expect(a.mesh.holdings().has(b.id)).toBe(true)
      world.hub.disconnect(a.id, b.id)
      await world.clock.advance(20 * 60_000)
      expect(a.mesh.profiles().has(b.id)).toBe(false)
    }
  })
})
