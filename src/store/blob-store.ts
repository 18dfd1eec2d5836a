/** The store: one file a blob under its address, in a folder that any number of processes may read. */
import { open, readFile, rm, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { addressOfHashes, checkAddress, chunkCount, createChunkHasher, HASH_BYTES, isAddress } from './address.ts'
import { createTemporary, errorCode, explainDisk, syncDirectory, writeAll, writeFileAtomic } from './disk.ts'
import type { TemporaryFile } from './disk.ts'
import { BlobDamagedError, BlobMissingError, BlobRangeError } from './errors.ts'
import { makeFolder, prepareLayout, storeLayout } from './layout.ts'
import type { StoreLayout } from './layout.ts'
import { createReceivers } from './receiver.ts'
import { holdStore, isStoreHeld } from './hold.ts'
import { isChunkSound, reopenBlob } from './reopen.ts'
import { needRoom } from './room.ts'
import { listBlobs, storeUsage, touchBlobs } from './usage.ts'
import { readInOrder } from './verify.ts'
import { CHUNK_BYTES } from './types.ts'
import type { BlobAddress, BlobStore } from './types.ts'

export interface BlobStoreInit {
  /** Folder of the store; made when it is not there. */
  readonly directory: string
  /** The folder is only read: nothing is made, cleaned or checked at the start. @default false */
  readonly readOnly?: boolean
}

/**
 * Opens a store and cleans up what killed runs left in it.
 * @throws StoreUnwritableError, DiskFullError
 */
export async function createBlobStore(init: BlobStoreInit): Promise<BlobStore> {
  const layout = storeLayout(init.directory)
  if (init.readOnly !== true) {
    await prepareLayout(layout).catch(async (error: unknown) => {
      throw await explainDisk(error, init.directory, 0)
    })
  }
  const { receive, partial } = createReceivers(layout)
  const store: BlobStore = {
    has: async (address) => isAddress(address) && (await sizeOf(layout, address)) !== null,
    size: (address) => existingSize(layout, address),
    read: (address, offset, length) => readRange(layout, address, offset, length),
    readAll: (address) => readVerified(layout, address),
    inOrder: (address) => readInOrder(store, address),
    path: (address) => {
      checkAddress(address)
      return layout.blob(address)
    },
    chunkHashes: (address) => chunkHashes(layout, address),
    put: (bytes, before) => put(layout, bytes, before),
    receive,
    partial,
    isChunkSound: (address, index) => isChunkSound(store, address, index),
    reopen: (address) => reopenBlob(layout, address),
    async remove(address) {
      checkAddress(address)
      await rm(layout.blob(address), { force: true })
      await rm(layout.sidecar(address), { force: true })
    },
    list: () => listBlobs(layout),
    touch: (addresses) => touchBlobs(layout, addresses),
    usage: () => storeUsage(layout),
    hold: () => holdStore(layout),
    held: () => isStoreHeld(layout),
  }
  return store
}

async function sizeOf(layout: StoreLayout, address: BlobAddress): Promise<number | null> {
  try {
    const stats = await stat(layout.blob(address))
    return stats.isFile() ? stats.size : null
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null
    throw error
  }
}

async function existingSize(layout: StoreLayout, address: BlobAddress): Promise<number> {
  checkAddress(address)
  const size = await sizeOf(layout, address)
  if (size === null) throw new BlobMissingError(address)
  return size
}

async function openBlob(layout: StoreLayout, address: BlobAddress): Promise<FileHandle> {
  checkAddress(address)
  try {
    return await open(layout.blob(address), 'r')
  } catch (error) {
    throw errorCode(error) === 'ENOENT' ? new BlobMissingError(address) : error
  }
}

async function readRange(
  layout: StoreLayout,
  address: BlobAddress,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const handle = await openBlob(layout, address)
  try {
    const { size } = await handle.stat()
    const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0
    if (!whole || offset + length > size) throw new BlobRangeError(address, offset, length, size)
    const bytes = new Uint8Array(length)
    for (let at = 0; at < length;) {
      const { bytesRead } = await handle.read(bytes, at, length - at, offset + at)
      if (bytesRead === 0) throw new BlobRangeError(address, offset, length, offset + at)
      at += bytesRead
    }
    return bytes
  } finally {
    await handle.close()
  }
}

/** Disks rot, and whoever reads a whole blob is about to believe it. */
async function readVerified(layout: StoreLayout, address: BlobAddress): Promise<Uint8Array> {
  const bytes = await readRange(layout, address, 0, await existingSize(layout, address))
  const hasher = createChunkHasher()
  hasher.update(bytes)
  if (addressOfHashes(hasher.finish()) !== address) throw new BlobDamagedError(address)
  return bytes
}

async function chunkHashes(layout: StoreLayout, address: BlobAddress): Promise<Uint8Array> {
  const size = await existingSize(layout, address)
  if (size <= CHUNK_BYTES) {
    const hashes = await hashesOnDisk(layout, address, size)
    if (addressOfHashes(hashes) !== address) throw new BlobDamagedError(address)
    return hashes
  }
  const kept = await readFile(layout.sidecar(address)).catch(() => null)
  if (kept?.length === chunkCount(size) * HASH_BYTES && addressOfHashes(kept) === address) return new Uint8Array(kept)
  return rebuildSidecar(layout, address, size)
}

/** The sidecar was lost or damaged: the blob itself tells its hashes, and whether it is still what its name says. */
async function rebuildSidecar(layout: StoreLayout, address: BlobAddress, size: number): Promise<Uint8Array> {
  const hashes = await hashesOnDisk(layout, address, size)
  if (addressOfHashes(hashes) !== address) throw new BlobDamagedError(address)
  await writeFileAtomic(layout.sidecar(address), hashes)
  return hashes
}

async function hashesOnDisk(layout: StoreLayout, address: BlobAddress, size: number): Promise<Uint8Array> {
  const hasher = createChunkHasher()
  for (let at = 0; at < size; at += CHUNK_BYTES) {
    hasher.update(await readRange(layout, address, at, Math.min(CHUNK_BYTES, size - at)))
  }
  return hasher.finish()
}

/** Whether the blob is here already, and not damaged: to store it again is how a person mends it. */
async function isSound(layout: StoreLayout, address: BlobAddress, bytes: number): Promise<boolean> {
  if ((await sizeOf(layout, address)) !== bytes) return false
  return addressOfHashes(await hashesOnDisk(layout, address, bytes)) === address
}

async function put(
  layout: StoreLayout,
  source: Uint8Array | AsyncIterable<Uint8Array>,
  before: ((address: BlobAddress) => void) | undefined,
): Promise<{ address: BlobAddress; bytes: number }> {
  let bytes = 0
  try {
    if (source instanceof Uint8Array) await needRoom(layout.blobs, source.length)
    const file = await createTemporary(layout.partial, 'put', 0o600)
    try {
      const hasher = createChunkHasher()
      for await (const piece of pieces(source)) {
        // The disk takes it while it is hashed.
        const writing = writeAll(file.handle, piece, bytes)
        hasher.update(piece)
        await writing
        bytes += piece.length
      }
      const hashes = hasher.finish()
      const address = addressOfHashes(hashes)
      if (await isSound(layout, address, bytes)) return { address, bytes }
      if ((await sizeOf(layout, address)) === null) before?.(address)
      await makeFolder(layout, address)
      await placeBlob(layout, address, file, hashes)
      return { address, bytes }
    } finally {
      await file.discard()
    }
  } catch (error) {
    throw await explainDisk(error, layout.blobs, source instanceof Uint8Array ? source.length : bytes)
  }
}

async function placeBlob(
  layout: StoreLayout,
  address: BlobAddress,
  blob: TemporaryFile,
  hashes: Uint8Array,
): Promise<void> {
  const sidecar = hashes.length > HASH_BYTES ? await createTemporary(layout.partial, 'hashes', 0o600) : null
  try {
    if (sidecar !== null) await writeAll(sidecar.handle, hashes, 0)
    await Promise.all([blob.handle.sync(), sidecar?.handle.sync()])
    // The sidecar first: a blob that can be seen then has one, and a lone sidecar is removed at the next start.
    await sidecar?.place(layout.sidecar(address))
    await blob.place(layout.blob(address))
    await syncDirectory(layout.folder(address))
  } finally {
    await sidecar?.discard()
  }
}

async function* pieces(source: Uint8Array | AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  if (!(source instanceof Uint8Array)) yield* source
  else for (let at = 0; at < source.length; at += CHUNK_BYTES) yield source.subarray(at, at + CHUNK_BYTES)
}
