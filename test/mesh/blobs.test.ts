import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FetchOptions } from '../../src/mesh/index.ts'
import { CHUNK_BYTES } from '../../src/store/index.ts'
import { createWorld } from './support/make-mesh.ts'
import type { TestPeer, World } from './support/make-mesh.ts'
import { seededRandom } from './support/seeded-random.ts'

let world: World

beforeEach(() => {
  world = createWorld()
})

afterEach(() => world.end())

/** Bytes that are no repetition, made quickly. */
function content(seed: number, bytes: number): Uint8Array {
  const block = seededRandom(seed).bytes(4096)
  const result = new Uint8Array(bytes)
  for (let at = 0; at < bytes; at += block.length) {
    result.set(block.subarray(0, Math.min(block.length, bytes - at)), at)
    block[at % 4096] = (block[at % 4096]! + 1) & 255
  }
  return result
}

interface Blob {
  readonly address: string
  readonly bytes: number
}

async function put(content: Uint8Array, ...peers: readonly TestPeer[]): Promise<Blob> {
  let blob: Blob | undefined
  for (const { store } of peers) blob = await store.put(content)
  return blob!
}

/** Lets virtual time pass until the promise has settled, ten times as fast as real time: the disk is a real one. */
async function pump<Result>(promise: Promise<Result>, step = 20): Promise<Result> {
  const settled = { is: false }
  const settle = (): void => void (settled.is = true)
  promise.then(settle, settle)
  while (!settled.is) {
    await new Promise((resolve) => setTimeout(resolve, 2))
    await world.clock.advance(step)
  }
  return promise
}

async function expectContent(peer: TestPeer, { address, bytes }: Blob, seed: number): Promise<void> {
  expect(Buffer.compare(await peer.store.readAll(address), content(seed, bytes))).toBe(0)
}

const fetched = (peer: TestPeer): number => peer.counters.get('blob_bytes_received') ?? 0
const served = (peer: TestPeer): number => peer.counters.get('blob_bytes_served') ?? 0

async function three(): Promise<[TestPeer, TestPeer, TestPeer]> {
  const peers: [TestPeer, TestPeer, TestPeer] = [await world.peer(), await world.peer(), await world.peer()]
  world.hub.connectAll()
  return peers
}

function fetchInto(peer: TestPeer, blobs: Blob[], holders: TestPeer[], options: FetchOptions = {}): Promise<void> {
  return peer.mesh.fetchTensors(
    blobs,
    holders.map(({ id }) => id),
    options,
  )
}

