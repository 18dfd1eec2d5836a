/** What a bundle says that it holds, all of it checked before anything is stored: the file may be anybody's. */
import { addressOfHashes, chunkCount } from '../../store/index.ts'
import type { BlobAddress } from '../../store/index.ts'
import { checkAnyManifest } from '../graph/check.ts'
import type { AnyManifest } from '../graph/manifest.ts'
import { MAX_MANIFEST_BYTES } from '../manifest-check.ts'
import { openFileAccess } from '../readers/random-access.ts'
import type { RandomAccess } from '../readers/random-access.ts'
import { BundleFileError } from './errors.ts'
import { blobEntry, blobSizes, entryOf, HASH_BYTES, hashesEntry, hashesLength, MANIFEST_ENTRY } from './layout.ts'
import { isTarHeader, MAX_PAX_BYTES, padded, parseTarHeader, paxSize, shown, TAR_BLOCK } from './tar-header.ts'

export interface BundleBlob {
  readonly address: BlobAddress
  readonly bytes: number
  /** Where its bytes begin in the file. */
  readonly offset: number
  /** SHA-256 of each chunk, concatenated; they give the address. Null for a single chunk: its hash is not written. */
  readonly hashes: Uint8Array | null
}

export interface BundleContents {
  readonly manifest: AnyManifest
  /** In the order of the file; all that the manifest names, once each. */
  readonly blobs: readonly BundleBlob[]
}

/** Zeros that tools write after the end of an archive: up to their record of twenty blocks. */
const MOST_TRAILING = 20 * TAR_BLOCK

/** Does a bundle lie there (or another tar, which is then refused as one)? What cannot be read is none. */
export async function isBundle(path: string): Promise<boolean> {
  const access = await openFileAccess(path).catch(() => null)
  if (access === null) return false
  try {
    return access.size >= TAR_BLOCK && isTarHeader(await access.read(0, TAR_BLOCK))
  } finally {
    await access.close()
  }
}

/**
 * Reads all headers, the manifest and the hashes; the blobs themselves are not read yet.
 * @throws BundleFileError, ManifestError
 */
export async function readBundle(access: RandomAccess): Promise<BundleContents> {
  const first = await nextEntry(access, 0)
  if (first?.name !== MANIFEST_ENTRY) {
    const why = first === null ? 'it is empty' : `its first entry is ${shown(first.name)}, not ${MANIFEST_ENTRY}`
    throw new BundleFileError('archive', `${why}: weft export did not write it`)
  }
  const manifest = await readManifest(access, first)
  const sizes = blobSizes(manifest)
  let least = first.next
  for (const bytes of sizes.values()) least += TAR_BLOCK + padded(bytes)
  if (access.size < least) throw cut(access, least)
  return { manifest, blobs: await readBlobs(access, first.next, sizes) }
}

interface Entry {
  readonly name: string
  readonly size: number
  /** Where its content begins. */
  readonly offset: number
  /** Where the next entry begins. */
  readonly next: number
}

/** The entry whose header stands at `at`, its records read; null at the two zero blocks that end an archive. */
async function nextEntry(access: RandomAccess, at: number): Promise<Entry | null> {
  let offset = at
  let size: number | null = null
  for (let isFirst = true; ; isFirst = false) {
    const block = await part(access, offset, TAR_BLOCK)
    if (isFirst && block.every((byte) => byte === 0)) {
      await checkEnd(access, offset)
      return null
    }
    const header = parseTarHeader(block, offset)
    offset += TAR_BLOCK
    if (header.kind === 'file') {
      const bytes = size ?? header.size
      const next = offset + padded(bytes)
      if (next > access.size) throw cut(access, next)
      return { name: header.name, size: bytes, offset, next }
    }
    if (!isFirst || header.size > MAX_PAX_BYTES) {
      throw new BundleFileError('an extended header', isFirst ? 'it is too long' : 'another one follows it')
    }
    size = paxSize((await part(access, offset, padded(header.size))).subarray(0, header.size))
    offset += padded(header.size)
  }
}

