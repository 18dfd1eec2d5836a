/** Which blobs belong to which model, and the removal of those that belong to none. */
import type { BlobAddress, BlobStore } from '../store/index.ts'
import { besideBlocks } from './graph/manifest.ts'
import type { AnyManifest } from './graph/manifest.ts'

/** Every blob that a model is made of, once each: its tensors, and its tokenizer where it has one. */
export function manifestAddresses(manifest: AnyManifest): ReadonlySet<BlobAddress> {
  const tensors = manifest.blocks.flatMap((block) => block.tensors.map(({ address }) => address))
  return new Set([...tensors, ...besideBlocks(manifest).map(({ address }) => address)])
}

/**
 * Removes the blobs that none of the models has: what `weft rm` frees, and what a killed import left. Not to be run
 * beside an import or a transfer, whose manifest is not written yet. Returns the bytes that it freed.
 */
export async function removeUnused(store: BlobStore, manifests: readonly AnyManifest[]): Promise<number> {
  const used = new Set(manifests.flatMap((manifest) => [...manifestAddresses(manifest)]))
  let freed = 0
  for await (const { address, bytes } of store.list()) {
    if (used.has(address)) continue
    await store.remove(address)
    freed += bytes
  }
  return freed
}
