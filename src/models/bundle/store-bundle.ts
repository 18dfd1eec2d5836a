/** A bundle, checked and turned into blobs of the store: the part of its import that depends on what it says. */
import { createHash } from 'node:crypto'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { WeftError } from '../../errors.ts'
import {
  addressOfHashes,
  availableBytes,
  BlobDamagedError,
  CHUNK_BYTES,
  DiskFullError,
  explainDisk,
} from '../../store/index.ts'
import type { BlobAddress, BlobStore } from '../../store/index.ts'
import { checkSkeleton } from '../graph/check-skeleton.ts'
import { besideBlocks, isGraphManifest } from '../graph/manifest.ts'
import type { AnyManifest, GraphManifest } from '../graph/manifest.ts'
import { ModelFileError } from '../errors.ts'
import { openFileAccess } from '../readers/random-access.ts'
import type { RandomAccess } from '../readers/random-access.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import { createTokenizer } from '../tokenizer/tokenizer.ts'
import { BundleFileError } from './errors.ts'
import { blobEntry, HASH_BYTES } from './layout.ts'
import { chunkHash, readBundle } from './read-bundle.ts'
import type { BundleBlob } from './read-bundle.ts'
import { shown } from './tar-header.ts'

/** JSON-safe: it crosses to a child. */
export interface StoreBundleJob {
  readonly bundle: string
  /** Folder for what is only there while it is looked at; it is there. */
  readonly scratch: string
}

/** JSON-safe. */
export interface StoredBundle {
  readonly manifest: AnyManifest
  /** Blobs that were in the store and sound, and their bytes. */
  readonly reused: { readonly blobs: number; readonly bytes: number }
}

export interface StoreBundleEvents {
  /** Bytes of blobs so far, of all; those that were here already count. */
  progress(done: number, total: number): void
  /** A blob is about to appear that was not in the store before. */
  added(address: BlobAddress): void
}

/** What every tokenizer must be able to take: letters, digits, signs, another script. */
const TRIAL_TEXT = 'One, 2 \u2014 \u4f60\u597d.\n'

/**
 * Memory is bounded by the manifest, the hashes (32 bytes a MiB), the tokenizer and a chunk. What it has added when it
 * fails, the caller takes back.
 * @throws SourceFileError, BundleFileError, ManifestError, TokenizerDefinitionError, UnknownPreTokenizerError,
 * DiskFullError, StoreUnwritableError
 */
export async function storeBundle(
  store: BlobStore,
  job: StoreBundleJob,
  events: StoreBundleEvents,
  signal?: AbortSignal,
): Promise<StoredBundle> {
  const access = await openFileAccess(job.bundle)
  try {
    const { manifest, blobs } = await readBundle(access)
    for (const { address } of besideBlocks(manifest)) await checkTokenizer(access, address, blobs, signal)
    if (isGraphManifest(manifest)) await checkGraph(access, manifest, blobs, job.scratch, signal)
    const total = blobs.reduce((sum, { bytes }) => sum + bytes, 0)
    let done = 0
    const moved = (bytes: number): void => events.progress((done += bytes), total)
    const missing: BundleBlob[] = []
    for (const blob of blobs) if (!(await isSound(store, blob, moved, signal))) missing.push(blob)
    await needRoom(store, missing)
    for (const blob of missing) {
      await store.put(verified(access, blob, moved, signal), (address) => events.added(address))
    }
    await access.unchanged()
    const bytes = total - missing.reduce((sum, blob) => sum + blob.bytes, 0)
    return { manifest, reused: { blobs: blobs.length - missing.length, bytes } }
  } finally {
    await access.close()
  }
}

