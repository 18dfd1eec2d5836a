import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CHUNK_BYTES } from '../../src/store/index.ts'
import { content, expectContent, fetched, fetchInto, pump, put, served, three } from './support/blobs.ts'
import type { Blob } from './support/blobs.ts'
import { createWorld } from './support/make-mesh.ts'
import type { World } from './support/make-mesh.ts'

let world: World

beforeEach(() => {
  world = createWorld()
})

afterEach(() => world.end())

describe('fetching tensors', () => {
  it('brings blobs of every size, whole and verified, and shares the work among the holders', async () => {
    const [a, b, c] = await three(world)
    const sizes = [0, 1, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 12345]
    const blobs: Blob[] = []
    for (const [index, size] of sizes.entries()) blobs.push(await put(content(index, size), a, b))
    await fetchInto(c, blobs, [a, b])
    for (const [index, blob] of blobs.entries()) {
      expect(blob.bytes).toBe(sizes[index])
      await expectContent(c, blob, index)
    }
    const total = sizes.reduce((sum, size) => sum + size, 0)
    expect(fetched(c)).toBe(total)
    expect(served(a)).toBeGreaterThan(0)
    expect(served(b)).toBeGreaterThan(0)
    expect(c.counters.get('blobs_received')).toBe(sizes.length)
  })

  it('tells the progress in bytes, rising to the whole', async () => {
    const [a, , c] = await three(world)
    const blobs = [await put(content(1, 2 * CHUNK_BYTES), a), await put(content(2, 5), a)]
    const steps: number[] = []
    await fetchInto(c, blobs, [a], {
      onProgress: (done, total) => {
        expect(total).toBe(2 * CHUNK_BYTES + 5)
        steps.push(done)
      },
    })
    expect(steps).toEqual([...steps].sort((left, right) => left - right))
    expect([steps[0], steps.at(-1)]).toEqual([0, 2 * CHUNK_BYTES + 5])
  })

  it('tells how fast each holder delivers: what the way from it can carry', async () => {
    await world.end()
    // Each frame takes time by the clock that is asked, however fast this machine reads and writes.
    world = createWorld({ delay: () => 5 })
    const a = await world.peer()
    const rates: [string, number][] = []
    const c = await world.peer({ delivered: (peer, rate) => void rates.push([peer, rate]) })
    world.hub.connectAll()
    await pump(world, fetchInto(c, [await put(content(1, 4 * CHUNK_BYTES), a)], [a]))
    expect(rates.length).toBeGreaterThan(0)
    for (const [peer, rate] of rates) {
      expect(peer).toBe(a.id)
      expect(rate).toBeGreaterThan(0)
    }
  })

  it('fetches nothing the second time, and a blob that is listed twice once', async () => {
    const [a, , c] = await three(world)
    const blob = await put(content(1, 100_000), a)
    await fetchInto(c, [blob, blob], [a])
    await fetchInto(c, [blob], [a])
    await fetchInto(c, [blob], [])
    expect(fetched(c)).toBe(100_000)
  })

  it('loads a blob once for two fetches at a time', async () => {
    const [a, b, c] = await three(world)
    const shared = await put(content(1, 4 * CHUNK_BYTES), a, b)
    const own = await put(content(2, 10), a)
    await pump(
      world,
      Promise.all([fetchInto(c, [shared], [a]), fetchInto(c, [own, shared], [a, b]), fetchInto(c, [shared], [b])]),
    )
    expect(fetched(c)).toBe(4 * CHUNK_BYTES + 10)
  })

  it('is carried on by the second fetch when the first one is given up', async () => {
    const [a, b, c] = await three(world)
    const blob = await put(content(1, 6 * CHUNK_BYTES), a, b)
    const stop = new AbortController()
    let second: Promise<void> | undefined
    const first = fetchInto(c, [blob], [a], {
      signal: stop.signal,
      onProgress: (done) => {
        // Not before: two that begin at once are first in any order.
        if (done >= CHUNK_BYTES) second ??= fetchInto(c, [blob], [b])
        if (done >= 2 * CHUNK_BYTES) stop.abort(new Error('enough'))
      },
    })
    await expect(pump(world, first)).rejects.toThrow('enough')
    await pump(world, second!)
    expect(await c.store.has(blob.address)).toBe(true)
    // What the first had brought was not fetched again, but for what was on the line.
    expect(served(b)).toBeLessThanOrEqual(4 * CHUNK_BYTES + 6 * 32 + 2)
  })

  it('goes on where it stopped after the holder was lost', async () => {
    const [a, b, c] = await three(world)
    const blob = await put(content(1, 8 * CHUNK_BYTES), a, b)
    let pieces = 0
    world.hub.tamper((frame, from) => {
      if (frame.type === 6 && from === a.id && ++pieces > 12) return new Error('cut')
      return frame
    })
    await expect(pump(world, fetchInto(c, [blob], [a]))).rejects.toMatchObject({ code: 'WEFT-DSC-104' })
    const before = fetched(c)
    expect(before).toBeGreaterThanOrEqual(2 * CHUNK_BYTES)
    world.hub.tamper(undefined)
    await pump(world, fetchInto(c, [blob], [b]))
    expect(fetched(c)).toBe(8 * CHUNK_BYTES)
    await expectContent(c, blob, 1)
  })

  it('takes the channel up again after it broke in the middle', async () => {
    const [a, , c] = await three(world)
    const blob = await put(content(1, 4 * CHUNK_BYTES), a)
    let pieces = 0
    world.hub.tamper((frame) => (frame.type === 6 && ++pieces === 6 ? new Error('cut') : frame))
    await pump(world, fetchInto(c, [blob], [a]))
    await expectContent(c, blob, 1)
  })

  it('drops a holder that sends a wrong chunk, counts it, and fetches elsewhere', async () => {
    const [a, b, c] = await three(world)
    const blobs = [await put(content(1, 4 * CHUNK_BYTES), a, b), await put(content(2, 500), a, b)]
    const lie = (): void =>
      world.hub.tamper((frame, from) => {
        if (frame.type !== 6 || from !== a.id || frame.payload.length < 100) return frame
        return { ...frame, payload: frame.payload.map((byte) => byte ^ 1) }
      })
    lie()
    await pump(world, fetchInto(c, blobs, [a, b]))
    for (const [index, blob] of blobs.entries()) await expectContent(c, blob, index + 1)
    expect(c.counters.get('chunks_refused')).toBeGreaterThanOrEqual(1)
    // Not asked again for a while, even where nobody else is left.
    const other = await put(content(3, 500), a)
    const before = served(a)
    await expect(pump(world, fetchInto(c, [other], [a]))).rejects.toMatchObject({ code: 'WEFT-DSC-104' })
    expect(served(a)).toBe(before)
  })

  it('drops a holder whose hash list is not that of the address', async () => {
    const [a, b, c] = await three(world)
    const blob = await put(content(1, 3 * CHUNK_BYTES), a, b)
    world.hub.tamper((frame, from) =>
      frame.type === 6 && from === a.id && frame.payload.length === 96
        ? { ...frame, payload: new Uint8Array(96) }
        : frame,
    )
    await pump(world, fetchInto(c, [blob], [a, b]))
    expect(await c.store.has(blob.address)).toBe(true)
  })

  it('leaves a holder that goes silent', async () => {
    const [a, b, c] = await three(world)
    const blob = await put(content(1, 4 * CHUNK_BYTES), a, b)
    world.hub.tamper((frame, from) => (frame.type === 6 && from === a.id ? undefined : frame))
    await pump(world, fetchInto(c, [blob], [a, b]))
    expect(await c.store.has(blob.address)).toBe(true)
  })

  it('says of each holder why it could not deliver', async () => {
    const [a, b, c] = await three(world)
    const blob = { address: (await put(content(1, 10), c)).address, bytes: 10 }
    await c.store.remove(blob.address)
    const stranger = 'nobody'
    const failure = pump(world, c.mesh.fetchTensors([blob], [a.id, b.id, stranger]))
    await expect(failure).rejects.toMatchObject({
      code: 'WEFT-DSC-104',
      details: { done: 0, total: 10, holders: { [a.id]: 'it lacks the rest' } },
    })
  })

  it('fails at once where no holder is known', async () => {
    const [, , c] = await three(world)
    const blob = await put(content(1, 10), c)
    await c.store.remove(blob.address)
    await expect(fetchInto(c, [blob], [])).rejects.toMatchObject({ code: 'WEFT-DSC-104' })
    // Ourselves we do not ask.
    await expect(fetchInto(c, [blob], [c])).rejects.toMatchObject({ code: 'WEFT-DSC-104' })
  })

  it('ends when the caller gives up, before and while it runs', async () => {
    const [a, , c] = await three(world)
    const blob = await put(content(1, 10), a)
    await expect(fetchInto(c, [blob], [a], { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no')
    world.hub.tamper((frame) => (frame.type === 6 ? undefined : frame))
    const stop = new AbortController()
    const running = fetchInto(c, [blob], [a], { signal: stop.signal })
    stop.abort(new Error('stop'))
    await expect(running).rejects.toThrow('stop')
  })

  it('gives up after the stated time without a byte', async () => {
    const [a, , c] = await three(world)
    const blob = await put(content(1, 10), a)
    world.hub.tamper((frame) => (frame.type === 6 ? undefined : frame))
    await expect(pump(world, fetchInto(c, [blob], [a], { stall: 5000 }))).rejects.toMatchObject({
      code: 'WEFT-DSC-104',
      details: { holders: { [a.id]: 'nothing came for 5000 ms' } },
    })
  })

  it('leaves no timer behind', async () => {
    const [a, , c] = await three(world)
    const blob = await put(content(1, 2 * CHUNK_BYTES), a)
    const before = world.clock.waiting()
    await fetchInto(c, [blob], [a])
    await world.clock.advance(70_000)
    expect(world.clock.waiting()).toBeLessThanOrEqual(before)
  })
})
