/** What peers compare: sums over buckets of all that they know, and with a peer of the version before the hash of it. */
import { assert, integer, property, string, tuple, uniqueArray } from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { GOSSIP, readDigest } from '../../src/mesh/gossip-wire.ts'
import { bucketOf, differing, SUM_BUCKETS, Sums, sumOf } from '../../src/mesh/sums.ts'
import type { Frame } from '../../src/net/index.ts'
import { createWorld, DIGEST, profile } from './support/make-mesh.ts'
import type { TestPeer, World } from './support/make-mesh.ts'

const entry = tuple(string({ maxLength: 40 }), integer({ min: 1, max: 2 ** 50 }))

function sumsOf(entries: readonly (readonly [string, number])[]): Uint8Array {
  const sums = new Sums()
  for (const [id, version] of entries) sums.toggle(sumOf(id, version))
  return sums.bytes()
}

describe('sums', () => {
  it('hang on what is known, and not on the order in which it came or on what has gone again', () => {
    const entries = uniqueArray(entry, { selector: ([id]) => id, maxLength: 30 })
    assert(
      property(entries, entry, (known, [id, version]) => {
        const sums = new Sums()
        sums.toggle(sumOf(id, version))
        for (const [each, its] of known.toReversed()) sums.toggle(sumOf(each, its))
        sums.toggle(sumOf(id, version))
        expect(sums.bytes()).toEqual(sumsOf(known))
      }),
    )
  })

  it('differ in the bucket of what has changed, and in no other', () => {
    const entries = uniqueArray(entry, { selector: ([id]) => id, minLength: 1, maxLength: 30 })
    assert(
      property(entries, (known) => {
        const [[id, version], ...rest] = known as [[string, number], ...[string, number][]]
        expect(differing(sumsOf(known), sumsOf([...rest, [id, version + 1]]))).toEqual([bucketOf(id)])
        expect(differing(sumsOf(known), sumsOf(rest))).toEqual([bucketOf(id)])
      }),
    )
  })

  it('spread what peers say over all buckets', () => {
    const ids = Array.from({ length: 64 * SUM_BUCKETS }, (_, index) => `profile\n12D3Koo${index}\n`)
    expect(new Set(ids.map(bucketOf)).size).toBe(SUM_BUCKETS)
  })
})

let world: World
beforeEach(() => {
  world = createWorld()
})
afterEach(() => world.end())

/** Two that know the same of many models, but for one placement that only the first has said. */
async function pair(
  change: (frame: Frame) => Frame | undefined,
): Promise<{ a: TestPeer; b: TestPeer; told: number[] }> {
  const [a, b] = [await world.peer(), await world.peer()]
  const place = (peer: TestPeer, model: string): Promise<unknown> =>
    peer.mesh.publishPlacement(model, { digest: DIGEST, kind: 'chosen', stages: [{ peer: peer.id, from: 0, to: 1 }] })
  world.hub.connectAll()
  for (let model = 0; model < 100; model++) await place(a, `model ${model}`)
  await b.mesh.publishProfile(profile('b'))
  // Each frame takes a turn of the real loop.
  while (b.mesh.placements().length < 100 || !a.mesh.profiles().has(b.id)) await world.clock.advance(50)
  const told: number[] = []
  let isLost = true
  world.hub.tamper((frame) => {
    if (frame.type === GOSSIP.record && isLost) return undefined
    if (frame.type === GOSSIP.digest) told.push(readDigest(frame.control)!.entries.length)
    return change(frame)
  })
  await place(a, 'the last')
  await world.clock.advance(0)
  expect(b.mesh.placements()).toHaveLength(100)
  isLost = false
  return { a, b, told }
}

describe('two peers that compare', () => {
  it('tell each other of the buckets that differ, not of all that they know', async () => {
    const { b, told } = await pair((frame) => frame)
    await world.clock.advance(30_000)
    expect(b.mesh.placements()).toHaveLength(101)
    expect(told.length).toBeGreaterThan(0)
    expect(Math.max(...told)).toBeLessThan(20)
  })

  it('say nothing more when they know the same', async () => {
    const { told } = await pair((frame) => frame)
    await world.clock.advance(30_000)
    told.length = 0
    await world.clock.advance(20_000)
    expect(told).toEqual([])
  })

  it('of which one is of the version before tell it all, as that does', async () => {
    // It sends no sums, and does not look at any.
    const { a, b, told } = await pair((frame) =>
      frame.type === GOSSIP.summary ? { ...frame, control: new Uint8Array() } : frame,
    )
    // The sums that came before the other was taken for an old one are forgotten with its channel.
    world.hub.disconnect(a.id, b.id)
    world.hub.connectAll()
    await world.clock.advance(30_000)
    expect(b.mesh.placements()).toHaveLength(101)
    expect(Math.max(...told)).toBeGreaterThan(100)
  })
})
