/**
 * Before a stage is loaded: is what it is made of still what it was when it was written? Cached weights are held against
 * their checksums and the embedding, whose rows a stage reads from the store itself, against its address. Tensors that
 * are packed are verified as they are read.
 */
import { BlobDamagedError, verifyBlob } from '../../store/index.ts'
import type { BlobAddress, BlobStore } from '../../store/index.ts'
import type { ModelManifest } from '../manifest.ts'
import { ROTARY_FILES, stageCache } from './stage-files.ts'

export interface StageCheckNeeds {
  readonly store: BlobStore
  /** The cache, as `stageFiles` has it. */
  readonly directory: string
  /** A cached file is read through, since nobody remembers that it was sound. */
  verified?(): void
}

/**
 * Reads through the cached files of blocks [from, to); damaged ones are forgotten and will be made again.
 * @returns their names
 * @throws BlobDamagedError when it is the embedding; the signal's reason
 */
export async function checkStageFiles(
  needs: StageCheckNeeds,
  manifest: ModelManifest,
  ranges: readonly (readonly [from: number, to: number])[],
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const blocks = new Set(ranges.flatMap(([from, to]) => manifest.blocks.keys().toArray().slice(from, to)))
  const verified = (): void => needs.verified?.()
  const cache = stageCache(needs.directory, manifest, verified)
  const names = [...blocks].filter((block) => block > 0).map((block) => `block-${block}`)
  const damaged: string[] = []
  for (const name of [...names, ...ROTARY_FILES]) if (!(await cache.check(name, signal))) damaged.push(name)
  if (blocks.has(0)) {
    const [bad] = await damagedBlobs(needs.store, [manifest.blocks[0]!.tensors[0]!.address], signal)
    if (bad !== undefined) throw new BlobDamagedError(bad)
  }
  return damaged
}

/** Those of the blobs that are in the store and not what their names say. */
export async function damagedBlobs(
  store: BlobStore,
  addresses: Iterable<BlobAddress>,
  signal?: AbortSignal,
): Promise<BlobAddress[]> {
  const damaged: BlobAddress[] = []
  for (const address of new Set(addresses)) {
    if ((await store.has(address)) && !(await verifyBlob(store, address, signal))) damaged.push(address)
  }
  return damaged
}
