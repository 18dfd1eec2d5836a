/** A rate limit: bytes per second, with a burst of a quarter of a second. */
import type { Clock } from './needs.ts'

export interface TokenBucket {
  /** Resolves when the bytes may go; those who wait go in the order of asking. Rejects with the signal's reason. */
  take(bytes: number, signal?: AbortSignal): Promise<void>
}

const BURST_SECONDS = 0.25

/** @param rate bytes per second; Infinity: no limit */
export function createTokenBucket(clock: Clock, rate: number): TokenBucket {
  if (rate === Infinity) return { take: () => Promise.resolve() }
  /** When all that was granted so far has gone at this rate. */
  let paid = clock.now()
  return {
    async take(bytes, signal) {
      const now = clock.now()
      // Time without traffic counts up to the burst.
      paid = Math.max(paid, now - BURST_SECONDS * 1000) + (bytes / rate) * 1000
      if (paid > now) await clock.sleep(paid - now, signal)
    },
  }
}
