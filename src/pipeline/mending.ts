/** Tensors whose bytes on the disk are not what they were: they go, and come again from another peer that has them. */
import { damagedBlobs } from '../models/index.ts'
import type { ModelManifest } from '../models/index.ts'
import { BlobDamagedError } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import { StageHostError } from './host/host-errors.ts'
import type { BlockRange } from './stage-ranges.ts'

export interface MendingNeeds {
  readonly store: BlobStore
  fetch(manifest: ModelManifest, from: number, to: number, signal?: AbortSignal): Promise<void>
  count(name: string, by?: number): void
}

/** Found before the load, or by the host as it packs them. */
export function isDamage(error: unknown): boolean {
  if (error instanceof BlobDamagedError) return true
  return error instanceof StageHostError && error.details['code'] === BlobDamagedError.info.code
}

/** @throws BlobDamagedError when no other peer has them */
export async function mend(
  needs: MendingNeeds,
  manifest: ModelManifest,
  ranges: readonly BlockRange[],
  signal?: AbortSignal,
): Promise<void> {
  const { store } = needs
  const blocks = ranges.flatMap(([from, to]) => manifest.blocks.slice(from, to))
  const damaged = await damagedBlobs(
    store,
    blocks.flatMap(({ tensors }) => tensors.map(({ address }) => address)),
    signal,
  )
  needs.count('blobs_damaged', damaged.length)
  for (const address of damaged) await store.remove(address)
  let why = 'no other peer was asked for it'
  try {
    for (const [from, to] of ranges) await needs.fetch(manifest, from, to, signal)
  } catch (error) {
    signal?.throwIfAborted()
    why = error instanceof Error ? error.message : String(error)
  }
  for (const address of damaged) if (!(await store.has(address))) throw new BlobDamagedError(address, why)
}
