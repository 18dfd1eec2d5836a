/**
 * Versions of records that this peer has seen and does not keep: unknown kinds, refused bodies, dropped ones. They stand
 * in our digest, so that nobody sends them again and again. Bounded; the oldest are forgotten first.
 */
import type { Clock } from '../util/index.ts'
import { MAX_SHADOWS, SHADOW_KEEP_MS } from './limits.ts'

export interface Shadows {
  version(id: string): number | undefined
  /** `dropped`: it was fine, and is wanted again when its author comes back. */
  add(id: string, version: number, why: 'refused' | 'dropped'): void
  remove(id: string): void
  /** The author is back: what was dropped of it may be sent again. */
  recall(author: string): void
  /** Forgets what is old; true when something was. */
  sweep(): boolean
  entries(): IterableIterator<readonly [id: string, version: number]>
}

interface Shadow {
  readonly version: number
  readonly why: 'refused' | 'dropped'
  readonly since: number
}

export function createShadows(clock: Clock): Shadows {
  const shadows = new Map<string, Shadow>()
  return {
    version: (id) => shadows.get(id)?.version,
    add(id, version, why) {
      shadows.delete(id)
      shadows.set(id, { version, why, since: clock.now() })
      if (shadows.size > MAX_SHADOWS) shadows.delete(shadows.keys().next().value!)
    },
    remove: (id) => void shadows.delete(id),
    recall(author) {
      for (const [id, { why }] of shadows) {
        if (why === 'dropped' && id.split('\n')[1] === author) shadows.delete(id)
      }
    },
    sweep() {
      const before = shadows.size
      for (const [id, { since }] of shadows) if (clock.now() - since > SHADOW_KEEP_MS) shadows.delete(id)
      return shadows.size < before
    },
    *entries() {
      for (const [id, { version }] of shadows) yield [id, version] as const
    },
  }
}
