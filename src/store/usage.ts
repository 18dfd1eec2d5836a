/** What the store takes on the disk, and which of its blobs were used last. */
import { readdir, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { isAddress } from './address.ts'
import { createTemporary } from './disk.ts'
import type { StoreLayout } from './layout.ts'
import type { BlobAddress, StoredBlob } from './types.ts'

export async function* listBlobs(layout: StoreLayout): AsyncIterable<StoredBlob> {
  for (const folder of (await readdir(layout.blobs)).sort()) {
    const names: string[] = await readdir(join(layout.blobs, folder)).catch(() => [])
    for (const address of names.sort()) {
      if (!isAddress(address)) continue
      const stats = await stat(layout.blob(address)).catch(() => null)
      if (stats?.isFile() === true) yield { address, bytes: stats.size, used: stats.mtimeMs }
    }
  }
}

/**
 * The time of last use is the file's own time of change, which nothing else of a blob depends on: so it survives a
 * restart without a journal, also where the disk keeps no time of access.
 */
export async function touchBlobs(layout: StoreLayout, addresses: Iterable<BlobAddress>): Promise<void> {
  const all = [...addresses].filter(isAddress)
  if (all.length === 0) return
  try {
    // The file system's own clock, as for the times that it gives by itself.
    const probe = await createTemporary(layout.partial, 'probe')
    const now = (await probe.handle.stat()).mtime
    await probe.discard()
    for (const address of all) await utimes(layout.blob(address), now, now).catch(() => undefined)
  } catch {
    // A disk that is full or cannot be written: the order of eviction is no reason to refuse a read.
  }
}

export async function storeUsage(layout: StoreLayout): Promise<number> {
  let sum = 0
  for await (const { bytes } of listBlobs(layout)) sum += bytes
  for (const name of await readdir(layout.partial)) {
    if (!isAddress(name)) continue
    // A transfer has holes where chunks are missing: what it takes is what was written.
    const stats = await stat(layout.transfer(name)).catch(() => null)
    sum += stats === null ? 0 : Math.min(stats.size, stats.blocks * 512)
  }
  return sum
}