async function checkEnd(access: RandomAccess, at: number): Promise<void> {
  const rest = access.size - at
  if (rest > MOST_TRAILING) throw new BundleFileError('archive', `${rest} bytes follow its end`)
  if (rest < 2 * TAR_BLOCK) throw cut(access, at + 2 * TAR_BLOCK)
  const bytes = await access.read(at, rest)
  if (bytes.some((byte) => byte !== 0)) throw new BundleFileError('archive', 'something follows its end')
}

async function readManifest(access: RandomAccess, { size, offset }: Entry): Promise<AnyManifest> {
  if (size > MAX_MANIFEST_BYTES) {
    throw new BundleFileError(MANIFEST_ENTRY, `${size} bytes are over ${MAX_MANIFEST_BYTES}`)
  }
  const text = Buffer.from(await access.read(offset, size)).toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new BundleFileError(MANIFEST_ENTRY, 'it is not JSON')
  }
  return checkAnyManifest(value)
}

/** Nothing but what the manifest names, once each, and all of it. */
async function readBlobs(
  access: RandomAccess,
  from: number,
  sizes: ReadonlyMap<BlobAddress, number>,
): Promise<BundleBlob[]> {
  const blobs = new Map<BlobAddress, BundleBlob>()
  for (let at = from; ;) {
    const entry = await nextEntry(access, at)
    if (entry === null) break
    const known = entryOf(entry.name)
    const bytes = known === null ? undefined : sizes.get(known.address)
    if (known === null || bytes === undefined) {
      throw new BundleFileError(shown(entry.name), 'its manifest does not name it')
    }
    if (blobs.has(known.address)) throw new BundleFileError(shown(entry.name), 'it is there twice')
    const blob = await readBlob(access, entry, known, bytes)
    blobs.set(known.address, blob)
    at = blob.offset + padded(bytes)
  }
  for (const address of sizes.keys()) {
    if (!blobs.has(address)) throw new BundleFileError(shown(blobEntry(address)), 'it is missing')
  }
  return [...blobs.values()]
}

/** `entry` is the blob, or its hashes: then the blob has to be next. */
async function readBlob(
  access: RandomAccess,
  entry: Entry,
  { what, address }: { readonly what: 'blob' | 'hashes'; readonly address: BlobAddress },
  bytes: number,
): Promise<BundleBlob> {
  const needed = hashesLength(bytes)
  if (what === 'blob') {
    if (needed > 0) throw new BundleFileError(shown(entry.name), `its hashes do not stand before it`)
    return { address, bytes, offset: sized(entry, bytes).offset, hashes: null }
  }
  if (needed === 0) throw new BundleFileError(shown(entry.name), 'a single chunk has no hashes')
  const hashes = await access.read(sized(entry, needed).offset, needed)
  if (addressOfHashes(hashes) !== address) {
    throw new BundleFileError(shown(hashesEntry(address)), `${chunkCount(bytes)} hashes do not give its address`)
  }
  const blob = await nextEntry(access, entry.next)
  if (blob?.name !== blobEntry(address)) throw new BundleFileError(shown(entry.name), 'its blob does not follow it')
  return { address, bytes, offset: sized(blob, bytes).offset, hashes }
}

function sized(entry: Entry, bytes: number): Entry {
  if (entry.size === bytes) return entry
  throw new BundleFileError(shown(entry.name), `it has ${entry.size} bytes where its manifest asks for ${bytes}`)
}

/** The hash that chunk `index` of a blob must have; null where the blob is one chunk, whose hash gives the address. */
export function chunkHash({ hashes }: BundleBlob, index: number): Uint8Array | null {
  return hashes?.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES) ?? null
}

async function part(access: RandomAccess, at: number, length: number): Promise<Uint8Array> {
  if (at + length > access.size) throw cut(access, at + length)
  return access.read(at, length)
}

function cut(access: RandomAccess, needed: number): BundleFileError {
  return new BundleFileError('archive', `it is cut: it has ${access.size} bytes of at least ${needed}`)
}
