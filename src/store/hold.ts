/** Keeps the collection of unused blobs away while blobs are stored whose manifest is not written yet. */
import { readdir } from 'node:fs/promises'
import { createTemporary, explainDisk, isAbandoned } from './disk.ts'
import type { StoreLayout } from './layout.ts'

/** A mark in the name of a temporary file, which tells whose it is: a process that was killed holds nothing. */
const MARK = 'hold'

/** @throws DiskFullError, StoreUnwritableError */
export async function holdStore(layout: StoreLayout): Promise<() => Promise<void>> {
  try {
    const mark = await createTemporary(layout.partial, MARK, 0o600)
    return () => mark.discard()
  } catch (error) {
    throw await explainDisk(error, layout.partial, 0)
  }
}

export async function isStoreHeld(layout: StoreLayout): Promise<boolean> {
  const names = await readdir(layout.partial).catch((): string[] => [])
  return names.some((name) => name.endsWith(`-${MARK}.tmp`) && !isAbandoned(name))
}
