/** What is here of a blob that is not whole: for others who want it, after a crash, and after the disk went bad. */
import { mkdtemp, open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CHUNK_BYTES, createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'

let directory: string
let store: BlobStore
let other: BlobStore

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-partial-'))
  store = await createBlobStore({ directory: join(directory, 'one') })
  other = await createBlobStore({ directory: join(directory, 'other') })
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const bytes = Uint8Array.from({ length: 2 * CHUNK_BYTES + 9 }, (_, at) => (at * 13 + Math.floor(at / 77_777)) & 255)
const chunk = (index: number): Uint8Array => bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES)

async function flip(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+')
  await file.write(Uint8Array.of(bytes[at]! ^ 255), 0, 1, at)
  await file.close()
}

describe('a blob that is not whole', () => {
  it('gives the chunks that are verified, and is no partial one any more when it is whole', async () => {
    const { address } = await other.put(bytes)
    const hashes = await other.chunkHashes(address)
    expect(store.partial(address)).toBeUndefined()
    const receiver = await store.receive(address, bytes.length, hashes)
    expect(receiver.resumed).toBe(0)
    expect(await receiver.chunk(2, chunk(2))).toBe(true)
    expect(await receiver.chunk(2, chunk(2))).toBe(false)
    const part = store.partial(address)!
    expect([part.bytes, part.hashes]).toEqual([bytes.length, hashes])
    expect([0, 1, 2, 3, -1].map((index) => part.has(index))).toEqual([false, false, true, false, false])
    expect(await part.read(2)).toEqual(Uint8Array.from(chunk(2)))
    expect(await part.read(0)).toBeUndefined()
    for (const index of [0, 1]) await receiver.chunk(index, chunk(index))
    await receiver.finish()
    expect(store.partial(address)).toBeUndefined()
    expect(await part.read(2)).toBeUndefined()
  })

  it('says to whoever opens it first how much an earlier process had left', async () => {
    const { address } = await other.put(bytes)
    const hashes = await other.chunkHashes(address)
    await (await store.receive(address, bytes.length, hashes)).chunk(1, chunk(1))
    const again = await createBlobStore({ directory: join(directory, 'one') })
    expect((await again.receive(address, bytes.length, hashes)).resumed).toBe(1)
    expect((await again.receive(address, bytes.length, hashes)).resumed).toBe(0)
  })

  it('comes of a blob that has gone bad: the sound chunks are kept', async () => {
    const { address } = await store.put(bytes)
    const hashes = await store.chunkHashes(address)
    for (const index of [0, 1, 2]) expect(await store.isChunkSound(address, index)).toBe(true)
    for (const index of [-1, 3, 0.5]) expect(await store.isChunkSound(address, index)).toBe(false)
    await flip(store.path(address), CHUNK_BYTES + 5)
    expect(await store.isChunkSound(address, 0)).toBe(true)
    expect(await store.isChunkSound(address, 1)).toBe(false)
    await store.reopen(address)
    await store.reopen(address)
    expect(await store.has(address)).toBe(false)
    const receiver = await store.receive(address, bytes.length, hashes)
    expect(receiver.missing()).toEqual([1])
    await receiver.chunk(1, chunk(1))
    await receiver.finish()
    expect(Buffer.compare(await store.readAll(address), bytes)).toBe(0)
    expect(await store.isChunkSound(address, 1)).toBe(true)
    // Of one chunk, whose hash follows from the address alone.
    const small = await store.put(chunk(2))
    expect(await store.isChunkSound(small.address, 0)).toBe(true)
    await flip(store.path(small.address), 0)
    expect(await store.isChunkSound(small.address, 0)).toBe(false)
  })
})

describe('what the store takes', () => {
  it('is counted with the transfers, and the order of use outlives a restart', async () => {
    const first = await store.put(new Uint8Array(1000).fill(1))
    const second = await store.put(new Uint8Array(2000).fill(2))
    const { address } = await other.put(bytes)
    const receiver = await store.receive(address, bytes.length, await other.chunkHashes(address))
    // The last chunk alone: the file has a hole before it.
    await receiver.chunk(2, chunk(2))
    expect(await store.usage()).toBeGreaterThanOrEqual(3000)
    expect(await store.usage()).toBeLessThan(3000 + CHUNK_BYTES)
    const before = (await stat(store.path(first.address))).mtimeMs
    await new Promise((resolve) => setTimeout(resolve, 20))
    await store.touch([first.address, 'no address', address])
    const again = await createBlobStore({ directory: join(directory, 'one') })
    const used = new Map<string, number>()
    for await (const blob of again.list()) used.set(blob.address, blob.used)
    expect(used.get(first.address)).toBeGreaterThan(before)
    expect(used.get(first.address)).toBeGreaterThan(used.get(second.address)!)
  })

  it('is held by a process that lives, and by no other', async () => {
    expect(await store.held()).toBe(false)
    const [one, two] = [await store.hold(), await store.hold()]
    const elsewhere = await createBlobStore({ directory: join(directory, 'one') })
    await one()
    await one()
    expect(await elsewhere.held()).toBe(true)
    await two()
    expect(await elsewhere.held()).toBe(false)
  })
})