/** The chunks of a blob, each handed on once it is known to be what its address says. @throws BundleFileError */
async function* verified(
  access: RandomAccess,
  blob: BundleBlob,
  moved: (bytes: number) => void,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  for (let at = 0, index = 0; at < blob.bytes; at += CHUNK_BYTES, index++) {
    signal?.throwIfAborted()
    const chunk = await access.read(blob.offset + at, Math.min(CHUNK_BYTES, blob.bytes - at))
    if (!isChunk(blob, index, chunk)) {
      throw new BundleFileError(shown(blobEntry(blob.address)), `chunk ${index} is not what its address says`, {
        address: blob.address,
        index,
      })
    }
    yield chunk
    moved(chunk.length)
  }
}

function isChunk(blob: BundleBlob, index: number, chunk: Uint8Array): boolean {
  const hash = createHash('sha256').update(chunk).digest()
  const expected = chunkHash(blob, index)
  return expected === null ? addressOfHashes(hash) === blob.address : Buffer.compare(hash, expected) === 0
}

/** Is the blob here, every chunk of it? One that is damaged is stored again over what is there. */
async function isSound(
  store: BlobStore,
  blob: BundleBlob,
  moved: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { address, bytes } = blob
  if (!(await store.has(address)) || (await store.size(address)) !== bytes) return false
  const hashes = await store.chunkHashes(address).catch((error: unknown) => {
    if (error instanceof BlobDamagedError) return null
    throw error
  })
  if (hashes === null) return false
  for (let at = 0, index = 0; at < bytes; at += CHUNK_BYTES, index++) {
    signal?.throwIfAborted()
    const chunk = await store.read(address, at, Math.min(CHUNK_BYTES, bytes - at))
    const hash = createHash('sha256').update(chunk).digest()
    if (Buffer.compare(hash, hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES)) !== 0) return false
  }
  moved(bytes)
  return true
}

/** @throws DiskFullError before anything is written */
async function needRoom(store: BlobStore, blobs: readonly BundleBlob[]): Promise<void> {
  const needed = blobs.reduce((sum, { bytes }) => sum + bytes, 0)
  if (blobs.length === 0) return
  const folder = dirname(dirname(store.path(blobs[0]!.address)))
  const free = await availableBytes(folder)
  if (needed > free) throw new DiskFullError(folder, needed, free)
}

/** Before the tensors: a bundle whose tokenizer is none is not worth them. */
async function checkTokenizer(
  access: RandomAccess,
  address: BlobAddress,
  blobs: readonly BundleBlob[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const blob = blobs.find((one) => one.address === address)!
  const pieces: Uint8Array[] = []
  for await (const piece of verified(access, blob, () => {}, signal)) pieces.push(piece)
  try {
    const definition = JSON.parse(Buffer.concat(pieces).toString('utf8')) as TokenizerDefinition
    createTokenizer(definition).encode(TRIAL_TEXT)
  } catch (error) {
    if (error instanceof WeftError) throw error
    throw new BundleFileError('tokenizer', 'it is not the definition of one')
  }
}

/** Likewise: read where nothing lies beside it that it could refer to. */
async function checkGraph(
  access: RandomAccess,
  manifest: GraphManifest,
  blobs: readonly BundleBlob[],
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { address } = manifest.blocks[0]!.tensors[0]!
  const blob = blobs.find((one) => one.address === address)!
  const folder = await mkdtemp(join(scratch, 'bundle-')).catch(async (error: unknown) => {
    throw await explainDisk(error, scratch, blob.bytes)
  })
  try {
    const path = join(folder, 'skeleton')
    await copyOut(
      verified(access, blob, () => {}, signal),
      path,
    ).catch(async (error: unknown) => {
      throw await explainDisk(error, scratch, blob.bytes)
    })
    await checkSkeleton(path, manifest).catch((error: unknown) => {
      if (!(error instanceof WeftError)) throw error
      const why = error.code === ModelFileError.info.code ? (error.why ?? error.message) : 'it is no graph'
      throw new BundleFileError('skeleton', why, { code: error.code })
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function copyOut(chunks: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    for await (const chunk of chunks) await handle.writeFile(chunk)
  } finally {
    await handle.close()
  }
}
