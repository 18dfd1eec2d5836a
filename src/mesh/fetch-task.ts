/** What is done for one task: asks one holder, and keeps what is verified. */
import { createHash } from 'node:crypto'
import { CHUNK_BYTES, chunkCount } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { ChunkFailures } from './chunk-failures.ts'
import type { BlobWork, FetchQueue, Task } from './fetch-queue.ts'
import type { Holder } from './holder.ts'
import type { MeshCount } from './needs.ts'

export interface TaskNeeds {
  readonly store: BlobStore
  readonly count: MeshCount
  readonly failures: ChunkFailures
  readonly queue: FetchQueue
  readonly holder: Holder
  /** Another holder has brought it meanwhile. */
  readonly signal: AbortSignal
}

type ChunkTask = Task & { readonly kind: 'chunk' }

/** True when the blob is whole now. @throws HolderError, ChunkMismatchError, DiskFullError */
export async function fetchChunk(needs: TaskNeeds, { blob, index, bytes }: ChunkTask): Promise<boolean> {
  const content = await needs.holder.ask({ kind: 'chunk', address: blob.address, index }, bytes, needs.signal)
  return keep(needs, blob, index, content)
}

/**
 * Learns the chunk hashes; of a blob with one chunk they follow from the chunk itself, which saves a round trip for
 * each of the many small tensors. True when the blob is whole already.
 * @throws HolderError, AddressMismatchError, ChunkMismatchError, DiskFullError
 */
export async function openBlob(needs: TaskNeeds, blob: BlobWork): Promise<boolean> {
  const { holder, signal } = needs
  const { address, bytes } = blob
  if (bytes > CHUNK_BYTES || bytes === 0) {
    const size = 32 * chunkCount(bytes)
    const hashes = size === 0 ? new Uint8Array(0) : await holder.ask({ kind: 'hashes', address, bytes }, size, signal)
    return open(needs, blob, hashes)
  }
  const content = await holder.ask({ kind: 'chunk', address, index: 0 }, bytes, signal)
  const hash = new Uint8Array(createHash('sha256').update(content).digest())
  if (await open(needs, blob, hash)) return true
  blob.wanted.delete(0)
  return keep(needs, blob, 0, content)
}

async function open({ store, queue, count }: TaskNeeds, blob: BlobWork, hashes: Uint8Array): Promise<boolean> {
  const receiver = await store.receive(blob.address, blob.bytes, hashes)
  // Two holders may have been asked: the first answer opened it.
  if (blob.state !== 'claimed') return false
  count('chunks_resumed', receiver.resumed)
  queue.opened(blob, receiver)
  return blob.left === 0 && complete({ queue, count }, blob)
}

async function keep(needs: TaskNeeds, blob: BlobWork, index: number, content: Uint8Array): Promise<boolean> {
  const { count, failures, queue } = needs
  count('blob_bytes_received', content.length)
  if (!(await blob.receiver!.chunk(index, content))) {
    count('bytes_refetched', content.length)
    return false
  }
  count('chunks_fetched')
  failures.forget(blob.address, index)
  return queue.kept(blob, index) && complete(needs, blob)
}

async function complete({ queue, count }: Pick<TaskNeeds, 'queue' | 'count'>, blob: BlobWork): Promise<boolean> {
  await blob.receiver!.finish()
  queue.finish(blob)
  count('blobs_received')
  return true
}
