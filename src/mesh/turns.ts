/** So many in a while, and no more: what is refused comes by itself later. */
import type { Clock } from '../util/index.ts'

export function createTurns(clock: Clock, most: number, milliseconds: number): () => boolean {
  let left = most
  let at = clock.now()
  return () => {
    const now = clock.now()
    left = Math.min(most, left + ((now - at) / milliseconds) * most)
    at = now
    if (left < 1) return false
    left -= 1
    return true
  }
}
