/**
 * Transfers into the store. Their state is the partial file itself: when a transfer goes on, each chunk in it is held
 * against its hash again, so no journal can disagree with the disk after a crash.
 */
import { constants } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { addressOfHashes, checkAddress, chunkCount, HASH_BYTES, sha256 } from './address.ts'
import { errorCode, explainDisk, syncDirectory, writeAll, writeFileAtomic } from './disk.ts'
import { AddressMismatchError, BlobIncompleteError, ChunkMismatchError, DiskFullError } from './errors.ts'
import { makeFolder } from './layout.ts'
import type { StoreLayout } from './layout.ts'
import { needRoom } from './room.ts'
import { CHUNK_BYTES } from './types.ts'
import type { BlobAddress, BlobReceiver, PartialBlob } from './types.ts'

/** Larger than any single tensor that exists (a 1 M x 64 Ki float32 embedding is 2^38): more is a lie, not a model. */
const MAX_BLOB_BYTES = 2 ** 40

interface Transfer {
  readonly address: BlobAddress
  readonly bytes: number
  readonly hashes: Uint8Array
  /** One a chunk: is it on disk, and right? Shared by all receivers of the same blob in this process. */
  readonly present: Uint8Array
  /** Chunks that were on disk when it was opened. */
  recovered: number
  /** Ends of the transfer run one after the other. */
  ending: Promise<void>
}

export interface Receivers {
  readonly receive: (address: BlobAddress, bytes: number, hashes: Uint8Array) => Promise<BlobReceiver>
  readonly partial: (address: BlobAddress) => PartialBlob | undefined
}

export function createReceivers(layout: StoreLayout): Receivers {
  const transfers = new Map<BlobAddress, Promise<Transfer>>()
  const open = new Map<BlobAddress, Transfer>()
  const forget = (address: BlobAddress): void => {
    transfers.delete(address)
    open.delete(address)
  }
  return {
    async receive(address, bytes, hashes) {
      checkAnnounced(address, bytes, hashes)
      let opening = transfers.get(address)
      const isFirst = opening === undefined
      if (opening === undefined) {
        opening = openTransfer(layout, address, bytes, hashes)
        transfers.set(address, opening)
        opening.catch(() => forget(address))
      }
      const transfer = await opening
      open.set(address, transfer)
      return {
        resumed: isFirst ? transfer.recovered : 0,
        missing: () => [...transfer.present.keys()].filter((index) => transfer.present[index] === 0),
        chunk: (index, content) => keepChunk(layout, transfer, index, content),
        finish: () => inTurn(transfer, () => finish(layout, transfer).then(() => forget(address))),
        abandon: () => inTurn(transfer, () => abandon(layout, transfer).then(() => forget(address))),
      }
    },
    partial(address) {
      const transfer = open.get(address)
      if (transfer === undefined) return undefined
      const { bytes, hashes, present } = transfer
      const has = (index: number): boolean => present[index] === 1
      const read = (index: number): Promise<Uint8Array | undefined> => readChunk(layout, transfer, index)
      return { bytes, hashes, has, read }
    },
  }
}

function inTurn(transfer: Transfer, action: () => Promise<void>): Promise<void> {
  const run = transfer.ending.then(action)
  transfer.ending = run.catch(() => {})
  return run
}

function checkAnnounced(address: BlobAddress, bytes: number, hashes: Uint8Array): void {
  checkAddress(address)
  if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes > MAX_BLOB_BYTES) {
    throw new AddressMismatchError(address, `a size of ${bytes} bytes is not possible`)
  }
  if (hashes.length !== chunkCount(bytes) * HASH_BYTES) {
    throw new AddressMismatchError(address, `${bytes} bytes do not have ${hashes.length} bytes of chunk hashes`)
  }
  if (addressOfHashes(hashes) !== address) throw new AddressMismatchError(address, 'the hashes give another address')
}

async function openTransfer(
  layout: StoreLayout,
  address: BlobAddress,
  bytes: number,
  hashes: Uint8Array,
): Promise<Transfer> {
  const own = Uint8Array.from(hashes)
  const present = new Uint8Array(chunkCount(bytes))
  const transfer = { address, bytes, hashes: own, present, recovered: 0, ending: Promise.resolve() }
  const there = await stat(layout.blob(address)).catch(() => null)
  if (there?.size === bytes) {
    present.fill(1)
    return transfer
  }
  try {
    await recoverChunks(layout, transfer)
    transfer.recovered = present.reduce((sum, flag) => sum + flag, 0)
    const left = present.reduce((sum, flag) => sum + (flag === 0 ? CHUNK_BYTES : 0), 0)
    await needRoom(layout.partial, Math.min(left, bytes))
  } catch (error) {
    throw await explainDisk(error, layout.partial, bytes)
  }
  return transfer
}

