import { createHash } from 'node:crypto'
import { readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import * as fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CHUNK_BYTES, createBlobStore, isAddress, verifyBlob } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'

let directory: string
let store: BlobStore

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-store-'))
  store = await createBlobStore({ directory })
})
afterEach(() => rm(directory, { recursive: true, force: true }))

function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 31 + seed * 17 + (at >> 11)) & 255)
}

function digestOf(bytes: Uint8Array): string {
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    chunks.push(
      createHash('sha256')
        .update(bytes.subarray(at, at + CHUNK_BYTES))
        .digest(),
    )
  }
  return createHash('sha256').update(Buffer.concat(chunks)).digest('hex')
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve()
    yield bytes.subarray(at, at + size)
  }
}

async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

async function addresses(of: BlobStore): Promise<string[]> {
  const found: string[] = []
  for await (const { address } of of.list()) found.push(address)
  return found
}

describe('addresses', () => {
  it.each([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7])(
    'are the SHA-256 of the chunk hashes, as a raw CIDv1, for %i bytes',
    async (length) => {
      const bytes = pattern(length)
      const put = await store.put(bytes)
      const cid = CID.parse(put.address)
      expect([put.bytes, cid.version, cid.code, cid.multihash.code]).toEqual([length, 1, 0x55, 0x12])
      expect(Buffer.from(cid.multihash.digest).toString('hex')).toBe(digestOf(bytes))
    },
  )

  it('do not depend on how a stream was cut', async () => {
    const bytes = pattern(2 * CHUNK_BYTES + 100)
    const { address } = await store.put(bytes)
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 50_000, max: 3 * CHUNK_BYTES }), async (size) => {
        expect(await store.put(inPieces(bytes, size))).toEqual({ address, bytes: bytes.length })
      }),
      { numRuns: 12 },
    )
  })

  it('are refused in any other spelling, since they become file names', async () => {
    const { address } = await store.put(pattern(3))
    const others = [
      '',
      '../../etc/passwd',
      `${address}x`,
      address.toUpperCase(),
      `${address.slice(0, -1)}/`,
      CID.parse(address).toV1().toString().replace(/^b/, 'z'),
      CID.createV1(0x70, CID.parse(address).multihash).toString(),
      // The last letter has spare bits: another spelling of the same digest.
      address.slice(0, -1) + String.fromCharCode(address.charCodeAt(address.length - 1) + 1),
    ]
    for (const other of others) {
      expect(isAddress(other)).toBe(false)
      expect(() => store.path(other)).toThrow(/not a blob address/)
      await expect(store.read(other, 0, 1)).rejects.toMatchObject({ code: 'WEFT-STO-005' })
      await expect(store.remove(other)).rejects.toMatchObject({ code: 'WEFT-STO-005' })
      expect(await store.has(other)).toBe(false)
    }
  })
})

