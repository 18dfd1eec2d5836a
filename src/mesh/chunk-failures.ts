/** Who sent which chunk wrong. Over all fetches of this process: a next try does not begin at none. */
import { ChunkUnobtainableError } from './errors.ts'
import { MAX_CHUNK_FAILURES, MAX_FAILED_CHUNKS } from './limits.ts'

export interface ChunkFailures {
  /** @throws ChunkUnobtainableError at the tenth time */
  record(address: string, index: number, peer: string): void
  /** It came right. */
  forget(address: string, index: number): void
}

export function createChunkFailures(): ChunkFailures {
  const failures = new Map<string, string[]>()
  return {
    record(address, index, peer) {
      const key = `${address}/${index}`
      const peers = [...(failures.get(key) ?? []), peer]
      failures.delete(key)
      failures.set(key, peers)
      if (failures.size > MAX_FAILED_CHUNKS) failures.delete(failures.keys().next().value!)
      if (peers.length < MAX_CHUNK_FAILURES) return
      // Whoever tries again after this was told, and may have new holders.
      failures.delete(key)
      throw new ChunkUnobtainableError(address, index, peers.length, [...new Set(peers)])
    },
    forget: (address, index) => void failures.delete(`${address}/${index}`),
  }
}
