/** Is a blob on disk still what its name says? */
import { addressOfHashes, createChunkHasher } from './address.ts'
import { CHUNK_BYTES } from './types.ts'
import type { BlobAddress, BlobStore } from './types.ts'

/** Reads the whole blob, a chunk at a time. @throws BlobMissingError */
export async function verifyBlob(store: BlobStore, address: BlobAddress, signal?: AbortSignal): Promise<boolean> {
  const size = await store.size(address)
  const hasher = createChunkHasher()
  for (let at = 0; at < size; at += CHUNK_BYTES) {
    signal?.throwIfAborted()
    hasher.update(await store.read(address, at, Math.min(CHUNK_BYTES, size - at)))
  }
  return addressOfHashes(hasher.finish()) === address
}