describe('a store', () => {
  it('gives back what was put, whole, in ranges and as a file', async () => {
    const bytes = pattern(CHUNK_BYTES + 500)
    const { address } = await store.put(bytes)
    expect(await store.has(address)).toBe(true)
    expect(await store.size(address)).toBe(bytes.length)
    expect(Buffer.compare(await store.readAll(address), bytes)).toBe(0)
    expect(await store.read(address, CHUNK_BYTES - 2, 4)).toEqual(bytes.slice(CHUNK_BYTES - 2, CHUNK_BYTES + 2))
    expect(await store.read(address, bytes.length, 0)).toEqual(new Uint8Array(0))
    expect(Buffer.compare(await readFile(store.path(address)), bytes)).toBe(0)
  })

  it('refuses ranges outside of a blob and blobs that it has not', async () => {
    const { address } = await store.put(pattern(10))
    for (const [offset, length] of [
      [8, 3],
      [11, 0],
      [-1, 2],
      [0, -1],
      [0.5, 1],
      [0, 2 ** 60],
      [Number.NaN, 1],
    ] as const) {
      await expect(store.read(address, offset, length)).rejects.toMatchObject({ code: 'WEFT-STO-002' })
    }
    await store.remove(address)
    await store.remove(address)
    expect(await store.has(address)).toBe(false)
    await expect(store.readAll(address)).rejects.toMatchObject({ code: 'WEFT-STO-001', details: { address } })
    await expect(store.size(address)).rejects.toMatchObject({ code: 'WEFT-STO-001' })
    await expect(store.chunkHashes(address)).rejects.toMatchObject({ code: 'WEFT-STO-001' })
  })

  it('keeps its blobs over a restart and lists them', async () => {
    const first = await store.put(pattern(10, 1))
    const second = await store.put(pattern(20, 2))
    const again = await createBlobStore({ directory })
    expect((await addresses(again)).toSorted()).toEqual([first.address, second.address].toSorted())
    expect(await again.size(second.address)).toBe(20)
  })

  it('takes the same blob from several writers at once and leaves one file of it', async () => {
    const bytes = pattern(2 * CHUNK_BYTES + 1)
    const other = await createBlobStore({ directory })
    const puts = await Promise.all([store.put(bytes), other.put(inPieces(bytes, 99_999)), store.put(bytes)])
    expect(new Set(puts.map(({ address }) => address)).size).toBe(1)
    expect((await filesBelow(directory)).toSorted()).toEqual([puts[0].address, `${puts[0].address}.hashes`].toSorted())
  })

  it('leaves nothing of a stream that fails half-way', async () => {
    async function* broken(): AsyncIterable<Uint8Array> {
      yield pattern(CHUNK_BYTES + 5)
      await Promise.resolve()
      throw new Error('the source went away')
    }
    await expect(store.put(broken())).rejects.toThrow('the source went away')
    expect(await filesBelow(directory)).toEqual([])
  })

  it('has the hashes of the chunks, also when the sidecar was lost or damaged', async () => {
    const bytes = pattern(2 * CHUNK_BYTES + 9)
    const { address } = await store.put(bytes)
    const hashes = await store.chunkHashes(address)
    expect(hashes.length).toBe(96)
    const sidecar = `${store.path(address)}.hashes`
    await rm(sidecar)
    expect(await store.chunkHashes(address)).toEqual(hashes)
    expect(statSync(sidecar).size).toBe(96)
    await writeFile(sidecar, new Uint8Array(96))
    expect(await store.chunkHashes(address)).toEqual(hashes)
    expect(await store.chunkHashes((await store.put(pattern(5))).address)).toHaveLength(32)
    expect(await store.chunkHashes((await store.put(new Uint8Array(0))).address)).toHaveLength(0)
  })

  it('says so when a file on disk is no longer what its name says', async () => {
    const { address } = await store.put(pattern(2 * CHUNK_BYTES))
    await rm(`${store.path(address)}.hashes`)
    await truncate(store.path(address), CHUNK_BYTES + 1)
    await expect(store.chunkHashes(address)).rejects.toMatchObject({ code: 'WEFT-STO-009' })
  })

  it.each([0, 1, 5000, 2 * CHUNK_BYTES + 9])(
    'reads a whole blob of %i bytes only as its name says, and puts it right when it is put again',
    async (length) => {
      const bytes = pattern(length)
      const { address } = await store.put(bytes)
      expect(Buffer.compare(await store.readAll(address), bytes)).toBe(0)
      if (length === 0) return
      const damaged = Uint8Array.from(bytes)
      damaged[length - 1]! ^= 1
      await writeFile(store.path(address), damaged)
      await expect(store.readAll(address)).rejects.toMatchObject({ code: 'WEFT-STO-009', details: { address } })
      if (length < CHUNK_BYTES) {
        await expect(store.chunkHashes(address)).rejects.toMatchObject({ code: 'WEFT-STO-009' })
      }
      await store.put(bytes)
      expect(Buffer.compare(await store.readAll(address), bytes)).toBe(0)
    },
  )

  it('can verify a blob, byte for byte', async () => {
    const bytes = pattern(CHUNK_BYTES + 3)
    const { address } = await store.put(bytes)
    expect(await verifyBlob(store, address)).toBe(true)
    await writeFile(store.path(address), bytes.with(CHUNK_BYTES + 1, bytes[CHUNK_BYTES + 1]! ^ 1))
    expect(await verifyBlob(store, address)).toBe(false)
  })

  it('that is opened to be read changes nothing', async () => {
    const { address } = await store.put(pattern(10))
    const left = join(directory, 'partial', '.weft-99999999-0-3-put.tmp')
    writeFileSync(left, 'x')
    const reader = await createBlobStore({ directory, readOnly: true })
    expect(await reader.size(address)).toBe(10)
    expect(readdirSync(join(directory, 'partial'))).toHaveLength(1)
    const nothing = await createBlobStore({ directory: join(directory, 'none'), readOnly: true })
    expect(await nothing.has(address)).toBe(false)
  })
})

describe('opening a store', () => {
  /** No process has this id: Linux ends at 2^22. */
  const DEAD = 99_999_999

  it('removes what killed runs left and nothing that is in use', async () => {
    const { address } = await store.put(pattern(2 * CHUNK_BYTES))
    const folder = dirname(store.path(address))
    const partial = join(directory, 'partial')
    const left = [
      join(partial, `.weft-${DEAD}-0-3-put.tmp`),
      join(folder, `.weft-${DEAD}-0-4-x.hashes.tmp`),
      join(partial, `.weft-${process.pid}-0-999999-put.tmp`),
      join(folder, 'bafkreigud3x3uy4ndvyzyybx4rqhjvvxy5cqzkq43jjbtkflme2x4hdtti.hashes'),
    ]
    for (const path of left) writeFileSync(path, 'x')
    // Of another process that lives: our parent.
    const kept = join(partial, `.weft-${process.ppid}-0-1-put.tmp`)
    writeFileSync(kept, 'x')
    await createBlobStore({ directory })
    const names = await filesBelow(directory)
    for (const path of left) expect(names).not.toContain(basename(path))
    expect(names).toContain(basename(kept))
    expect(names).toContain(`${address}.hashes`)
    expect(await store.has(address)).toBe(true)
  })

  it('does not touch what another store of this process is just writing', async () => {
    let opened: Promise<BlobStore> | undefined
    async function* slow(): AsyncIterable<Uint8Array> {
      yield pattern(1000)
      opened = createBlobStore({ directory })
      await opened
      yield pattern(1000)
    }
    const { address, bytes } = await store.put(slow())
    expect(bytes).toBe(2000)
    expect(await (await opened!).has(address)).toBe(true)
  })

  it('keeps interrupted transfers for a week', async () => {
    const bytes = pattern(2 * CHUNK_BYTES)
    const { address } = await store.put(bytes)
    const hashes = await store.chunkHashes(address)
    await store.remove(address)
    const receiver = await store.receive(address, bytes.length, hashes)
    await receiver.chunk(0, bytes.subarray(0, CHUNK_BYTES))
    await createBlobStore({ directory })
    const path = join(directory, 'partial', address)
    expect(readdirSync(join(directory, 'partial'))).toEqual([address])
    utimesSync(path, new Date(0), new Date(0))
    await createBlobStore({ directory })
    expect(readdirSync(join(directory, 'partial'))).toEqual([])
  })

  it('says which folder cannot be used', async () => {
    const file = join(directory, 'file')
    writeFileSync(file, '')
    await expect(createBlobStore({ directory: join(file, 'store') })).rejects.toMatchObject({ code: 'WEFT-STO-008' })
  })
})
