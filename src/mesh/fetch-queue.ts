/** What is left to fetch, and what a holder may take next. No I/O: the job does that. */
import { CHUNK_BYTES, chunkCount } from '../store/index.ts'
import type { BlobReceiver } from '../store/index.ts'
import type { RandomSource } from '../util/index.ts'
import type { Availability } from './availability.ts'
import { BLOBS_IN_FLIGHT } from './limits.ts'
import { shuffled } from './shuffle.ts'
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
  /** Blobs that are not here yet. */
  unfinished(): BlobWork[]
  /** The rarest thing that this holder can be asked for. */
  take(peer: string): Task | undefined
  /** Could this holder still be of use, now or when it has more? */
  hasWorkFor(peer: string): boolean
  /** Something is left that none of the holders has. */
  hasOrphans(): boolean
  /** All that is left is brought by other fetches. */
  waitsForOthers(): boolean
  /** The task failed; somebody else may take it. */
  giveBack(task: Task): void
  opened(blob: BlobWork, receiver: BlobReceiver): void
  /** A chunk is verified; true when it was the last of its blob. */
  kept(blob: BlobWork, index: number): boolean
  finish(blob: BlobWork): void
}

export function createFetchQueue(
  blobs: readonly BlobRequest[],
  present: ReadonlySet<string>,
  availability: Availability,
  random: RandomSource,
): FetchQueue {
  const work = new Map<string, BlobWork>()
  for (const { address, bytes } of blobs) {
    const state = present.has(address) ? 'done' : 'fresh'
    work.set(address, { address, bytes, state, receiver: undefined, wanted: new Set(), left: chunkCount(bytes) })
  }
  // Peers that start together then take different chunks, and have something to give each other.
  const all = shuffled([...work.values()], random)
  let done = 0
  for (const blob of all) if (blob.state === 'done') done += blob.bytes
  const unfinished = (): BlobWork[] => all.filter(({ state }) => state !== 'done')

  return {
    total: all.reduce((sum, { bytes }) => sum + bytes, 0),
    done: () => done,
    finished: () => all.every(({ state }) => state === 'done'),
    unfinished,
    take(peer) {
      const chunk = rarestChunk(all, availability, peer)
      const busy = all.filter(({ state }) => state === 'open' || state === 'claimed').length
      const fresh = busy < BLOBS_IN_FLIGHT ? rarestBlob(all, availability, peer) : undefined
      if (fresh !== undefined && (chunk === undefined || availability.rarity(fresh.address) < chunk.holders)) {
        fresh.state = 'claimed'
        return { kind: 'open', blob: fresh }
      }
      if (chunk === undefined) return undefined
      chunk.blob.wanted.delete(chunk.index)
      return { kind: 'chunk', blob: chunk.blob, index: chunk.index, bytes: chunkBytes(chunk.blob, chunk.index) }
    },
    hasWorkFor: (peer) =>
      unfinished().some(({ address }) => availability.hasAny(peer, address) || availability.isGrowing(peer, address)),
    hasOrphans: () =>
      unfinished().some(
        ({ address, state, wanted }) =>
          (state === 'fresh' && availability.rarity(address) === Infinity) ||
          [...wanted].some((index) => availability.count(address, index) === 0),
      ),
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
      for (const index of shuffled(missing, random)) {
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

function chunkBytes(blob: BlobWork, index: number): number {
  return Math.min(CHUNK_BYTES, blob.bytes - index * CHUNK_BYTES)
}

interface RareChunk {
  readonly blob: BlobWork
  readonly index: number
  readonly holders: number
}

function rarestChunk(all: readonly BlobWork[], availability: Availability, peer: string): RareChunk | undefined {
  let best: RareChunk | undefined
  for (const blob of all) {
    if (blob.state !== 'open') continue
    for (const index of blob.wanted) {
      if (!availability.has(peer, blob.address, index)) continue
      const holders = availability.count(blob.address, index)
      // Nothing is rarer than what this holder alone has.
      if (holders === 1) return { blob, index, holders }
      if (holders < (best?.holders ?? Infinity)) best = { blob, index, holders }
    }
  }
  return best
}

function rarestBlob(all: readonly BlobWork[], availability: Availability, peer: string): BlobWork | undefined {
  let best: BlobWork | undefined
  let least = Infinity
  for (const blob of all) {
    if (blob.state !== 'fresh' || !availability.hasAny(peer, blob.address)) continue
    const rarity = availability.rarity(blob.address)
    if (rarity < least) [best, least] = [blob, rarity]
    if (least === 1) break
  }
  return best
}
