/** Several holders at once: who gives what, who is left, and what is never fetched twice. */
import { open } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Frame } from '../../src/net/index.ts'
import { CHUNK_BYTES } from '../../src/store/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { content, expectContent, fetched, fetchInto, pump, put, served, three } from './support/blobs.ts'
import type { Blob } from './support/blobs.ts'
import { createWorld } from './support/make-mesh.ts'
import type { TestPeer, World } from './support/make-mesh.ts'

const MB = 1_000_000

let world: World

beforeEach(() => {
  world = createWorld()
})

afterEach(() => world.end())

const counter = (peer: TestPeer, name: string): number => peer.counters.get(name) ?? 0

/** Flips bytes of all that a peer sends as chunks. */
function lie(frame: Frame): Frame {
  return frame.type === 6 && frame.payload.length > 100
    ? { ...frame, payload: frame.payload.map((byte) => byte ^ 1) }
    : frame
}

describe('a swarm', () => {
  it('takes more from faster holders, and waits for no slow one at the end', async () => {
    const slow = await world.peer({ uploadLimit: 1 * MB })
    const middle = await world.peer({ uploadLimit: 4 * MB })
    const fast = await world.peer({ uploadLimit: 10 * MB })
    const c = await world.peer()
    world.hub.connectAll()
    const blobs = [await put(content(1, 20 * CHUNK_BYTES), slow, middle, fast), await put(content(2, 9), slow, fast)]
    const begin = world.clock.now()
    await pump(world, fetchInto(c, blobs, [slow, middle, fast]), 5)
    await expectContent(c, blobs[0]!, 1)
    expect(served(fast)).toBeGreaterThan(served(middle))
    expect(served(middle)).toBeGreaterThan(served(slow))
    // Alone the slow one would have needed 21 s, the fast one 2.1 s.
    expect(world.clock.now() - begin).toBeLessThan(4000)
    expect(counter(c, 'chunks_fetched')).toBe(21)
  })

  it('asks another holder for what a silent one owes, long before it is given up', async () => {
    const [a, b, c] = await three(world)
    const blob = await put(content(1, 8 * CHUNK_BYTES), a, b)
    world.hub.tamper((frame, from) =>
      frame.type === 6 && from === a.id && frame.payload.length > 100 ? undefined : frame,
    )
    const begin = world.clock.now()
    await pump(world, fetchInto(c, [blob], [a, b]))
    expect(world.clock.now() - begin).toBeLessThan(14_000)
    expect(counter(c, 'chunks_duplicated')).toBeGreaterThan(0)
    expect(counter(c, 'chunks_duplicated')).toBeLessThanOrEqual(32)
    expect(counter(c, 'chunks_fetched')).toBe(8)
    expect(fetched(c)).toBe(8 * CHUNK_BYTES)
  })

  it('goes on with the others when a holder leaves in the middle', async () => {
    const a = await world.peer({ uploadLimit: 4 * MB })
    const b = await world.peer({ uploadLimit: 4 * MB })
    const c = await world.peer()
    world.hub.connectAll()
    const blob = await put(content(1, 12 * CHUNK_BYTES), a, b)
    let left = false
    await pump(
      world,
      fetchInto(c, [blob], [a, b], {
        onProgress: (done) => {
          if (!left && done > 3 * CHUNK_BYTES) world.hub.disconnect(a.id, c.id)
          left ||= done > 3 * CHUNK_BYTES
        },
      }),
      5,
    )
    expect(left).toBe(true)
    await expectContent(c, blob, 1)
    expect(counter(c, 'chunks_fetched')).toBe(12)
  })

  it('peers that fetch the same give each other what they have already', async () => {
    const source = await world.peer({ uploadLimit: 4 * MB })
    const peers = [await world.peer(), await world.peer(), await world.peer()]
    world.hub.connectAll()
    const blob = await put(content(1, 10 * CHUNK_BYTES), source)
    const all = [source, ...peers]
    await pump(world, Promise.all(peers.map((peer) => fetchInto(peer, [blob], all))), 5)
    for (const peer of peers) await expectContent(peer, blob, 1)
    // Alone it would send the blob three times.
    expect(served(source)).toBeLessThan(2 * blob.bytes)
    for (const peer of peers) expect(counter(peer, 'chunks_fetched')).toBe(10)
  })

  it('a peer with a part of a blob gives that part, also when nobody has it whole any more', async () => {
    const [a, b, c] = await three(world)
    const blob = await put(content(1, 10 * CHUNK_BYTES), a)
    const stop = new AbortController()
    const onProgress = (done: number): void => void (done >= 4 * CHUNK_BYTES && stop.abort(new Error('enough')))
    await expect(pump(world, fetchInto(b, [blob], [a], { onProgress, signal: stop.signal }))).rejects.toThrow('enough')
    const had =
      10 - (await b.store.receive(blob.address, blob.bytes, await a.store.chunkHashes(blob.address))).missing().length
    await expect(pump(world, fetchInto(c, [blob], [b], { stall: 3000 }))).rejects.toMatchObject({
      code: 'WEFT-DSC-104',
    })
    expect(counter(c, 'chunks_fetched')).toBe(had)
    const before = served(a)
    await pump(world, fetchInto(c, [blob], [a, b]))
    expect(counter(c, 'chunks_fetched')).toBe(10)
    expect(counter(c, 'bytes_refetched')).toBe(0)
    expect(served(a) - before).toBeLessThanOrEqual((10 - had) * CHUNK_BYTES + 10 * 32 + 8)
  })

  it('asks a newcomer that is known only while the fetch runs', async () => {
    const slow = await world.peer({ uploadLimit: MB })
    const [fast, c] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    const blob = await put(content(1, 12 * CHUNK_BYTES), slow, fast)
    const holders = [slow.id]
    const more = (): readonly string[] => holders
    const onProgress = (done: number): void => void (done > 0 && holders.length === 1 && holders.push(fast.id))
    await pump(world, fetchInto(c, [blob], [slow], { more, onProgress }), 5)
    expect(served(fast)).toBeGreaterThan(served(slow))
  })

  it('an older peer, which knows only the first version of the protocol, gives and takes', async () => {
    const identity = newIdentity()
    const network = world.hub.network(identity.id)
    const old = await world.peer({
      identity,
      network: {
        ...network,
        handle: (protocol, purpose, handler) => {
          if (protocol !== '/weft/blobs/2') network.handle(protocol, purpose, handler)
        },
        open: (peer, protocol, signal) =>
          network.open(peer, protocol === '/weft/blobs/2' ? '/weft/none' : protocol, signal),
      },
    })
    const c = await world.peer()
    world.hub.connectAll()
    const [theirs, ours] = [await put(content(1, 3 * CHUNK_BYTES), old), await put(content(2, 2 * CHUNK_BYTES), c)]
    const lacking = { address: (await put(content(3, 70), c)).address, bytes: 70 }
    await pump(world, Promise.all([fetchInto(c, [theirs], [old]), fetchInto(old, [ours], [c])]))
    await expectContent(c, theirs, 1)
    await expectContent(old, ours, 2)
    await c.store.remove(lacking.address)
    await expect(pump(world, fetchInto(c, [lacking], [old]))).rejects.toMatchObject({
      details: { holders: { [old.id]: 'it lacks the rest' } },
    })
  })
})

