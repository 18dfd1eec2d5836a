/** Content-addressed blobs: what models and the mesh ask of the store. */

/**
 * The address of a tensor's source bytes: a CIDv1 (raw codec, base32) whose SHA-256 is taken over the concatenated
 * SHA-256s of the bytes' 1 MiB chunks (DESIGN decision 2), so that each chunk can be verified as it arrives.
 */
export type BlobAddress = string

export const CHUNK_BYTES = 1 << 20

/**
 * The next so many bytes of a blob, in a buffer that is used again for the bytes after them.
 * @throws BlobDamagedError, BlobRangeError
 */
export type OrderedReader = (length: number) => Promise<Uint8Array>

export interface BlobStore {
  has(address: BlobAddress): Promise<boolean>
  /** Size of a blob in bytes. @throws BlobMissingError */
  size(address: BlobAddress): Promise<number>
  /** Reads `length` bytes at `offset`. @throws BlobMissingError, BlobRangeError */
  read(address: BlobAddress, offset: number, length: number): Promise<Uint8Array>
  /** The whole blob, held against its address. @throws BlobMissingError, BlobDamagedError */
  readAll(address: BlobAddress): Promise<Uint8Array>
  /** The blob from its beginning to its end, each chunk held against its hash. @throws BlobMissingError */
  inOrder(address: BlobAddress): Promise<OrderedReader>
  /** A file that holds exactly the blob's bytes; it must not be written to. */
  path(address: BlobAddress): string
  /** SHA-256 of each chunk, concatenated. */
  chunkHashes(address: BlobAddress): Promise<Uint8Array>
  /**
   * Stores bytes under the address that they have, and returns it. Safe against crashes: temp, fsync, rename. A piece is
   * needed until the next is asked for. `before` is
   * called with the address just before the blob appears, and not at all when one is here already, sound or not: so a
   * caller knows what it would have to take back, whenever it is stopped.
   */
  put(
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    before?: (address: BlobAddress) => void,
  ): Promise<{ address: BlobAddress; bytes: number }>
  /**
   * Receives a blob chunk by chunk from elsewhere; each chunk is verified before it is kept, an interrupted transfer
   * goes on where it stopped.
   */
  receive(address: BlobAddress, bytes: number, hashes: Uint8Array): Promise<BlobReceiver>
  /** A transfer that this process has open: what of the blob is here already, for others who want it too. */
  partial(address: BlobAddress): PartialBlob | undefined
  /** Is this chunk of a whole blob still what its hash says? False for a blob that is not here. */
  isChunkSound(address: BlobAddress, index: number): Promise<boolean>
  /** Makes an interrupted transfer of a whole blob that is damaged: its sound chunks need not be fetched again. */
  reopen(address: BlobAddress): Promise<void>
  remove(address: BlobAddress): Promise<void>
  list(): AsyncIterable<StoredBlob>
  /** Says that these are in use now: what was used last is evicted last. */
  touch(addresses: Iterable<BlobAddress>): Promise<void>
  /** Bytes of all blobs and transfers. */
  usage(): Promise<number>
  /**
   * While it is held, blobs may be here that no manifest names yet (an import). Returns how to let go; the death of this
   * process does so too.
   */
  hold(): Promise<() => Promise<void>>
  /** Does any living process hold it? */
  held(): Promise<boolean>
}

export interface StoredBlob {
  readonly address: BlobAddress
  readonly bytes: number
  /** When it was stored or touched last, in milliseconds of the file system's clock. */
  readonly used: number
}

export interface PartialBlob {
  readonly bytes: number
  /** SHA-256 of each chunk, concatenated. */
  readonly hashes: Uint8Array
  readonly has: (index: number) => boolean
  /** A chunk that is here; undefined when it is not. */
  readonly read: (index: number) => Promise<Uint8Array | undefined>
}

export interface BlobReceiver {
  /** Chunks that an interrupted transfer had left, for whoever opened it first; 0 for others. */
  readonly resumed: number
  /** Chunks that are still missing, rising. */
  missing(): number[]
  /** False when it was here already. @throws ChunkMismatchError when the chunk's hash is not the one announced. */
  chunk(index: number, bytes: Uint8Array): Promise<boolean>
  /** All chunks are here: the blob appears under its address. */
  finish(): Promise<void>
  abandon(): Promise<void>
}
