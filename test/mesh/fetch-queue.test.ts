import { describe, expect, it } from 'vitest'
import { Availability } from '../../src/mesh/availability.ts'
import { createFetchQueue } from '../../src/mesh/fetch-queue.ts'
import { decodeHaveMaps, encodeHaveMaps, hasChunk, someChunks } from '../../src/mesh/have-map.ts'
import { Flights } from '../../src/mesh/flights.ts'
import { MAX_RESCUES } from '../../src/mesh/limits.ts'
import { Pace } from '../../src/mesh/pace.ts'
import { CHUNK_BYTES } from '../../src/store/index.ts'
import type { BlobReceiver } from '../../src/store/index.ts'
import { seededRandom } from './support/seeded-random.ts'
import { virtualClock } from './support/virtual-clock.ts'

const BLOBS = ['common', 'rare', 'middle'].map((address) => ({ address, bytes: 4 * CHUNK_BYTES }))
const ALL = { kind: 'all' } as const

function receiver(chunks: number): BlobReceiver {
  const done = (): Promise<void> => Promise.resolve()
  return {
    resumed: 0,
    missing: () => [...Array.from({ length: chunks }).keys()],
    chunk: () => Promise.resolve(true),
    finish: done,
    abandon: done,
  }
}

describe('the order of a fetch', () => {
  it('opens the rarest tensor first, whatever the order in which they are listed', () => {
    for (const seed of [1, 2, 3, 4]) {
      const availability = new Availability(BLOBS)
      for (const peer of ['a', 'b', 'c']) availability.learn(peer, 'common', ALL)
      for (const peer of ['a', 'b']) availability.learn(peer, 'middle', ALL)
      availability.learn('a', 'rare', ALL)
      const queue = createFetchQueue(BLOBS, new Set(), availability, seededRandom(seed))
      expect([queue.take('a'), queue.take('a'), queue.take('a')].map((task) => task?.blob.address)).toEqual([
        'rare',
        'middle',
        'common',
      ])
      expect(queue.take('b')).toBeUndefined()
    }
  })

  it('takes the rarest chunk first, from who has it, and learns when others have it too', () => {
    const [blob] = [{ address: 'x', bytes: 4 * CHUNK_BYTES }]
    const availability = new Availability([blob])
    availability.learn('a', 'x', ALL)
    availability.learn(
      'b',
      'x',
      someChunks(blob.bytes, (index) => index !== 2),
    )
    availability.learn(
      'c',
      'x',
      someChunks(blob.bytes, (index) => index === 0),
    )
    const queue = createFetchQueue([blob], new Set(), availability, seededRandom(1))
    const opening = queue.take('a')!
    queue.opened(opening.blob, receiver(4))
    expect(queue.take('a')).toMatchObject({ index: 2 })
    expect(queue.take('c')).toMatchObject({ index: 0 })
    expect(queue.take('c')).toBeUndefined()
    expect(availability.count('x', 1)).toBe(2)
    availability.drop('b')
    expect(availability.count('x', 1)).toBe(1)
    expect(queue.take('b')).toBeUndefined()
    availability.lacksChunk('a', 'x', 1)
    expect(queue.hasOrphans()).toBe(true)
    expect(queue.take('a')).toMatchObject({ index: 3 })
    expect(queue.take('a')).toBeUndefined()
  })

  it('asks a second holder for what is overdue, one more a chunk, and so often at most', async () => {
    const clock = virtualClock()
    const blob = { address: 'x', bytes: 100 * CHUNK_BYTES }
    const availability = new Availability([blob])
    availability.assumeAll('slow')
    const queue = createFetchQueue([blob], new Set(), availability, seededRandom(1))
    queue.opened(queue.take('slow')!.blob, receiver(100))
    const paces = new Map([
      ['slow', new Pace(clock)],
      ['fast', new Pace(clock)],
    ])
    const flights = new Flights()
    const rescue = (): unknown =>
      flights.rescue(
        'fast',
        clock.now(),
        (peer) => paces.get(peer),
        () => true,
      )
    for (let index = 0; index < 60; index++) flights.begin(queue.take('slow')!, 'slow', clock.now())
    expect(
      flights.rescue(
        'slow',
        1e9,
        (peer) => paces.get(peer),
        () => true,
      ),
    ).toBeUndefined()
    await clock.advance(10)
    paces.get('fast')!.received(CHUNK_BYTES)
    await clock.advance(60_000)
    const rescued = new Set()
    for (let task = rescue(); task !== undefined; task = rescue()) {
      expect(rescued.has(task)).toBe(false)
      rescued.add(task)
      flights.begin(task as never, 'fast', clock.now())
    }
    expect(rescued.size).toBe(MAX_RESCUES)
  })
})

describe('chunk maps', () => {
  it('come back as they went, and nothing else is one', () => {
    const blobs = [
      ['a', 0],
      ['b', 9 * CHUNK_BYTES + 1],
      ['c', 16 * CHUNK_BYTES],
      ['d', 1],
    ] as const
    const maps = [
      ALL,
      someChunks(blobs[1][1], (index) => index % 3 === 0),
      { kind: 'none' } as const,
      someChunks(1, () => true),
    ]
    const bytes = encodeHaveMaps(maps)
    expect(decodeHaveMaps(blobs, bytes)).toEqual(maps)
    expect([0, 1, 2, 3, 9, 10].map((index) => hasChunk(maps[1]!, index))).toEqual([
      true,
      false,
      false,
      true,
      true,
      false,
    ])
    for (let length = 0; length < bytes.length; length++)
      expect(decodeHaveMaps(blobs, bytes.subarray(0, length))).toBeUndefined()
    expect(decodeHaveMaps(blobs, Uint8Array.of(...bytes, 0))).toBeUndefined()
    // A bit of a chunk that the blob does not have.
    const beyond = Uint8Array.from(bytes)
    beyond[3]! |= 0x80
    expect(decodeHaveMaps(blobs, beyond)).toBeUndefined()
  })
})
