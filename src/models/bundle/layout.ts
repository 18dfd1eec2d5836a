/**
 * A bundle: a model as one file for a site with no network. A plain tar archive that any tar opens, with
 *
 * - `manifest.json`, the manifest (`weft.manifest/1`) in its canonical spelling (RFC 8785), first;
 * - then for each blob of it, in the order in which the manifest names them first, a tokenizer before tensors and a
 *   skeleton before weights:
 *   `hashes/<address>`, the SHA-256s of its 1 MiB chunks, 32 bytes each, where it has more than one chunk, and
 *   `blobs/<address>`, its bytes.
 *
 * Owner, mode and time are fixed: equal manifests give equal files.
 */
import { chunkCount, isAddress } from '../../store/index.ts'
import type { BlobAddress } from '../../store/index.ts'
import { canonicalJson } from '../../util/index.ts'
import { besideBlocks } from '../graph/manifest.ts'
import type { AnyManifest } from '../graph/manifest.ts'
import { BundleFileError } from './errors.ts'

export const MANIFEST_ENTRY = 'manifest.json'
export const HASH_BYTES = 32

export function blobEntry(address: BlobAddress): string {
  return `blobs/${address}`
}

export function hashesEntry(address: BlobAddress): string {
  return `hashes/${address}`
}

/** The address that an entry of this name belongs to, and as what; null for any other name. */
export function entryOf(name: string): { readonly what: 'blob' | 'hashes'; readonly address: BlobAddress } | null {
  const match = /^(blobs|hashes)\/(\w+)$/.exec(name)
  if (match === null || !isAddress(match[2])) return null
  return { what: match[1] === 'blobs' ? 'blob' : 'hashes', address: match[2] }
}

/** Bytes of the hashes that stand before a blob: none where the address alone says what its one chunk is. */
export function hashesLength(bytes: number): number {
  return chunkCount(bytes) > 1 ? chunkCount(bytes) * HASH_BYTES : 0
}

export function manifestBytes(manifest: AnyManifest): Uint8Array {
  return Buffer.from(`${canonicalJson(manifest)}\n`)
}

/** The size of every blob of a model, in the order of a bundle. @throws BundleFileError when one has two */
export function blobSizes(manifest: AnyManifest): ReadonlyMap<BlobAddress, number> {
  const sizes = new Map<BlobAddress, number>()
  const tensors = manifest.blocks.flatMap((block) => block.tensors.map(({ address, bytes }) => ({ address, bytes })))
  for (const { address, bytes } of [...besideBlocks(manifest), ...tensors]) {
    if ((sizes.get(address) ?? bytes) !== bytes) {
      throw new BundleFileError(MANIFEST_ENTRY, `${address} has ${sizes.get(address)} bytes and ${bytes}`)
    }
    sizes.set(address, bytes)
  }
  return sizes
}
