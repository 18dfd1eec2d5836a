/**
 * Versions of records that this peer has seen and does not keep: unknown kinds, refused bodies, dropped ones. They stand
 * in our digest, so that nobody sends them again and again. Bounded; the oldest are forgotten first.
 */
import type { Clock } from '../util/index.ts'
import { MAX_SHADOWS, SHADOW_KEEP_MS } from './limits.ts'

export interface Shadows {
  version(id: string): number | undefined
  add(id: string, version: number): void
  remove(id: string): void
  /** Forgets what is old; true when something was. */
  sweep(): boolean
  entries(): IterableIterator<readonly [id: string, version: number]>
}

export function createShadows(clock: Clock): Shadows {
  const shadows = new Map<string, { readonly version: number; readonly since: number }>()
  return {
    version: (id) => shadows.get(id)?.version,
    add(id, version) {
      shadows.delete(id)
      shadows.set(id, { version, since: clock.now() })
      if (shadows.size > MAX_SHADOWS) shadows.delete(shadows.keys().next().value!)
    },
    remove: (id) => void shadows.delete(id),
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