describe('fetching tensors', () => {
  it('brings blobs of every size, whole and verified, and shares the work among the holders', async () => {
    const [a, b, c] = await three()
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
    const [a, , c] = await three()
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

  it('fetches nothing the second time, and a blob that is listed twice once', async () => {
    const [a, , c] = await three()
    const blob = await put(content(1, 100_000), a)
    await fetchInto(c, [blob, blob], [a])
    await fetchInto(c, [blob], [a])
    await fetchInto(c, [blob], [])
    expect(fetched(c)).toBe(100_000)
  })

  it('loads a blob once for two fetches at a time', async () => {
    const [a, b, c] = await three()
    const shared = await put(content(1, 4 * CHUNK_BYTES), a, b)
    const own = await put(content(2, 10), a)
    await pump(
      Promise.all([fetchInto(c, [shared], [a]), fetchInto(c, [own, shared], [a, b]), fetchInto(c, [shared], [b])]),
    )
    expect(fetched(c)).toBe(4 * CHUNK_BYTES + 10)
  })

  it('is carried on by the second fetch when the first one is given up', async () => {
    const [a, b, c] = await three()
    const blob = await put(content(1, 6 * CHUNK_BYTES), a, b)
    const stop = new AbortController()
    const first = fetchInto(c, [blob], [a], {
      signal: stop.signal,
      onProgress: (done) => {
        if (done >= 2 * CHUNK_BYTES) stop.abort(new Error('enough'))
      },
    })
    const second = fetchInto(c, [blob], [b])
    await expect(pump(first)).rejects.toThrow('enough')
    await pump(second)
    expect(await c.store.has(blob.address)).toBe(true)
    // What the first had brought was not fetched again, but for what was on the line.
    expect(served(b)).toBeLessThanOrEqual(4 * CHUNK_BYTES + 6 * 32)
  })

  it('goes on where it stopped after the holder was lost', async () => {
    const [a, b, c] = await three()
    const blob = await put(content(1, 8 * CHUNK_BYTES), a, b)
    let pieces = 0
    world.hub.tamper((frame, from) => {
      if (frame.type === 6 && from === a.id && ++pieces > 12) return new Error('cut')
      return frame
    })
    await expect(pump(fetchInto(c, [blob], [a]))).rejects.toMatchObject({ code: 'WEFT-DSC-104' })
    const before = fetched(c)
    expect(before).toBeGreaterThanOrEqual(2 * CHUNK_BYTES)
    world.hub.tamper(undefined)
    await pump(fetchInto(c, [blob], [b]))
    expect(fetched(c)).toBe(8 * CHUNK_BYTES)
    await expectContent(c, blob, 1)
  })

  it('takes the channel up again after it broke in the middle', async () => {
    const [a, , c] = await three()
    const blob = await put(content(1, 4 * CHUNK_BYTES), a)
    let pieces = 0
    world.hub.tamper((frame) => (frame.type === 6 && ++pieces === 6 ? new Error('cut') : frame))
    await pump(fetchInto(c, [blob], [a]))
    await expectContent(c, blob, 1)
  })

  it('drops a holder that sends a wrong chunk, counts it, and fetches elsewhere', async () => {
    const [a, b, c] = await three()
    const blobs = [await put(content(1, 4 * CHUNK_BYTES), a, b), await put(content(2, 500), a, b)]
    const lie = (): void =>
      world.hub.tamper((frame, from) => {
        if (frame.type !== 6 || from !== a.id || frame.payload.length < 100) return frame
        return { ...frame, payload: frame.payload.map((byte) => byte ^ 1) }
      })
    lie()
    await pump(fetchInto(c, blobs, [a, b]))
    for (const [index, blob] of blobs.entries()) await expectContent(c, blob, index + 1)
    expect(c.counters.get('chunks_refused')).toBeGreaterThanOrEqual(1)
    // Not asked again for a while, even where nobody else is left.
    const other = await put(content(3, 500), a)
    const before = served(a)
    await expect(pump(fetchInto(c, [other], [a]))).rejects.toMatchObject({ code: 'WEFT-DSC-104' })
    expect(served(a)).toBe(before)
  })

  it('drops a holder whose hash list is not that of the address', async () => {
    const [a, b, c] = await three()
    const blob = await put(content(1, 3 * CHUNK_BYTES), a, b)
    world.hub.tamper((frame, from) =>
      frame.type === 6 && from === a.id && frame.payload.length === 96
        ? { ...frame, payload: new Uint8Array(96) }
        : frame,
    )
    await pump(fetchInto(c, [blob], [a, b]))
    expect(await c.store.has(blob.address)).toBe(true)
  })

  it('leaves a holder that goes silent', async () => {
    const [a, b, c] = await three()
    const blob = await put(content(1, 4 * CHUNK_BYTES), a, b)
    world.hub.tamper((frame, from) => (frame.type === 6 && from === a.id ? undefined : frame))
    await pump(fetchInto(c, [blob], [a, b]))
    expect(await c.store.has(blob.address)).toBe(true)
  })

  it('says of each holder why it could not deliver', async () => {
    const [a, b, c] = await three()
    const blob = { address: (await put(content(1, 10), c)).address, bytes: 10 }
    await c.store.remove(blob.address)
    const stranger = 'nobody'
    const failure = pump(c.mesh.fetchTensors([blob], [a.id, b.id, stranger]))
    await expect(failure).rejects.toMatchObject({
      code: 'WEFT-DSC-104',
      details: { done: 0, total: 10, holders: { [a.id]: 'it lacks the rest' } },
    })
  })

  it('fails at once where no holder is known', async () => {
    const [, , c] = await three()
    const blob = await put(content(1, 10), c)
    await c.store.remove(blob.address)
    await expect(fetchInto(c, [blob], [])).rejects.toMatchObject({ code: 'WEFT-DSC-104' })
    // Ourselves we do not ask.
    await expect(fetchInto(c, [blob], [c])).rejects.toMatchObject({ code: 'WEFT-DSC-104' })
  })

  it('ends when the caller gives up, before and while it runs', async () => {
    const [a, , c] = await three()
    const blob = await put(content(1, 10), a)
    await expect(fetchInto(c, [blob], [a], { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no')
    world.hub.tamper((frame) => (frame.type === 6 ? undefined : frame))
    const stop = new AbortController()
    const running = fetchInto(c, [blob], [a], { signal: stop.signal })
    stop.abort(new Error('stop'))
    await expect(running).rejects.toThrow('stop')
  })

  it('gives up after the stated time without a byte', async () => {
    const [a, , c] = await three()
    const blob = await put(content(1, 10), a)
    world.hub.tamper((frame) => (frame.type === 6 ? undefined : frame))
    await expect(pump(fetchInto(c, [blob], [a], { stall: 5000 }))).rejects.toMatchObject({
      code: 'WEFT-DSC-104',
      details: { holders: { [a.id]: 'nothing came for 5000 ms' } },
    })
  })

  it('leaves no timer behind', async () => {
    const [a, , c] = await three()
    const blob = await put(content(1, 2 * CHUNK_BYTES), a)
    const before = world.clock.waiting()
    await fetchInto(c, [blob], [a])
    await world.clock.advance(70_000)
    expect(world.clock.waiting()).toBeLessThanOrEqual(before)
  })
})

describe('serving', () => {
  it('keeps to what others may have', async () => {
    const a = await world.peer({ serves: () => false })
    const c = await world.peer()
    world.hub.connectAll()
    const blob = await put(content(1, 10), a)
    await expect(pump(fetchInto(c, [blob], [a]))).rejects.toMatchObject({ code: 'WEFT-DSC-104' })
  })

  it('ends the channel of who asks for what no weft asks for', async () => {
    const [a, , c] = await three()
    const { decodeControl, encodeControl, frame } = await import('../../src/net/index.ts')
    const wrong = [
      frame({ type: 3, request: 1, control: encodeControl({ address: '../../etc/passwd', index: 0 }) }),
      frame({ type: 3, request: 1, control: encodeControl({ address: 1, index: -1 }) }),
      frame({ type: 99, request: 1 }),
      frame({ type: 3, request: 1, control: Uint8Array.of(0xdd, 255, 255, 255, 255) }),
    ]
    for (const message of wrong) {
      const channel = await c.network.open(a.id, '/weft/blobs/1')
      channel.onFrame(() => undefined)
      await channel.send(message).catch(() => undefined)
      expect(await channel.closed).toBeInstanceOf(Error)
    }
    expect(decodeControl(encodeControl({}))).toEqual({})
  })

  it('tells who opens too many channels to come back, and goes on serving', async () => {
    const [a, , c] = await three()
    const channels = []
    for (let index = 0; index < 2; index++) {
      const channel = await c.network.open(a.id, '/weft/blobs/1')
      channel.onFrame(() => undefined)
      channels.push(channel)
    }
    const third = await c.network.open(a.id, '/weft/blobs/1')
    const answers: number[] = []
    third.onFrame((message) => void answers.push(message.type))
    await third.closed
    expect(answers).toEqual([7])
    for (const channel of channels) await channel.close()
    const blob = await put(content(1, 10), a)
    await pump(fetchInto(c, [blob], [a]))
  })

  it('sends no more than the client has asked for', async () => {
    const [a, , c] = await three()
    const blob = await put(content(1, 16 * CHUNK_BYTES), a)
    const { encodeControl, frame } = await import('../../src/net/index.ts')
    const channel = await c.network.open(a.id, '/weft/blobs/1')
    let pieces = 0
    channel.onFrame(() => void (pieces += 1))
    for (let index = 0; index < 8; index++) {
      const control = encodeControl({ address: blob.address, index })
      await channel.send(frame({ type: 3, request: index + 1, control }))
    }
    // Who does not take what it asked for is cut off, and its place is free again.
    expect(await pump(channel.closed, 50)).toBeInstanceOf(Error)
    expect(pieces).toBe(8)
  })
})

describe('a tensor that travelled', () => {
  it('has the address that its bytes have', async () => {
    const [a, , c] = await three()
    const bytes = content(5, CHUNK_BYTES + 7)
    const blob = await put(bytes, a)
    await fetchInto(c, [blob], [a])
    const hash = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')
    expect(hash(await c.store.readAll(blob.address))).toBe(hash(bytes))
  })
})
