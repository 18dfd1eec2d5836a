/** What a worker does for one task: asks one holder, and keeps what is verified. */
import { createHash } from 'node:crypto'
import { CHUNK_BYTES, chunkCount } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { BlobWork, FetchQueue, Task } from './fetch-queue.ts'
import type { Holder } from './holder.ts'
import type { MeshCount } from './needs.ts'

interface TaskNeeds {
  readonly store: BlobStore
  readonly count: MeshCount
}

type ChunkTask = Task & { readonly kind: 'chunk' }

/** True when the blob is whole now. @throws HolderError, ChunkMismatchError, DiskFullError */
export async function fetchChunk(
  needs: TaskNeeds,
  queue: FetchQueue,
  holder: Holder,
  { blob, index, bytes }: ChunkTask,
): Promise<boolean> {
  const content = await holder.ask({ kind: 'chunk', address: blob.address, index }, bytes)
  return keep(needs, queue, blob, index, content)
}

/**
 * Learns the chunk hashes; of a blob with one chunk they follow from the chunk itself, which saves a round trip for
 * each of the many small tensors. True when the blob is whole already.
 * @throws HolderError, AddressMismatchError, ChunkMismatchError, DiskFullError
 */
export async function openBlob(needs: TaskNeeds, queue: FetchQueue, holder: Holder, blob: BlobWork): Promise<boolean> {
  const { address, bytes } = blob
  if (bytes > CHUNK_BYTES || bytes === 0) {
    const size = 32 * chunkCount(bytes)
    const hashes = size === 0 ? new Uint8Array(0) : await holder.ask({ kind: 'hashes', address, bytes }, size)
    return open(needs, queue, blob, hashes)
  }
  const content = await holder.ask({ kind: 'chunk', address, index: 0 }, bytes)
  const hash = new Uint8Array(createHash('sha256').update(content).digest())
  if (await open(needs, queue, blob, hash)) return true
  blob.wanted.delete(0)
  return keep(needs, queue, blob, 0, content)
}

async function open(needs: TaskNeeds, queue: FetchQueue, blob: BlobWork, hashes: Uint8Array): Promise<boolean> {
  const receiver = await needs.store.receive(blob.address, blob.bytes, hashes)
  queue.opened(blob, receiver)
  return blob.left === 0 && complete(needs, queue, blob)
}

async function keep(
  needs: TaskNeeds,
  queue: FetchQueue,
  blob: BlobWork,
  index: number,
  content: Uint8Array,
): Promise<boolean> {
  await blob.receiver!.chunk(index, content)
  needs.count('blob_bytes_received', content.length)
  return queue.kept(blob, index) && complete(needs, queue, blob)
}

async function complete(needs: TaskNeeds, queue: FetchQueue, blob: BlobWork): Promise<boolean> {
  await blob.receiver!.finish()
  queue.finish(blob)
  needs.count('blobs_received')
  return true
}
