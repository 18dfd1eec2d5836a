/** What a client may not send, in the second version of the protocol, and what a rate holds back. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeControl, frame } from '../../src/net/index.ts'
import type { Frame } from '../../src/net/index.ts'
import { CHUNK_BYTES } from '../../src/store/index.ts'
import { content, expectContent, fetchInto, pump, put, three } from './support/blobs.ts'
import { createWorld } from './support/make-mesh.ts'
import type { TestPeer, World } from './support/make-mesh.ts'

const V2 = '/weft/blobs/2'
const [CHUNK, PIECE, REFUSAL, HAVE, CHECK, KEEP] = [3, 6, 7, 8, 9, 10]

let world: World

beforeEach(() => {
  world = createWorld()
})

afterEach(() => world.end())

/** Sends frames and waits for as many answers, or for the end of the channel. */
async function ask(
  from: TestPeer,
  to: TestPeer,
  frames: readonly Frame[],
  protocol = V2,
): Promise<{ answers: Frame[]; ended: Error | undefined | 'open' }> {
  const channel = await from.network.open(to.id, protocol)
  const answers: Frame[] = []
  const all = Promise.withResolvers<'open'>()
  channel.onFrame((message) => {
    answers.push(message)
    if (answers.length === frames.length) all.resolve('open')
  })
  for (const message of frames) await channel.send(message).catch(() => undefined)
  const ended = await pump(world, Promise.race([all.promise, channel.closed]))
  await channel.close()
  return { answers, ended }
}

describe('a hostile client', () => {
  it('is cut off for questions beyond the limits, and for those of the newer version in the older one', async () => {
    const [a, , c] = await three(world)
    const { address, bytes } = await put(content(1, 9 * CHUNK_BYTES), a)
    const have = (blobs: unknown, type = HAVE): Frame => frame({ type, request: 1, control: encodeControl({ blobs }) })
    const wrong = [
      have([]),
      have(Array.from({ length: 257 }, () => [address, 1])),
      // Its map would have 128 MiB.
      have([[address, 2 ** 50]]),
      have([[address, -1]]),
      have([['../../key', 1]]),
      have([[address]]),
      have('all', KEEP),
      frame({ type: CHECK, request: 1, control: encodeControl({ address, index: 0.5 }) }),
      frame({ type: 11, request: 1 }),
    ]
    for (const message of wrong) expect((await ask(c, a, [message])).ended).toBeInstanceOf(Error)
    const sound = have([[address, bytes]])
    expect((await ask(c, a, [sound])).answers.map(({ payload }) => [...payload])).toEqual([[2]])
    expect((await ask(c, a, [sound], '/weft/blobs/1')).ended).toBeInstanceOf(Error)
  })

  it('gets a refusal for a chunk that there is not, and nothing is dropped for a complaint about it', async () => {
    const [a, , c] = await three(world)
    const { address } = await put(content(1, 3 * CHUNK_BYTES), a)
    const about = (type: number, index: number): Frame =>
      frame({ type, request: index + 1, control: encodeControl({ address, index }) })
    const { answers } = await ask(c, a, [about(CHUNK, 3), about(CHUNK, 2 ** 40), about(CHECK, 3), about(CHECK, 1)])
    expect(answers.map(({ type }) => type).toSorted((x, y) => x - y)).toEqual([PIECE, REFUSAL, REFUSAL, REFUSAL])
    expect(answers.find(({ type }) => type === PIECE)?.payload).toEqual(Uint8Array.of(1))
    expect(await a.store.has(address)).toBe(true)
  })

  it('that floods with questions loses its channel, and others are served', async () => {
    const [a, b, c] = await three(world)
    const blob = await put(content(1, 2 * CHUNK_BYTES), a)
    const flood = Array.from({ length: 200 }, (_, index) =>
      frame({ type: CHUNK, request: index + 1, control: encodeControl({ address: blob.address, index: 0 }) }),
    )
    const { answers, ended } = await ask(c, a, flood)
    expect(ended).toBeInstanceOf(Error)
    expect(answers.length).toBeLessThan(40)
    await pump(world, fetchInto(b, [blob], [a]))
    await expectContent(b, blob, 1)
  })

  it('learns nothing of blobs that are not for others', async () => {
    const a = await world.peer({ serves: () => false })
    const c = await world.peer()
    world.hub.connectAll()
    const { address, bytes } = await put(content(1, 10), a)
    const blobs = [[address, bytes]]
    const both = [HAVE, KEEP].map((type) => frame({ type, request: type, control: encodeControl({ blobs }) }))
    expect((await ask(c, a, both)).answers.map(({ payload }) => [...payload])).toEqual([[0], [0]])
    expect(await c.mesh.askToKeep([{ address, bytes }], [a.id])).toEqual(new Set())
  })
})

describe('an upload limit', () => {
  it('holds over all peers together', async () => {
    const a = await world.peer({ uploadLimit: 2_000_000 })
    const [b, c] = [await world.peer(), await world.peer()]
    world.hub.connectAll()
    const blobs = [await put(content(1, 3 * CHUNK_BYTES), a)]
    const begin = world.clock.now()
    await pump(world, Promise.all([fetchInto(b, blobs, [a]), fetchInto(c, blobs, [a])]), 5)
    const seconds = (world.clock.now() - begin) / 1000
    // Both got all, at 2 MB/s in sum, but for a burst of a quarter of a second.
    expect(seconds).toBeGreaterThan((6 * CHUNK_BYTES) / 2_000_000 - 0.3)
  })
})
