/** What placements say of their own change, on the wire and against each other. */
import { afterEach, expect, it } from 'vitest'
import { checkBody } from '../../src/mesh/bodies.ts'
import { createWorld, DIGEST } from './support/make-mesh.ts'
import type { TestPeer, World } from './support/make-mesh.ts'

let world: World
afterEach(() => world?.end())

async function two(): Promise<readonly [TestPeer, TestPeer]> {
  world = createWorld()
  const peers = [await world.peer(), await world.peer()] as const
  world.hub.connectAll()
  await world.clock.advance(0)
  return peers
}

const stagesOn = (peer: string): { peer: string; from: number; to: number }[] => [{ peer, from: 0, to: 3 }]

it('what is prepared, left, refused, pinned and left out comes to others as it was said', async () => {
  const [a, b] = await two()
  const note = {
    origin: a.id,
    objective: 'throughput' as const,
    next: stagesOn('n'),
    before: stagesOn('o'),
    refused: stagesOn('r'),
    pinned: stagesOn('p'),
    without: ['x'],
  }
  const init = { digest: DIGEST, kind: 'chosen' as const, stages: stagesOn(a.id), note }
  const said = await a.mesh.publishPlacement('m', init)
  expect(said.note).toEqual(note)
  await world.clock.advance(1_000)
  expect(b.mesh.placement('m')).toEqual(said)
})

it('a decision on what does not stand any more changes nothing', async () => {
  const [a, b] = await two()
  const init = { digest: DIGEST, kind: 'chosen' as const, stages: stagesOn(a.id) }
  const first = await a.mesh.publishPlacement('m', init)
  const byHand = await a.mesh.publishPlacement('m', { ...init, kind: 'hand', stages: stagesOn(b.id) })
  await world.clock.advance(1_000)
  const late = await b.mesh.publishPlacement('m', { ...init, stages: stagesOn('late'), after: first })
  expect(late).toEqual(byHand)
  const inTime = await b.mesh.publishPlacement('m', { ...init, after: byHand })
  expect(inTime).toMatchObject({ epoch: byHand.epoch + 1, author: b.id })
})

it('of two at once, the one by hand stands, whoever wrote it', async () => {
  const [a, b] = await two()
  for (const [hand, other] of [
    [a, b],
    [b, a],
  ] as const) {
    world.hub.disconnect(a.id, b.id)
    await world.clock.advance(100)
    await hand.mesh.publishPlacement('m', { digest: DIGEST, kind: 'hand', stages: stagesOn(hand.id) })
    await other.mesh.publishPlacement('m', { digest: DIGEST, kind: 'chosen', stages: stagesOn(other.id) })
    world.hub.connect(a.id, b.id)
    await world.clock.advance(20_000)
    for (const { mesh } of [a, b]) expect(mesh.placement('m')).toMatchObject({ kind: 'hand', author: hand.id })
  }
})

it.each<[string, object]>([
  ['stages with a gap', { next: [{ peer: 'p', from: 1, to: 3 }] }],
  ['no stages', { before: [] }],
  ['an objective that is none', { objective: 'fun' }],
  ['nobody for whom', { origin: '' }],
  ['too many left out', { without: Array.from({ length: 65 }, (_, index) => `p${index}`) }],
])('%s are refused', (_, change) => {
  const living = { origin: 'o', objective: 'latency', ...change }
  const body = { epoch: 1, digest: DIGEST, kind: 'chosen', stages: stagesOn('p'), living }
  expect(checkBody('placement', 'm', body)).toBeUndefined()
  expect(checkBody('placement', 'm', { ...body, living: { origin: 'o', objective: 'latency' } })).toBeDefined()
})
