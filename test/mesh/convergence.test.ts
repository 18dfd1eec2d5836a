import { afterEach, describe, expect, it } from 'vitest'
import { DIGEST, createWorld, profile } from './support/make-mesh.ts'
import type { TestPeer, World } from './support/make-mesh.ts'
import { seededRandom } from './support/seeded-random.ts'

let world: World

afterEach(() => world.end())

const MODELS = ['alpha', 'beta', 'gamma']

/** All that the other rooms can see. */
function view({ mesh }: TestPeer): unknown {
  const profiles = [...mesh.profiles()].sort(([left], [right]) => (left < right ? -1 : 1))
  const holdings = [...mesh.holdings()].sort(([left], [right]) => (left < right ? -1 : 1))
  return {
    profiles: profiles.map(([id, { name, state }]) => [id, name, state]),
    holdings,
    placements: mesh.placements(),
  }
}

describe('whatever happened on the way', () => {
  it.each([1, 2, 3, 4, 5])('all peers end with the same knowledge (seed %i)', async (seed) => {
    const lots = seededRandom(seed)
    const draw = (count: number): number => Math.floor(lots.next() * count)
    world = createWorld({ delay: () => draw(40) })
    const peers: TestPeer[] = []
    for (let index = 0; index < 6; index++) peers.push(await world.peer())
    const pick = (): TestPeer => peers[draw(peers.length)]!
    let pieces = 0
    world.hub.tamper((frame) => {
      pieces += 1
      if (draw(5) === 0) return undefined
      return draw(60) === 0 ? new Error('cut') : frame
    })
    for (let step = 0; step < 60; step++) {
      const [one, other] = [pick(), pick()]
      const choice = draw(6)
      if (choice === 0 && one !== other) world.hub.connect(one.id, other.id)
      if (choice === 1) world.hub.disconnect(one.id, other.id)
      if (choice === 2) await one.mesh.publishProfile(profile(`name ${step}`))
      if (choice === 3) {
        const stages = [{ peer: other.id, from: 0, to: 1 + draw(4) }]
        await one.mesh.publishPlacement(MODELS[draw(3)]!, { digest: DIGEST, kind: 'chosen', stages })
      }
      if (choice === 4) await one.mesh.withdrawPlacement(MODELS[draw(3)]!)
      if (choice === 5) {
        await one.mesh.publishHoldings([{ model: 'alpha', digest: DIGEST, tensors: [[0, 1 + draw(9)]], stages: [] }])
      }
      await world.clock.advance(draw(400))
    }
    expect(pieces).toBeGreaterThan(50)
    world.hub.tamper(undefined)
    world.hub.connectAll()
    await world.clock.advance(45_000)
    const [first, ...rest] = peers.map(view)
    for (const other of rest) expect(other).toEqual(first)
    // And what they agree on is what each said of itself last.
    for (const peer of peers) {
      for (const other of peers) expect(other.mesh.holdings().get(peer.id)).toEqual(peer.mesh.holdings().get(peer.id))
    }
  })

  it('a burst of updates arrives whole, its last one soon', async () => {
    world = createWorld()
    const [a, b] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    await world.clock.advance(0)
    for (let step = 1; step <= 200; step++) {
      await a.mesh.publishHoldings([{ model: 'alpha', digest: DIGEST, tensors: [[0, step]], stages: [] }])
      await world.clock.advance(1)
    }
    await world.clock.advance(3000)
    expect(b.mesh.holdings().get(a.id)?.[0]?.tensors).toEqual([[0, 200]])
  })

  it('a peer that does not read holds up neither the others nor the memory of the sender', async () => {
    world = createWorld()
    const [a, b, c] = [await world.peer(), await world.peer(), await world.peer()]
    world.hub.connectAll()
    await world.clock.advance(0)
    world.hub.stall(a.id, c.id)
    for (let step = 1; step <= 30; step++) {
      await a.mesh.publishProfile(profile(`name ${step}`))
      await world.clock.advance(1)
    }
    expect(b.mesh.profiles().get(a.id)?.name).toBe('name 30')
    expect(world.hub.stalled()).toBe(1)
    world.hub.flow()
    await world.clock.advance(100)
    expect(c.mesh.profiles().get(a.id)?.name).toBe('name 30')
  })
})
