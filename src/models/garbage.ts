/** Which blobs belong to which model, and the removal of those that belong to none. */
import type { BlobAddress, BlobStore } from '../store/index.ts'
import type { ModelManifest } from './manifest.ts'

/** Every blob that a model is made of, once each: its tensors and its tokenizer. */
export function manifestAddresses(manifest: ModelManifest): ReadonlySet<BlobAddress> {
  const tensors = manifest.blocks.flatMap((block) => block.tensors.map(({ address }) => address))
  return new Set([...tensors, manifest.tokenizer.address])
}

/**
 * Removes the blobs that none of the models has: what `weft rm` frees, and what a killed import left. Not to be run
 * beside an import or a transfer, whose manifest is not written yet. Returns the bytes that it freed.
 */
export async function removeUnused(store: BlobStore, manifests: readonly ModelManifest[]): Promise<number> {
  const used = new Set(manifests.flatMap((manifest) => [...manifestAddresses(manifest)]))
  let freed = 0
  for await (const { address, bytes } of store.list()) {
    if (used.has(address)) continue
    await store.remove(address)
    freed += bytes
  }
  return freed
}
