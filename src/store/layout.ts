/** Where things lie in the folder of a store, and how it is put in order when it is opened. */
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isAddress } from './address.ts'
import { createTemporary, isAbandoned, syncDirectory } from './disk.ts'
import type { BlobAddress } from './types.ts'

export interface StoreLayout {
  /** `blobs/<two letters>/<address>`: a folder that holds all of a large model's tensors would be slow to list. */
  readonly blobs: string
  /** Transfers under way: the chunks so far, in their places. */
  readonly partial: string
  blob(address: BlobAddress): string
  /** Hashes of the chunks, for blobs of more than one: a single chunk is as quickly hashed again. */
  sidecar(address: BlobAddress): string
  folder(address: BlobAddress): string
  transfer(address: BlobAddress): string
}

export function storeLayout(directory: string): StoreLayout {
  const blobs = join(directory, 'blobs')
  const partial = join(directory, 'partial')
  // The last letters: the first ones are the same in every address.
  const folder = (address: BlobAddress): string => join(blobs, address.slice(-3, -1))
  return {
    blobs,
    partial,
    folder,
    blob: (address) => join(folder(address), address),
    sidecar: (address) => join(folder(address), `${address}.hashes`),
    transfer: (address) => join(partial, address),
  }
}

/** An interrupted transfer is kept for so long: its model may have been removed, and nobody will go on with it. */
const TRANSFER_DAYS = 7

/** Makes the folders and removes what killed runs left: temporary files, sidecars without a blob, old transfers. */
export async function prepareLayout(layout: StoreLayout): Promise<void> {
  await mkdir(layout.blobs, { recursive: true, mode: 0o700 })
  await mkdir(layout.partial, { recursive: true, mode: 0o700 })
  await cleanFolder(layout.blobs)
  await cleanFolder(layout.partial)
  await cleanTransfers(layout.partial)
  for (const entry of await readdir(layout.blobs, { withFileTypes: true })) {
    if (entry.isDirectory()) await cleanFolder(join(layout.blobs, entry.name))
  }
}

async function cleanFolder(folder: string): Promise<void> {
  const names = new Set(await readdir(folder))
  for (const name of names) {
    const orphan = name.endsWith('.hashes') && !names.has(name.slice(0, -'.hashes'.length))
    if (orphan || isAbandoned(name)) await rm(join(folder, name), { force: true })
  }
}

async function cleanTransfers(folder: string): Promise<void> {
  // Age by the file system's own clock: the machine's may have been set meanwhile, or be a virtual one.
  const probe = await createTemporary(folder, 'probe')
  const now = (await probe.handle.stat()).mtimeMs
  await probe.discard()
  for (const name of await readdir(folder)) {
    if (!isAddress(name)) continue
    const { mtimeMs } = await stat(join(folder, name))
    if (now - mtimeMs > TRANSFER_DAYS * 86_400_000) await rm(join(folder, name), { force: true })
  }
}

/** The folder that a blob goes into, durable before the blob is. */
export async function makeFolder(layout: StoreLayout, address: BlobAddress): Promise<void> {
  const made = await mkdir(layout.folder(address), { recursive: true, mode: 0o700 })
  if (made !== undefined) await syncDirectory(layout.blobs)
}
