/**
 * What admins have said to this peer themselves, and not through others: that they are up, and what their clocks say. Whoever
 * passes on an admin's word may have kept it; an admin that speaks over a connection of its own has said it just now.
 */
import { LOG_LIMITS } from './limits.ts'

/** Three heart-beats, and less where certificates are shorter than that. */
const LIVE_MS = 30_000

export interface AdminWords {
  heard(admin: string, at: number): void
  /** Those that were on the line a moment ago. */
  live(): readonly string[]
  /** A time by an admin's clock, by the one here; where the two differ by little, or it was never met, as it is. */
  here(admin: string, at: number): number
}

interface AdminWordsNeeds {
  /** Milliseconds since 1970. */
  readonly wall: () => number
  /** Milliseconds by a clock that nobody sets. */
  readonly now: () => number
  /** Milliseconds that certificates are good for. */
  readonly lifetime: () => number
}

export function createAdminWords({ wall, now, lifetime }: AdminWordsNeeds): AdminWords {
  const words = new Map<string, { readonly ahead: number; readonly heard: number }>()
  return {
    heard: (admin, at) => void words.set(admin, { ahead: at - wall(), heard: now() }),
    live: () => {
      const since = now() - Math.min(LIVE_MS, lifetime() / 4)
      return [...words].flatMap(([admin, { heard }]) => (heard >= since ? [admin] : []))
    },
    here(admin, at) {
      const ahead = words.get(admin)?.ahead ?? 0
      return Math.abs(ahead) > LOG_LIMITS.skewMs ? at - ahead : at
    },
  }
}
