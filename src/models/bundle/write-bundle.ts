/** Writes a model of the store as one file, whole or not at all; a few chunks of it are in memory, whatever its size. */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import {
  availableBytes,
  BlobDamagedError,
  CHUNK_BYTES,
  createTemporary,
  DiskFullError,
  explainDisk,
  removeAbandoned,
  StoreUnwritableError,
  writeAll,
} from '../../store/index.ts'
import type { BlobAddress, BlobStore, TemporaryFile } from '../../store/index.ts'
import { besideBlocks } from '../graph/manifest.ts'
import type { AnyManifest } from '../graph/manifest.ts'
import type { ProgressListener } from '../sources/progress.ts'
import { BundleIncompleteError, BundleTargetError, BundleUnwritableError } from './errors.ts'
import { blobEntry, blobSizes, HASH_BYTES, hashesEntry, hashesLength, MANIFEST_ENTRY, manifestBytes } from './layout.ts'
import { padded, TAR_BLOCK, tarHeader } from './tar-header.ts'

export interface BundleRequest {
  readonly manifest: AnyManifest
  /** The file, in a folder that is there. */
  readonly path: string
  /** Replaces a file that is there. */
  readonly force?: boolean
}

export interface WrittenBundle {
  readonly schema: 'weft.export/1'
  readonly model: string
  readonly digest: string
  readonly file: string
  /** Of the file. */
  readonly bytes: number
  readonly blobs: number
  /** Of the file, in hex: to compare where it arrives. */
  readonly sha256: string
}

/**
 * Every chunk is held against its address as it is read.
 * @throws BundleTargetError, BundleIncompleteError, BundleUnwritableError, BlobDamagedError, DiskFullError, the signal's
 * reason
 */
export async function writeBundle(
  store: BlobStore,
  request: BundleRequest,
  onProgress: ProgressListener = () => {},
  signal?: AbortSignal,
): Promise<WrittenBundle> {
  const { manifest, path } = request
  const folder = dirname(path)
  const head = manifestBytes(manifest)
  const sizes = blobSizes(manifest)
  await checkTarget(path, request.force === true)
  await checkWhole(store, manifest, sizes)
  const total = bundleLength(head.length, sizes.values())
  let file: TemporaryFile | undefined
  try {
    file = await createTemporary(folder, basename(path).slice(0, 100))
    // Only room is lost where it cannot be: this export is sound without it.
    await removeAbandoned(folder, file).catch(() => undefined)
    const free = await availableBytes(folder)
    if (total > free) throw new DiskFullError(folder, total, free)
    const task = `exporting ${manifest.model}`
    const writer = createWriter(file, signal, (done) =>
      onProgress({ type: 'progress', task, done, total, unit: 'bytes' }),
    )
    await writer.entry(MANIFEST_ENTRY, head.length, [head])
    for (const [address, bytes] of sizes) await writeBlob(store, writer, address, bytes)
    await writer.write(new Uint8Array(2 * TAR_BLOCK))
    signal?.throwIfAborted()
    await file.commit(path)
    const { model, digest } = manifest
    const sha256 = writer.digest()
    return { schema: 'weft.export/1', model, digest, file: path, bytes: total, blobs: sizes.size, sha256 }
  } catch (error) {
    throw await explain(error, path, total)
  } finally {
    await file?.discard()
  }
}

async function checkTarget(path: string, force: boolean): Promise<void> {
  const there = await stat(path).catch(() => null)
  if (there === null) return
  if (!there.isFile()) {
    throw new BundleTargetError(path, there.isDirectory() ? 'it is a folder' : 'it is no regular file', 'Name a file.')
  }
  if (!force) throw new BundleTargetError(path, 'it is there already')
}

/** @throws BundleIncompleteError naming the blocks */
async function checkWhole(
  store: BlobStore,
  manifest: AnyManifest,
  sizes: ReadonlyMap<BlobAddress, number>,
): Promise<void> {
  const missing = new Set<BlobAddress>()
  let bytes = 0
  for (const [address, size] of sizes) {
    if (await store.has(address)) continue
    missing.add(address)
    bytes += size
  }
  if (missing.size === 0) return
  const blocks = [...manifest.blocks.keys()].filter((index) =>
    manifest.blocks[index]!.tensors.some(({ address }) => missing.has(address)),
  )
  const tokenizer = besideBlocks(manifest).some(({ address }) => missing.has(address))
  throw new BundleIncompleteError(manifest.model, manifest.source, blocks, tokenizer, bytes)
}

/** Bytes of the whole file. */
function bundleLength(manifest: number, blobs: Iterable<number>): number {
  const entry = (name: string, size: number): number => tarHeader(name, size).length + padded(size)
  let sum = entry(MANIFEST_ENTRY, manifest) + 2 * TAR_BLOCK
  for (const bytes of blobs) {
    const hashes = hashesLength(bytes)
    sum += (hashes === 0 ? 0 : entry('h', hashes)) + entry('b', bytes)
  }
  return sum
}

interface BundleWriter {
  write(bytes: Uint8Array): Promise<void>
  /** Header, content and padding. */
  entry(name: string, size: number, content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void>
  /** SHA-256 of all that was written, in hex. */
  digest(): string
}

function createWriter(
  { handle }: TemporaryFile,
  signal: AbortSignal | undefined,
  moved: (done: number) => void,
): BundleWriter {
  const hash = createHash('sha256')
  let at = 0
  const write = async (bytes: Uint8Array): Promise<void> => {
    signal?.throwIfAborted()
    hash.update(bytes)
    await writeAll(handle, bytes, at)
    at += bytes.length
    moved(at)
  }
  return {
    write,
    async entry(name, size, content) {
      await write(tarHeader(name, size))
      for await (const piece of content) await write(piece)
      if (padded(size) > size) await write(new Uint8Array(padded(size) - size))
    },
    digest: () => hash.digest('hex'),
  }
}

async function writeBlob(store: BlobStore, writer: BundleWriter, address: BlobAddress, bytes: number): Promise<void> {
  const there = await store.size(address)
  if (there !== bytes) throw new BlobDamagedError(address, `it has ${there} bytes, its manifest says ${bytes}`)
  const hashes = await store.chunkHashes(address)
  if (hashesLength(bytes) > 0) await writer.entry(hashesEntry(address), hashes.length, [hashes])
  await writer.entry(blobEntry(address), bytes, soundChunks(store, address, bytes, hashes))
}

/** A disk that rots must not be carried to another site. */
async function* soundChunks(
  store: BlobStore,
  address: BlobAddress,
  bytes: number,
  hashes: Uint8Array,
): AsyncIterable<Uint8Array> {
  for (let at = 0, index = 0; at < bytes; at += CHUNK_BYTES, index++) {
    const chunk = await store.read(address, at, Math.min(CHUNK_BYTES, bytes - at))
    const expected = hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES)
    if (Buffer.compare(createHash('sha256').update(chunk).digest(), expected) !== 0) {
      throw new BlobDamagedError(address, `chunk ${index} is not what it was`)
    }
    yield chunk
  }
}

async function explain(error: unknown, path: string, total: number): Promise<unknown> {
  const explained = await explainDisk(error, dirname(path), total)
  return explained instanceof StoreUnwritableError ? new BundleUnwritableError(path, error) : explained
}
