/** What is left to fetch, and what a holder may take next. No I/O: the workers do that. */
import { CHUNK_BYTES, chunkCount } from '../store/index.ts'
import type { BlobReceiver } from '../store/index.ts'
import { BLOBS_IN_FLIGHT } from './limits.ts'
import type { BlobRequest } from './types.ts'

export interface BlobWork extends BlobRequest {
  /** `fresh`: its hash list is wanted. `claimed`: being asked for. `elsewhere`: another fetch of this process brings it. */
  state: 'fresh' | 'claimed' | 'elsewhere' | 'open' | 'done'
  receiver: BlobReceiver | undefined
  /** Chunks that nobody fetches now. */
  readonly wanted: Set<number>
  /** Chunks that are not verified yet. */
  left: number
}

export type Task =
  | { readonly kind: 'open'; readonly blob: BlobWork }
  | { readonly kind: 'chunk'; readonly blob: BlobWork; readonly index: number; readonly bytes: number }

export interface FetchQueue {
  readonly total: number
  /** Verified and kept. */
  done(): number
  finished(): boolean
  /** The next thing that this holder can be asked for. */
  take(lacks: ReadonlySet<string>): Task | undefined
  /** Could this holder still be of use? */
  hasWorkFor(lacks: ReadonlySet<string>): boolean
  /** All that is left is brought by other fetches. */
  waitsForOthers(): boolean
  /** The task failed; somebody else may take it. */
  giveBack(task: Task): void
  opened(blob: BlobWork, receiver: BlobReceiver): void
  /** A chunk is verified; true when it was the last of its blob. */
  kept(blob: BlobWork, index: number): boolean
  finish(blob: BlobWork): void
}

export function createFetchQueue(blobs: readonly BlobRequest[], present: ReadonlySet<string>): FetchQueue {
  const work = new Map<string, BlobWork>()
  for (const { address, bytes } of blobs) {
    const state = present.has(address) ? 'done' : 'fresh'
    work.set(address, { address, bytes, state, receiver: undefined, wanted: new Set(), left: chunkCount(bytes) })
  }
  const all = [...work.values()]
  const chunkBytes = (blob: BlobWork, index: number): number => Math.min(CHUNK_BYTES, blob.bytes - index * CHUNK_BYTES)
  let done = 0
  for (const blob of all) if (blob.state === 'done') done += blob.bytes
  return {
    total: all.reduce((sum, { bytes }) => sum + bytes, 0),
    done: () => done,
    finished: () => all.every(({ state }) => state === 'done'),
    take(lacks) {
      const open = all.filter(({ state }) => state === 'open')
      const blob = open.find(({ address, wanted }) => wanted.size > 0 && !lacks.has(address))
      if (blob !== undefined) {
        const index = blob.wanted.values().next().value!
        blob.wanted.delete(index)
        return { kind: 'chunk', blob, index, bytes: chunkBytes(blob, index) }
      }
      const busy = all.filter(({ state }) => state === 'open' || state === 'claimed').length
      if (busy >= BLOBS_IN_FLIGHT) return undefined
      const fresh = all.find(({ state, address }) => state === 'fresh' && !lacks.has(address))
      if (fresh === undefined) return undefined
      fresh.state = 'claimed'
      return { kind: 'open', blob: fresh }
    },
    hasWorkFor: (lacks) => all.some(({ state, address }) => state !== 'done' && !lacks.has(address)),
    waitsForOthers: () => all.every(({ state }) => state === 'done' || state === 'elsewhere'),
    giveBack(task) {
      if (task.kind === 'chunk') task.blob.wanted.add(task.index)
      else if (task.blob.state === 'claimed') task.blob.state = 'fresh'
    },
    opened(blob, receiver) {
      const missing = receiver.missing()
      blob.receiver = receiver
      blob.state = 'open'
      blob.left = missing.length
      done += blob.bytes
      for (const index of missing) {
        blob.wanted.add(index)
        done -= chunkBytes(blob, index)
      }
    },
    kept(blob, index) {
      blob.left -= 1
      done += chunkBytes(blob, index)
      return blob.left === 0
    },
    finish(blob) {
      // One that another fetch brought was never counted here.
      if (blob.state !== 'open') done += blob.bytes
      blob.state = 'done'
    },
  }
}
