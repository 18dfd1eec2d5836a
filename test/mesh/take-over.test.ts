/** Placements of a member that was removed: they stand for all alike, after a restart too, until another takes their place. */
import { afterEach, expect, test } from 'vitest'
import type { MeshPlacement } from '../../src/mesh/index.ts'
import type { Membership } from '../../src/net/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { createWorld } from './support/make-mesh.ts'
import type { TestPeer, World } from './support/make-mesh.ts'

let world: World
afterEach(() => world.end())

const DIGEST = 'ab'.repeat(32)
const stages = [{ peer: 'origin', from: 0, to: 2 }]
const said = ({ mesh }: TestPeer): MeshPlacement | undefined => mesh.placement('m')

/** `place`: who may. */
function members(place: (peer: string) => boolean): { readonly membership: Membership; readonly removed: Set<string> } {
  const removed = new Set<string>()
  const isIn = (peer: string): boolean => !removed.has(peer)
  return {
    removed,
    membership: {
      epoch: 1,
      isRemoved: (peer) => removed.has(peer),
      admits: (peer, purpose) => isIn(peer) && (purpose !== 'place' || place(peer)),
    },
  }
}

test('one of those that stay says it again as its own, and who comes later and who restarts see the same', async () => {
  world = createWorld()
  const { membership, removed } = members(() => true)
  const [a, b, c] = [
    await world.peer({ membership }),
    await world.peer({ membership }),
    await world.peer({ membership }),
  ]
  world.hub.connect(a.id, b.id)
  world.hub.connect(a.id, c.id)
  world.hub.connect(b.id, c.id)
  await world.clock.advance(1_000)
  await a.mesh.publishPlacement('m', { digest: DIGEST, kind: 'hand', stages })
  await world.clock.advance(12_000)
  expect([b, c].map((one) => said(one)?.author)).toEqual([a.id, a.id])
  removed.add(a.id)
  world.hub.disconnect(a.id, b.id)
  world.hub.disconnect(a.id, c.id)
  for (const one of [b, c]) one.mesh.review()
  await world.clock.advance(12_000)
  const [first] = [b.id, c.id].sort()
  for (const one of [b, c]) expect(said(one)).toMatchObject({ author: first, epoch: 2, kind: 'hand', stages })
  const late = await world.peer({ membership })
  world.hub.connect(late.id, c.id)
  await world.clock.advance(12_000)
  expect(said(late)).toEqual(said(c))
})

test('it is not gone after a restart where nobody may say it again', async () => {
  world = createWorld()
  const author = newIdentity()
  const { membership, removed } = members((peer) => peer === author.id)
  const [a, b] = [await world.peer({ membership, identity: author }), await world.peer({ membership })]
  world.hub.connect(a.id, b.id)
  await world.clock.advance(1_000)
  await a.mesh.publishPlacement('m', { digest: DIGEST, kind: 'hand', stages })
  await world.clock.advance(12_000)
  removed.add(a.id)
  b.mesh.review()
  await world.clock.advance(12_000)
  await b.mesh.stop()
  const again = await world.peer({ membership, identity: b.identity, files: b.files })
  await world.clock.advance(12_000)
  expect(said(again)).toMatchObject({ author: a.id, epoch: 1, stages })
})
