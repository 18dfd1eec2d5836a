/** The channel to the next hop: open before there are rows, since opening one takes several round trips. */
import { expect, it } from 'vitest'
import { encodeControl } from '../../../src/net/index.ts'
import { RING, RING_PROTOCOL } from '../../../src/pipeline/ring/protocol.ts'
import type { RouteOpen } from '../../../src/pipeline/ring/protocol.ts'
import { SELF, settled, stageRing } from '../support/ring.ts'
import type { StageRing } from '../support/ring.ts'

/** Counts the channels that are opened to it. */
function neighbour(world: StageRing, id: string): () => number {
  let channels = 0
  world.hub.network(id).handle(RING_PROTOCOL, 'compute', () => channels++)
  world.hub.connectAll()
  return () => channels
}

it('is opened with the session, for one that follows another to take its place as well, and for another next hop', async () => {
  const world = stageRing()
  const origin = await world.stranger('origin')
  const [next, other] = [neighbour(world, 'next'), neighbour(world, 'other')]
  const over = (peer: string): Pick<RouteOpen, 'route'> => ({
    route: [
      { peer: SELF, from: 0, to: 4 },
      { peer, from: 4, to: 8 },
    ],
  })
  await origin.open({ ...over('next'), shadow: true })
  await settled()
  expect([next(), other()]).toEqual([1, 0])
  await origin.say({ type: RING.reroute, attempt: 1, control: encodeControl({ from: 0, ...over('other') }) })
  await settled()
  expect([next(), other()]).toEqual([1, 1])
})

it('to one that is not there costs the session nothing until there are rows', async () => {
  const world = stageRing()
  const origin = await world.stranger('origin')
  await origin.open({
    route: [
      { peer: SELF, from: 0, to: 4 },
      { peer: 'nobody', from: 4, to: 8 },
    ],
  })
  await settled()
  expect(origin.heard.map(({ type }) => type)).toEqual([RING.opened])
})
