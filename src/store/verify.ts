/** Is a blob on disk still what its name says? */
import { closeSync, openSync, read } from 'node:fs'
import { promisify } from 'node:util'
import { addressOfHashes, createChunkHasher, HASH_BYTES, sha256 } from './address.ts'
import { BlobDamagedError, BlobRangeError } from './errors.ts'
import { CHUNK_BYTES } from './types.ts'
import type { BlobAddress, BlobStore, OrderedReader } from './types.ts'

const readAt = promisify(read)

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

/**
 * A blob from its beginning to its end, in lengths as they are asked for, each chunk held against the blob's hashes before
 * anything of it is given: for blobs that are too large for `readAll`.
 * @throws BlobMissingError, and from the reader BlobDamagedError, BlobRangeError
 */
export async function readInOrder(
  store: Pick<BlobStore, 'chunkHashes' | 'path' | 'size'>,
  address: BlobAddress,
): Promise<OrderedReader> {
  const size = await store.size(address)
  const hashes = await store.chunkHashes(address)
  const chunk = new Uint8Array(Math.min(CHUNK_BYTES, size))
  let out = new Uint8Array(0)
  let left: Uint8Array = out
  let index = 0
  const next = async (file: number): Promise<Uint8Array> => {
    const from = index * CHUNK_BYTES
    const bytes = chunk.subarray(0, Math.min(CHUNK_BYTES, size - from))
    const { bytesRead } = await readAt(file, bytes, 0, bytes.length, from)
    const expected = hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES)
    if (bytesRead < bytes.length || Buffer.compare(sha256(bytes), expected) !== 0) throw new BlobDamagedError(address)
    index++
    return bytes
  }
  return async (length) => {
    const at = Math.min(index * CHUNK_BYTES, size) - left.length
    if (length < 0 || at + length > size) throw new BlobRangeError(address, at, length, size)
    if (out.length < length) out = new Uint8Array(length)
    // Not kept open, since whoever stops in the middle does not say so; and at once, which is quicker than to ask a thread.
    const file = openSync(store.path(address), 'r')
    try {
      for (let filled = 0; filled < length;) {
        if (left.length === 0) left = await next(file)
        const take = Math.min(left.length, length - filled)
        out.set(left.subarray(0, take), filled)
        left = left.subarray(take)
        filled += take
      }
    } finally {
      closeSync(file)
    }
    return out.subarray(0, length)
  }
}
