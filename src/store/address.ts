/** Addresses of blobs: SHA-256 over the SHA-256s of the 1 MiB chunks, as a CID (DESIGN decision 2). */
import { createHash, hash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { CID } from 'multiformats/cid'
import { create as multihash } from 'multiformats/hashes/digest'
import { InvalidAddressError } from './errors.ts'
import { CHUNK_BYTES } from './types.ts'
import type { BlobAddress } from './types.ts'

export const HASH_BYTES = 32
const RAW_CODEC = 0x55
const SHA2_256 = 0x12
/** Base32 of version, codec and a 34-byte multihash: anything of another length is not parsed at all. */
const ADDRESS_SHAPE = /^b[a-z2-7]{58}$/

export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', bytes, 'buffer'))
}

/** The address that belongs to the concatenated hashes of a blob's chunks; no hashes for the empty blob. */
export function addressOfHashes(hashes: Uint8Array): BlobAddress {
  return CID.createV1(RAW_CODEC, multihash(SHA2_256, sha256(hashes))).toString()
}

/** @throws InvalidAddressError when `address` is not one: it may come from a wire, and becomes a file name. */
export function checkAddress(address: BlobAddress): void {
  if (!isAddress(address)) throw new InvalidAddressError(String(address))
}

export function isAddress(address: unknown): address is BlobAddress {
  if (typeof address !== 'string' || !ADDRESS_SHAPE.test(address)) return false
  try {
    const cid = CID.parse(address)
    const plain = cid.version === 1 && cid.code === RAW_CODEC && cid.multihash.code === SHA2_256
    // Base32 has spare bits at the end: only the canonical spelling names a file, else one blob had several names.
    return plain && cid.multihash.digest.length === HASH_BYTES && cid.toString() === address
  } catch {
    return false
  }
}

export function chunkCount(bytes: number): number {
  return Math.ceil(bytes / CHUNK_BYTES)
}

/** Hashes a stream of bytes, cut anywhere, chunk by chunk. */
export interface ChunkHasher {
  update(bytes: Uint8Array): void
  /** SHA-256 of each chunk, concatenated. Ends the hasher. */
  finish(): Uint8Array
}

export function createChunkHasher(): ChunkHasher {
  const done: Uint8Array[] = []
  let current: Hash | null = null
  let filled = 0
  const close = (): void => {
    if (current !== null) done.push(current.digest())
    current = null
    filled = 0
  }
  return {
    update(bytes) {
      for (let at = 0; at < bytes.length;) {
        const take = Math.min(CHUNK_BYTES - filled, bytes.length - at)
        current ??= createHash('sha256')
        current.update(bytes.subarray(at, at + take))
        filled += take
        at += take
        if (filled === CHUNK_BYTES) close()
      }
    },
    finish() {
      close()
      return Uint8Array.from(Buffer.concat(done))
    },
  }
}