/** Marks the chunks of an interrupted transfer that are whole. */
async function recoverChunks(layout: StoreLayout, transfer: Transfer): Promise<void> {
  const path = layout.transfer(transfer.address)
  let handle
  try {
    handle = await open(path, 'r')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return
    throw error
  }
  try {
    const chunk = new Uint8Array(CHUNK_BYTES)
    for (let index = 0; index < transfer.present.length; index++) {
      const length = chunkLength(transfer, index)
      const { bytesRead } = await handle.read(chunk, 0, length, index * CHUNK_BYTES)
      if (bytesRead === length && isChunk(transfer, index, chunk.subarray(0, length))) transfer.present[index] = 1
    }
  } finally {
    await handle.close()
  }
}

function chunkLength(transfer: Transfer, index: number): number {
  return Math.min(CHUNK_BYTES, transfer.bytes - index * CHUNK_BYTES)
}

function isChunk(transfer: Transfer, index: number, bytes: Uint8Array): boolean {
  return Buffer.compare(sha256(bytes), transfer.hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES)) === 0
}

/** Undefined as well when the transfer has become a blob meanwhile: whoever asks looks there. */
async function readChunk(layout: StoreLayout, transfer: Transfer, index: number): Promise<Uint8Array | undefined> {
  if (transfer.present[index] !== 1) return undefined
  const handle = await open(layout.transfer(transfer.address), 'r').catch(() => undefined)
  if (handle === undefined) return undefined
  try {
    const chunk = new Uint8Array(chunkLength(transfer, index))
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, index * CHUNK_BYTES)
    return bytesRead === chunk.length ? chunk : undefined
  } finally {
    await handle.close()
  }
}

async function keepChunk(layout: StoreLayout, transfer: Transfer, index: number, bytes: Uint8Array): Promise<boolean> {
  const { address, present } = transfer
  if (!Number.isInteger(index) || index < 0 || index >= present.length) {
    throw new ChunkMismatchError(address, index, `the blob has ${present.length} chunks`)
  }
  const length = chunkLength(transfer, index)
  if (bytes.length !== length) {
    throw new ChunkMismatchError(address, index, `expected ${length} bytes, got ${bytes.length}`)
  }
  if (!isChunk(transfer, index, bytes)) throw new ChunkMismatchError(address, index, 'its SHA-256 is another one')
  if (present[index] === 1) return false
  try {
    // Opened for each chunk: a receiver that is dropped, not ended, then holds no handle.
    const handle = await open(layout.transfer(address), constants.O_RDWR | constants.O_CREAT, 0o600)
    try {
      await writeAll(handle, bytes, index * CHUNK_BYTES)
    } finally {
      await handle.close()
    }
  } catch (error) {
    const explained = await explainDisk(error, layout.partial, transfer.bytes)
    if (explained instanceof DiskFullError) await abandon(layout, transfer)
    throw explained
  }
  const isNew = present[index] === 0
  present[index] = 1
  return isNew
}

async function finish(layout: StoreLayout, transfer: Transfer): Promise<void> {
  const { address, hashes, present } = transfer
  const missing = present.reduce((sum, flag) => sum + (flag === 0 ? 1 : 0), 0)
  if (missing > 0) throw new BlobIncompleteError(address, missing, present.length)
  const there = await stat(layout.blob(address)).catch(() => null)
  if (there?.size === transfer.bytes) return rm(layout.transfer(address), { force: true })
  try {
    await makeFolder(layout, address)
    const handle = await open(layout.transfer(address), constants.O_RDWR | constants.O_CREAT, 0o600)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
    if (hashes.length > HASH_BYTES) await writeFileAtomic(layout.sidecar(address), hashes)
    await rename(layout.transfer(address), layout.blob(address))
    await syncDirectory(layout.folder(address))
  } catch (error) {
    throw await explainDisk(error, layout.partial, transfer.bytes)
  }
}

async function abandon(layout: StoreLayout, transfer: Transfer): Promise<void> {
  transfer.present.fill(0)
  await rm(layout.transfer(transfer.address), { force: true })
}
