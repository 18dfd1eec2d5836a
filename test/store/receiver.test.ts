import { createHash } from 'node:crypto'
import { mkdtemp, open, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { addressOfHashes, CHUNK_BYTES, createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'

let directory: string
let store: BlobStore

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-receive-'))
  store = await createBlobStore({ directory })
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const bytes = Uint8Array.from({ length: 3 * CHUNK_BYTES + 77 }, (_, at) => (at * 7 + Math.floor(at / 100_003)) & 255)
const chunks = [0, 1, 2, 3].map((index) => bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES))
const hashes = Buffer.concat(chunks.map((chunk) => createHash('sha256').update(chunk).digest()))
const address = addressOfHashes(hashes)

describe('receiving a blob', () => {
  it('takes chunks in any order and shows the blob only when it is whole', async () => {
    const receiver = await store.receive(address, bytes.length, hashes)
    expect(receiver.missing()).toEqual([0, 1, 2, 3])
    for (const index of [3, 0, 2]) await receiver.chunk(index, chunks[index]!)
    expect(receiver.missing()).toEqual([1])
    expect(await store.has(address)).toBe(false)
    await expect(receiver.finish()).rejects.toMatchObject({ code: 'WEFT-STO-006', details: { missing: 1, total: 4 } })
    await receiver.chunk(1, chunks[1]!)
    await receiver.finish()
    expect(Buffer.compare(await store.readAll(address), bytes)).toBe(0)
    expect(await store.chunkHashes(address)).toEqual(new Uint8Array(hashes))
    expect(await readdir(join(directory, 'partial'))).toEqual([])
    await receiver.finish()
  })

  it('keeps no chunk that is not the announced one', async () => {
    const receiver = await store.receive(address, bytes.length, hashes)
    const flipped = Uint8Array.from(chunks[0]!)
    flipped[12_345]! ^= 1
    await expect(receiver.chunk(0, flipped)).rejects.toMatchObject({ code: 'WEFT-STO-003', retryable: true })
    await expect(receiver.chunk(0, chunks[1]!)).rejects.toMatchObject({ code: 'WEFT-STO-003' })
    await expect(receiver.chunk(3, chunks[3]!.subarray(1))).rejects.toMatchObject({ code: 'WEFT-STO-003' })
    for (const index of [-1, 4, 1.5, Number.NaN]) {
      await expect(receiver.chunk(index, chunks[0]!)).rejects.toMatchObject({ code: 'WEFT-STO-003' })
    }
    expect(receiver.missing()).toEqual([0, 1, 2, 3])
    await receiver.chunk(0, chunks[0]!)
    expect(receiver.missing()).toEqual([1, 2, 3])
  })

  it('believes no announcement that does not make the address', async () => {
    const lies: [number, Uint8Array][] = [
      [bytes.length, hashes.subarray(32)],
      [bytes.length, Buffer.alloc(hashes.length)],
      [bytes.length + CHUNK_BYTES, hashes],
      [-1, hashes],
      [2 ** 50, hashes],
      [Number.NaN, hashes],
    ]
    for (const [size, list] of lies) {
      await expect(store.receive(address, size, list)).rejects.toMatchObject({ code: 'WEFT-STO-004' })
    }
    await expect(store.receive('../x', bytes.length, hashes)).rejects.toMatchObject({ code: 'WEFT-STO-005' })
    expect(await readdir(join(directory, 'partial'))).toEqual([])
  })

  it('goes on after a restart where it stopped, and looks at what is on disk again', async () => {
    const first = await store.receive(address, bytes.length, hashes)
    await first.chunk(0, chunks[0]!)
    await first.chunk(2, chunks[2]!)
    await first.chunk(3, chunks[3]!)
    // What a crash may do: a chunk that was written is not whole.
    const handle = await open(join(directory, 'partial', address), 'r+')
    await handle.write(new Uint8Array(10), 0, 10, 2 * CHUNK_BYTES + 50)
    await handle.close()
    const restarted = await createBlobStore({ directory })
    const second = await restarted.receive(address, bytes.length, hashes)
    expect(second.missing()).toEqual([1, 2])
    await second.chunk(1, chunks[1]!)
    await second.chunk(2, chunks[2]!)
    await second.finish()
    expect(Buffer.compare(await restarted.readAll(address), bytes)).toBe(0)
  })

  it('shares its state between receivers of the same blob', async () => {
    const [one, two] = await Promise.all([
      store.receive(address, bytes.length, hashes),
      store.receive(address, bytes.length, hashes),
    ])
    await Promise.all([one.chunk(0, chunks[0]!), two.chunk(1, chunks[1]!), one.chunk(1, chunks[1]!)])
    expect(two.missing()).toEqual([2, 3])
    await Promise.all([two.chunk(2, chunks[2]!), two.chunk(3, chunks[3]!)])
    await Promise.all([one.finish(), two.finish()])
    expect(await store.size(address)).toBe(bytes.length)
  })

  it('forgets all when it is abandoned, and can begin again', async () => {
    const receiver = await store.receive(address, bytes.length, hashes)
    await receiver.chunk(0, chunks[0]!)
    await receiver.abandon()
    await receiver.abandon()
    expect(await readdir(join(directory, 'partial'))).toEqual([])
    const again = await store.receive(address, bytes.length, hashes)
    expect(again.missing()).toEqual([0, 1, 2, 3])
  })

  it('has nothing to fetch of a blob that is here, and takes the empty one', async () => {
    await store.put(bytes)
    const receiver = await store.receive(address, bytes.length, hashes)
    expect(receiver.missing()).toEqual([])
    await receiver.finish()
    expect(await store.size(address)).toBe(bytes.length)
    const none = addressOfHashes(new Uint8Array(0))
    const empty = await store.receive(none, 0, new Uint8Array(0))
    await empty.finish()
    expect(await store.size(none)).toBe(0)
  })
})
