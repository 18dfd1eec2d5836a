/** A blob that went bad on the disk: which chunk it is, and how the sound ones are kept. */
import { rename, rm } from 'node:fs/promises'
import { addressOfHashes, checkAddress, chunkCount, HASH_BYTES, sha256 } from './address.ts'
import { errorCode } from './disk.ts'
import { BlobDamagedError } from './errors.ts'
import type { StoreLayout } from './layout.ts'
import { CHUNK_BYTES } from './types.ts'
import type { BlobAddress, BlobStore } from './types.ts'

export async function isChunkSound(store: BlobStore, address: BlobAddress, index: number): Promise<boolean> {
  if (!(await store.has(address))) return false
  const size = await store.size(address)
  if (!Number.isInteger(index) || index < 0 || index >= chunkCount(size)) return false
  const chunk = await store.read(address, index * CHUNK_BYTES, Math.min(CHUNK_BYTES, size - index * CHUNK_BYTES))
  const hash = sha256(chunk)
  if (size <= CHUNK_BYTES) return addressOfHashes(hash) === address
  try {
    const hashes = await store.chunkHashes(address)
    return Buffer.compare(hash, hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES)) === 0
  } catch (error) {
    if (error instanceof BlobDamagedError) return false
    throw error
  }
}

/** Harmless for a blob that is not here. Whoever has the file open or mapped goes on reading the same file. */
export async function reopenBlob(layout: StoreLayout, address: BlobAddress): Promise<void> {
  checkAddress(address)
  try {
    await rename(layout.blob(address), layout.transfer(address))
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
  await rm(layout.sidecar(address), { force: true })
}