describe('what is wrong', () => {
  it('names the peer that sent a wrong chunk', async () => {
    const [a, b, c] = await three(world)
    const blob = await put(content(1, 4 * CHUNK_BYTES), a, b)
    const told: unknown[] = []
    c.mesh.on({ lied: (peer, address, index) => told.push([peer, address, index]) })
    world.hub.tamper((frame, from) => (from === a.id ? lie(frame) : frame))
    await pump(world, fetchInto(c, [blob], [a, b]))
    expect(told.length).toBeGreaterThanOrEqual(1)
    for (const event of told) expect(event).toEqual([a.id, blob.address, expect.any(Number)])
    expect(counter(c, 'chunks_refused')).toBe(told.length)
    // The store of the accused was read again and is sound: it lost nothing.
    expect(counter(a, 'chunks_rotten')).toBe(0)
    await expectContent(a, blob, 1)
  })

  it('a chunk that came wrong ten times ends the fetch with a code of its own, and a later one begins anew', async () => {
    const liars: TestPeer[] = []
    for (let index = 0; index < 10; index++) liars.push(await world.peer())
    const [honest, c] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    const blob = await put(content(1, 5000), ...liars, honest)
    world.hub.tamper((frame, from) => (from === honest.id ? frame : lie(frame)))
    const failure = pump(world, fetchInto(c, [blob], liars))
    await expect(failure).rejects.toMatchObject({
      code: 'WEFT-DSC-107',
      details: { address: blob.address, index: 0, times: 10, peers: expect.arrayContaining([liars[0]!.id]) },
    })
    await pump(world, fetchInto(c, [blob], [honest]))
    await expectContent(c, blob, 1)
  })

  it('a holder whose disk went bad finds it when it is told, keeps the rest, and mends it', async () => {
    const [a, b, c] = await three(world)
    const blob = await put(content(1, 6 * CHUNK_BYTES), a, b)
    const file = await open(a.store.path(blob.address), 'r+')
    await file.write(Uint8Array.of(255, 254, 253), 0, 3, 2 * CHUNK_BYTES + 17)
    await file.close()
    const rotten: unknown[] = []
    a.mesh.on({ rotten: (address, index) => rotten.push([address, index]) })
    // Only that peer has it for whoever asks first.
    await expect(pump(world, fetchInto(c, [blob], [a]))).rejects.toMatchObject({ code: 'WEFT-DSC-104' })
    for (let turn = 0; turn < 100 && rotten.length === 0; turn++) await pump(world, world.clock.sleep(20))
    expect(rotten).toEqual([[blob.address, 2]])
    expect(counter(a, 'chunks_rotten')).toBe(1)
    expect(await a.store.has(blob.address)).toBe(false)
    await pump(world, fetchInto(a, [blob], [b]))
    await expectContent(a, blob, 1)
    expect([counter(a, 'chunks_resumed'), counter(a, 'chunks_fetched')]).toEqual([5, 1])
    await pump(world, fetchInto(c, [blob], [b]))
    await expectContent(c, blob, 1)
  })

  it('a holder whose chunk maps are no answer is left', async () => {
    const [a, b, c] = await three(world)
    const blobs: Blob[] = [await put(content(1, 9 * CHUNK_BYTES), a, b)]
    for (const wrong of [[3], [1, 255, 254], [1, 255], [], [2, 2]]) {
      world.hub.tamper((frame, from) =>
        frame.type === 6 && from === a.id && frame.payload.length < 32
          ? { ...frame, step: wrong.length, dims: [wrong.length], payload: Uint8Array.from(wrong) }
          : frame,
      )
      await pump(world, fetchInto(c, blobs, [a, b]))
      await expectContent(c, blobs[0]!, 1)
      await c.store.remove(blobs[0]!.address)
      await world.clock.advance(11 * 60_000)
    }
    expect(counter(c, 'chunks_refused')).toBeGreaterThanOrEqual(3)
  }, 30_000)
})
